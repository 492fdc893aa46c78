package telemetry

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// bounds are the upper bounds of the buckets, hits first: they take microseconds.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// statuses are the labels of Vault's statuses, by their first digit; the first is for what did not come from Vault.
var statuses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// Requests counts what became of requests: leasehold.request.duration, a histogram, and leasehold.requests.active. An instrument of OpenTelemetry's SDK
// would look up a set of attributes for each request, which costs as much as the hit that it measures; here it is two atomic adds. Safe for concurrent use.
type Requests struct {
	Active   atomic.Int64 // requests that have begun and not ended
	Unlogged atomic.Int64 // lines that the access log lacks

	began    time.Time
	routes   []string
	outcomes []string
	cells    []cell // of each route, outcome and status
}

var _ sdk.Producer = (*Requests)(nil)

// cell is one series. The number of requests is the sum of the buckets, so that both agree at any moment.
type cell struct {
	buckets [len(bounds) + 1]atomic.Int64
	nanos   atomic.Int64 // of all requests together
}

// NewRequests counts by these words. What is none of them counts as the last route, and as the last outcome, which "" should be: its label is "none".
func NewRequests(routes, outcomes []string) *Requests {
	return &Requests{began: time.Now(), routes: routes, outcomes: outcomes, cells: make([]cell, len(routes)*len(outcomes)*len(statuses))}
}

// Observe counts a request that is over. status is Vault's, 0 when the answer did not come from there.
func (q *Requests) Observe(route, outcome string, status int, took time.Duration) {
	c := &q.cells[(index(q.routes, route)*len(q.outcomes)+index(q.outcomes, outcome))*len(statuses)+classOf(status)]
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	c.buckets[i].Add(1)
	c.nanos.Add(int64(took))
}

func index(words []string, word string) int {
	for i, w := range words {
		if w == word {
			return i
		}
	}
	return len(words) - 1
}

func classOf(status int) int {
	if class := status / 100; class > 0 && class < len(statuses) {
		return class
	}
	return 0
}

// Produce implements metric.Producer: readers of the metrics ask it.
func (q *Requests) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	now := time.Now()
	histogram := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
	limits := make([]float64, len(bounds))
	for i, b := range bounds {
		limits[i] = b.Seconds()
	}
	for i := range q.cells {
		point, used := q.cells[i].point()
		if !used {
			continue
		}
		status, pair := i%len(statuses), i/len(statuses)
		outcome := q.outcomes[pair%len(q.outcomes)]
		if outcome == "" {
			outcome = "none"
		}
		point.Attributes = attribute.NewSet(
			attribute.String("route", q.routes[pair/len(q.outcomes)]), attribute.String("outcome", outcome), attribute.String("status", statuses[status]))
		point.StartTime, point.Time, point.Bounds = q.began, now, slices.Clone(limits)
		histogram.DataPoints = append(histogram.DataPoints, point)
	}
	return []metricdata.ScopeMetrics{{
		Scope: instrumentation.Scope{Name: "leasehold"},
		Metrics: []metricdata.Metrics{
			{
				Name: "leasehold.request.duration", Unit: "s", Data: histogram,
				Description: "How long requests took, by the class of their path, what the cache made of them, and the status of Vault's answer.",
			},
			{
				Name: "leasehold.requests.active", Description: "Requests that have begun and not ended.",
				Data: metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{{Time: now, Value: q.Active.Load()}}},
			},
			{
				Name: "leasehold.access_log.dropped", Description: "Lines that the access log lacks.",
				Data: metricdata.Sum[int64]{
					Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
					DataPoints: []metricdata.DataPoint[int64]{{StartTime: q.began, Time: now, Value: q.Unlogged.Load()}},
				},
			},
		},
	}}, nil
}

// Outcomes are the numbers of requests by outcome: each that has a word, also where none has met it.
func (q *Requests) Outcomes() map[string]int64 {
	all := map[string]int64{}
	for i := range q.cells {
		word := q.outcomes[i/len(statuses)%len(q.outcomes)]
		if word == "" {
			continue
		}
		n := int64(0)
		for b := range q.cells[i].buckets {
			n += q.cells[i].buckets[b].Load()
		}
		all[word] += n
	}
	return all
}

// point reads a series; used is false for one that no request has touched.
func (c *cell) point() (p metricdata.HistogramDataPoint[float64], used bool) {
	p.BucketCounts = make([]uint64, len(c.buckets))
	for i := range c.buckets {
		n := uint64(max(c.buckets[i].Load(), 0))
		p.BucketCounts[i] = n
		p.Count += n
	}
	p.Sum = time.Duration(c.nanos.Load()).Seconds()
	return p, p.Count > 0
}
