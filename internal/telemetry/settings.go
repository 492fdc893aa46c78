package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/otlptranslator"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// Settings say how metrics are called, which of them there are, and where they go. The zero value is all of them under Vault's own names, for whoever asks.
type Settings struct {
	Prefix          string   // before Vault's names; "" means vault
	Version         string   // of Leasehold
	DisableHostname bool     // the host's name is in no name of a gauge
	HostLabel       bool     // every metric has the host's name as a label, and no name has it
	NoPrometheus    bool     // Prometheus text is not served
	Filter          []string // + or - and a prefix: what passes and what does not; the longest that matches decides
	BlockOthers     bool     // what matches none does not pass

	Statsd, Statsite, Dogstatsd string // addresses; "" means none
	DogstatsdTags               []string
	OTLP                        *OTLP // nil means none

	Producers []sdk.Producer // of metrics that are not counted here, with cumulative temporality
	Log       *slog.Logger   // told of what cannot be delivered; needed where metrics are sent to
}

// ownPrefix stands before Vault's names as instruments have them.
const ownPrefix = "vault."

// prefix stands before Vault's names as they are told. It may be no name of an instrument: Vault takes any, and has each way out replace what it cannot have.
func (s Settings) prefix() string { return cmp.Or(s.Prefix, "vault") + "." }

// told is the name that an instrument is told under.
func (s Settings) told(name string) string {
	if rest, ok := strings.CutPrefix(name, ownPrefix); ok {
		return s.prefix() + rest
	}
	return name
}

// allows reports whether a metric passes the filter. Its name has dots.
func (s Settings) allows(name string) bool {
	longest, allowed := -1, !s.BlockOthers
	for _, rule := range s.Filter {
		if prefix := rule[1:]; len(prefix) >= longest && strings.HasPrefix(name, prefix) {
			longest, allowed = len(prefix), rule[0] == '+'
		}
	}
	return allowed
}

// view implements sdk.View: it drops what does not pass, and gives Vault's names their prefix.
func (s Settings) view(i sdk.Instrument) (sdk.Stream, bool) {
	out := sdk.Stream{Name: s.told(i.Name), Description: i.Description, Unit: i.Unit}
	if !s.allows(out.Name) {
		out.Aggregation = sdk.AggregationDrop{}
		return out, true
	}
	return out, out.Name != i.Name // else as it is
}

// host is the name of this machine.
func host() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// pushEvery is how often metrics are sent to statsd and its kind, and the shortest time that a summary is of: as in Vault.
const pushEvery = 10 * time.Second

// readers are all ways out.
func (m *Meters) readers() (all []sdk.Reader, err error) {
	s := &m.settings
	prom, err := m.prometheus()
	if err != nil {
		return nil, err
	}
	m.recent = newRecent(s)
	all = []sdk.Reader{prom, m.recent.reader}
	for _, push := range s.pushes() {
		all = append(all, sdk.NewPeriodicReader(noted{push, newFailures(s.Log, push.kind+" "+push.address, nil)}, s.periodic(pushEvery)...))
	}
	if o := s.OTLP; o != nil {
		exporter, err := o.metrics(context.Background())
		if err != nil {
			return nil, fmt.Errorf("create the OTLP exporter: %w", err)
		}
		all = append(all, sdk.NewPeriodicReader(noted{exporter, newFailures(s.Log, "OTLP", o.Headers)}, s.periodic(o.Interval)...))
	}
	return all, nil
}

func (s *Settings) periodic(every time.Duration) []sdk.PeriodicReaderOption {
	var options []sdk.PeriodicReaderOption
	if every > 0 {
		options = append(options, sdk.WithInterval(every))
	}
	for _, p := range s.Producers {
		options = append(options, sdk.WithProducer(filtered{p, s}))
	}
	return options
}

// prometheus is the reader of a scrape. The Go runtime is told of there under the names that every Go program has.
func (m *Meters) prometheus() (sdk.Reader, error) {
	s := &m.settings
	var registry prometheus.Registerer = m.registry
	if s.HostLabel {
		registry = prometheus.WrapRegistererWith(prometheus.Labels{"host": host()}, registry)
	}
	var err error
	for name, c := range map[string]prometheus.Collector{
		"go.": collectors.NewGoCollector(), "process.": collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if s.allows(name) {
			err = errors.Join(err, registry.Register(c))
		}
	}
	options := []otelprometheus.Option{
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(),
		otelprometheus.WithoutTargetInfo(),
		// Vault's own names have no _total, and dashboards know them so.
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithoutSuffixes),
	}
	for _, p := range s.Producers {
		options = append(options, otelprometheus.WithProducer(filtered{p, s}))
	}
	exporter, failed := otelprometheus.New(options...)
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("create the Prometheus exporter: %w", err)
	}
	return exporter, nil
}
