package telemetry_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"pgregory.net/rapid"

	"leasehold/internal/telemetry"
)

var (
	routes   = []string{"kv", "lease", "other"}
	outcomes = []string{"HIT", "MISS", ""}
)

// measured are the metrics of q.
func measured(t rapid.TB, q *telemetry.Requests) (duration metricdata.Histogram[float64], active int64) {
	t.Helper()
	scopes, err := q.Produce(context.Background())
	if err != nil || len(scopes) != 1 || len(scopes[0].Metrics) != 3 {
		t.Fatalf("produced %+v, error %v", scopes, err)
	}
	for _, m := range scopes[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			if m.Name != "leasehold.request.duration" || m.Unit != "s" || data.Temporality != metricdata.CumulativeTemporality {
				t.Errorf("the histogram is %s in %s, temporality %v", m.Name, m.Unit, data.Temporality)
			}
			duration = data
		case metricdata.Gauge[int64]:
			active = data.DataPoints[0].Value
		}
	}
	return duration, active
}

// labels are those of a series in one text.
func labels(p metricdata.HistogramDataPoint[float64]) string {
	text := ""
	for _, name := range []string{"route", "outcome", "status"} {
		if v, ok := p.Attributes.Value(attribute.Key(name)); ok {
			text += v.AsString() + " "
		}
	}
	return text
}

// TestRequestsAgreeWithAModel: after any requests, each series has those that are its own, each in the first bucket whose bound it does not exceed.
func TestRequestsAgreeWithAModel(t *testing.T) {
	type series struct {
		buckets map[float64]uint64 // by upper bound; the last is infinite
		sum     float64
	}
	rapid.Check(t, func(t *rapid.T) {
		q := telemetry.NewRequests(routes, outcomes)
		model := map[string]*series{}
		bounds := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, math.Inf(1)}
		for range rapid.IntRange(0, 50).Draw(t, "requests") {
			route := rapid.SampledFrom(append(routes, "new")).Draw(t, "route")
			outcome := rapid.SampledFrom(append(outcomes, "NEW")).Draw(t, "outcome")
			status := rapid.SampledFrom([]int{0, 42, 101, 200, 204, 307, 404, 503, 599, 600, -1}).Draw(t, "status")
			took := rapid.OneOf(
				rapid.Map(rapid.SampledFrom(bounds[:17]), func(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }),
				rapid.Map(rapid.Int64Range(0, int64(time.Minute)), func(n int64) time.Duration { return time.Duration(n) }),
			).Draw(t, "took")
			q.Observe(route, outcome, status, took)
			if route == "new" {
				route = "other"
			}
			if outcome == "NEW" || outcome == "" {
				outcome = "none"
			}
			class := fmt.Sprintf("%dxx", status/100)
			if status < 100 || status > 599 {
				class = "none"
			}
			key := route + " " + outcome + " " + class + " "
			if model[key] == nil {
				model[key] = &series{buckets: map[float64]uint64{}}
			}
			for _, b := range bounds {
				if took.Seconds() <= b {
					model[key].buckets[b]++
					break
				}
			}
			model[key].sum += took.Seconds()
		}
		got, _ := measured(t, q)
		if len(got.DataPoints) != len(model) {
			t.Fatalf("%d series, want %d", len(got.DataPoints), len(model))
		}
		for _, p := range got.DataPoints {
			want := model[labels(p)]
			if want == nil {
				t.Fatalf("no request was counted as %s", labels(p))
			}
			var count uint64
			for i, n := range p.BucketCounts {
				bound := math.Inf(1)
				if i < len(p.Bounds) {
					bound = p.Bounds[i]
				}
				if n != want.buckets[bound] {
					t.Errorf("%sbucket %v = %d, want %d", labels(p), bound, n, want.buckets[bound])
				}
				count += n
			}
			if p.Count != count || math.Abs(p.Sum-want.sum) > 1e-6 {
				t.Errorf("%scount %d of %d, sum %v, want %v", labels(p), p.Count, count, p.Sum, want.sum)
			}
		}
	})
}

func TestRequestsAreCountedSideBySide(t *testing.T) {
	q := telemetry.NewRequests(routes, outcomes)
	const workers, each = 8, 1000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				q.Active.Add(1)
				q.Observe("lease", "HIT", 0, time.Microsecond)
			}
		})
	}
	measured(t, q) // while they count
	wg.Wait()
	got, active := measured(t, q)
	if len(got.DataPoints) != 1 || got.DataPoints[0].Count != workers*each || got.DataPoints[0].BucketCounts[0] != workers*each {
		t.Errorf("series = %+v, want one of %d", got.DataPoints, workers*each)
	}
	if active != workers*each {
		t.Errorf("active = %d, want %d", active, workers*each)
	}
}

func TestRequestsInPrometheusText(t *testing.T) {
	q := telemetry.NewRequests(routes, outcomes)
	m := metersOf(t, telemetry.Settings{Producers: []sdk.Producer{q}}, sources())
	q.Active.Add(2)
	q.Observe("lease", "HIT", 0, 40*time.Microsecond)
	q.Observe("kv", "BYPASS", 403, 3*time.Second)
	samples, types := scrape(t, m, "/proxy/v1/metrics")
	for name, want := range map[string]string{
		`leasehold_requests_active`: "2",
		`leasehold_request_duration_bucket{outcome="HIT",route="lease",status="none",le="0.0001"}`: "1",
		`leasehold_request_duration_bucket{outcome="none",route="kv",status="4xx",le="2.5"}`:       "0",
		`leasehold_request_duration_bucket{outcome="none",route="kv",status="4xx",le="5"}`:         "1",
		`leasehold_request_duration_count{outcome="none",route="kv",status="4xx"}`:                 "1",
		`leasehold_request_duration_sum{outcome="none",route="kv",status="4xx"}`:                   "3",
	} {
		if samples[name] != want {
			t.Errorf("%s = %q, want %q", name, samples[name], want)
		}
	}
	if types["leasehold_request_duration"] != "histogram" || types["leasehold_requests_active"] != "gauge" {
		t.Errorf("types = %v", types)
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	q := telemetry.NewRequests(routes, outcomes)
	if got := testing.AllocsPerRun(1000, func() { q.Observe("lease", "HIT", 0, 40*time.Microsecond) }); got > 0 {
		t.Errorf("allocations = %v", got)
	}
}

func BenchmarkObserve(b *testing.B) {
	q := telemetry.NewRequests(routes, outcomes)
	b.ReportAllocs()
	for b.Loop() {
		q.Observe("lease", "HIT", 0, 40*time.Microsecond)
	}
}

func TestOutcomesOfRequests(t *testing.T) {
	q := telemetry.NewRequests(routes, outcomes)
	q.Observe("kv", "HIT", 0, time.Microsecond)
	q.Observe("lease", "HIT", 200, time.Hour)
	q.Observe("elsewhere", "HIT", 500, time.Second)
	q.Observe("kv", "", 404, time.Second)
	q.Observe("kv", "a word that is none", 404, time.Second)
	if got := q.Outcomes(); len(got) != 2 || got["HIT"] != 3 || got["MISS"] != 0 {
		t.Errorf("outcomes = %v", got)
	}
}
