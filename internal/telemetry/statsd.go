package telemetry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// push is an exporter in the text protocol of statsd, to one address. Counters are sent as what was added, gauges as they are, and histograms as a timer
// of the mean, in milliseconds for what is measured in seconds, with the rate of sampling that has the server count all of them.
type push struct {
	kind    string // statsd, statsite or dogstatsd
	network string
	address string
	prefix  string   // of Vault's names: the host's name stands behind it
	host    string   // in the names of gauges; "" means in none
	label   bool     // the host is a label
	tags    []string // of DogStatsD alone
	tagged  bool     // labels are tags, and else parts of the name

	deltas deltas
}

const (
	// packet is what is sent in one datagram at most: it passes any network in one piece.
	packet = 1400
	// pushPatience bounds one sending.
	pushPatience = 5 * time.Second
)

// pushes are the servers that the settings name.
func (s *Settings) pushes() (all []*push) {
	ways := 0 // out, counted as Vault does
	for _, there := range [...]bool{s.Statsd != "", s.Statsite != "", s.Dogstatsd != "", !s.NoPrometheus} {
		if there {
			ways++
		}
	}
	name := ""
	if ways > 1 && !s.DisableHostname && !s.HostLabel {
		name = host()
	}
	if s.Statsd != "" {
		all = append(all, &push{kind: "statsd", network: "udp", address: s.Statsd, prefix: s.prefix(), host: name, label: s.HostLabel})
	}
	if s.Statsite != "" {
		all = append(all, &push{kind: "statsite", network: "tcp", address: s.Statsite, prefix: s.prefix(), host: name, label: s.HostLabel})
	}
	if s.Dogstatsd != "" { // it has a tag for the host
		p := &push{kind: "dogstatsd", network: "udp", address: s.Dogstatsd, prefix: s.prefix(), label: s.HostLabel, tags: s.DogstatsdTags, tagged: true}
		if path, ok := strings.CutPrefix(p.address, "unix://"); ok {
			p.network, p.address = "unixgram", path
		}
		all = append(all, p)
	}
	return all
}

// Temporality implements sdk.Exporter. Deltas are ours, so that producers, which know totals alone, are told of in the same way.
func (p *push) Temporality(sdk.InstrumentKind) metricdata.Temporality {
	return metricdata.CumulativeTemporality
}

// Aggregation implements sdk.Exporter.
func (p *push) Aggregation(k sdk.InstrumentKind) sdk.Aggregation {
	return sdk.DefaultAggregationSelector(k)
}

// ForceFlush implements sdk.Exporter. Nothing is held back.
func (p *push) ForceFlush(context.Context) error { return nil }

// Shutdown implements sdk.Exporter. No connection is kept.
func (p *push) Shutdown(context.Context) error { return nil }

// Export implements sdk.Exporter: it connects, and sends all lines.
func (p *push) Export(ctx context.Context, data *metricdata.ResourceMetrics) error {
	ctx, cancel := context.WithTimeout(ctx, pushPatience)
	defer cancel()
	lines := p.lines(p.deltas.take(data)) // taken also when they cannot be sent: what is late is no news
	conn, err := new(net.Dialer).DialContext(ctx, p.network, p.address)
	if err != nil {
		return err
	}
	if d, ok := ctx.Deadline(); ok {
		err = conn.SetWriteDeadline(d)
	}
	for _, b := range batches(lines, p.network != "tcp") {
		if err != nil {
			break
		}
		_, err = conn.Write(b)
	}
	return errors.Join(err, conn.Close())
}

// batches puts lines together to what is written at once.
func batches(lines []string, datagrams bool) (all [][]byte) {
	var b bytes.Buffer
	for _, line := range lines {
		if datagrams && b.Len() > 0 && b.Len()+len(line) > packet {
			all = append(all, bytes.Clone(b.Bytes()))
			b.Reset()
		}
		b.WriteString(line)
	}
	if b.Len() > 0 {
		all = append(all, b.Bytes())
	}
	return all
}

// lines are what is told of the readings. Counters and samples that stood still are no news.
func (p *push) lines(all []reading) (lines []string) {
	for _, r := range all {
		switch {
		case r.kind == gaugeReading:
			value := decimal(r.value)
			if r.value < 0 { // a sign would mean that it is added
				lines = append(lines, p.line(r, "0", "|g"))
			}
			lines = append(lines, p.line(r, value, "|g"))
		case r.count == 0:
		case r.kind == counterReading:
			lines = append(lines, p.line(r, decimal(r.sum), "|c"))
		default:
			rate := ""
			if r.count > 1 {
				rate = "|@" + decimal(1/float64(r.count))
			}
			lines = append(lines, p.line(r, decimal(r.mean()*1000), "|ms"+rate)) // all of ours are of seconds
		}
	}
	return lines
}

func (p *push) line(r reading, value, kind string) string {
	name, labels := r.name, r.labels
	if rest, ok := strings.CutPrefix(name, p.prefix); ok && r.kind == gaugeReading && p.host != "" {
		name = p.prefix + p.host + "." + rest
	}
	if p.label {
		labels = append(labels, attribute.String("host", host()))
	}
	tags := p.tags
	for _, kv := range labels {
		if p.tagged {
			tags = append(tags[:len(tags):len(tags)], string(kv.Key)+":"+kv.Value.String())
		} else {
			name += "." + part(kv.Value.String())
		}
	}
	line := plain.Replace(name) + ":" + value + kind
	if len(tags) > 0 {
		line += "|#" + tagText.Replace(strings.Join(tags, ","))
	}
	return line + "\n"
}

var (
	// plain replaces what has a meaning in the protocol.
	plain   = strings.NewReplacer(":", "_", "|", "_", " ", "_", "\n", "_", "@", "_")
	tagText = strings.NewReplacer("|", "_", "\n", "_")
)

// part is the value of a label as one part of a name: servers make a tree of the dots, in which no part is empty. The auto_auth that has no name is the
// one whose value is.
func part(value string) string {
	return cmp.Or(strings.ReplaceAll(value, ".", "_"), "default")
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
