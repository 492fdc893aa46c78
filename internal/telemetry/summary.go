package telemetry

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// summary is the JSON form of the metrics, as Vault has it from go-metrics.
type summary struct {
	Timestamp string // of the end of the interval
	Gauges    []summaryGauge
	Points    []struct{} // always empty
	Counters  []summarySample
	Samples   []summarySample
}

type summaryGauge struct {
	Name   string
	Value  float64
	Labels map[string]string
}

type summarySample struct {
	Name   string
	Count  uint64
	Rate   float64 // of the sum, a second
	Sum    float64
	Min    float64
	Max    float64
	Mean   float64
	Stddev float64
	Labels map[string]string
}

// recent is the summary of what has happened since it was asked for before, at least pushEvery ago. So nobody who does not ask pays for it.
type recent struct {
	reader *sdk.ManualReader
	label  bool // with the host

	mu     sync.Mutex
	deltas deltas
	taken  time.Time // when the last summary was made, the start before that
	last   []byte
}

func newRecent(s *Settings) *recent {
	var options []sdk.ManualReaderOption
	for _, p := range s.Producers {
		options = append(options, sdk.WithProducer(filtered{p, s}))
	}
	return &recent{reader: sdk.NewManualReader(options...), label: s.HostLabel, taken: time.Now()}
}

// ServeHTTP writes the summary.
func (c *recent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := c.get(r.Context())
	if err != nil {
		http.Error(w, "the metrics could not be collected", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // a client that has left is its own affair
}

func (c *recent) get(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.last != nil && now.Sub(c.taken) < pushEvery {
		return c.last, nil
	}
	var data metricdata.ResourceMetrics
	if err := c.reader.Collect(ctx, &data); err != nil {
		return nil, err
	}
	out := c.summarize(c.deltas.take(&data), now)
	body, err := json.Marshal(out)
	if err == nil {
		c.last, c.taken = append(body, '\n'), now
	}
	return c.last, err
}

// summarize leaves out counters and samples that have stood still, as Vault does.
func (c *recent) summarize(all []reading, now time.Time) summary {
	seconds := max(now.Sub(c.taken), time.Second).Seconds()
	out := summary{
		Timestamp: now.UTC().Round(time.Second).String(), // go-metrics' own form
		Gauges:    []summaryGauge{}, Points: []struct{}{}, Counters: []summarySample{}, Samples: []summarySample{},
	}
	slices.SortStableFunc(all, func(a, b reading) int { return cmp.Compare(a.name, b.name) })
	for _, r := range all {
		labels := labelsOf(r.labels)
		if c.label {
			labels["host"] = host()
		}
		s := summarySample{
			Name: r.name, Count: r.count, Rate: r.sum / seconds, Sum: r.sum, Min: r.min, Max: r.max, Mean: r.mean(), Stddev: r.stddev, Labels: labels,
		}
		switch {
		case r.kind == gaugeReading:
			out.Gauges = append(out.Gauges, summaryGauge{r.name, r.value, labels})
		case r.count == 0:
		case r.kind == counterReading:
			out.Counters = append(out.Counters, s)
		default:
			out.Samples = append(out.Samples, s)
		}
	}
	return out
}

func labelsOf(all []attribute.KeyValue) map[string]string {
	labels := map[string]string{}
	for _, kv := range all {
		labels[string(kv.Key)] = kv.Value.String()
	}
	return labels
}
