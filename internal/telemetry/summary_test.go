package telemetry_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"leasehold/internal/telemetry"
)

// asked is the answer to a request for metrics.
func asked(t *testing.T, m *telemetry.Meters, query, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/proxy/v1/metrics"+query, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	return w
}

func TestFormats(t *testing.T) {
	const scraper = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	const text, summary, off, unknown = "text/plain; version=0.0.4", "application/json", "prometheus is not enabled\n", "use prometheus or json\n"
	for name, tc := range map[string]struct {
		query, accept string
		want, without string // with Prometheus text, and when that is turned off
	}{
		"nothing said":         {"", "", text, summary},
		"curl":                 {"", "*/*", text, summary},
		"a browser":            {"", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", text, summary},
		"Prometheus":           {"", scraper, text, off},
		"Prometheus of old":    {"", "application/vnd.google.protobuf;proto=io.prometheus.client;encoding=delimited,prometheus/telemetry", text, off},
		"JSON":                 {"", "application/json", summary, summary},
		"JSON, in capitals":    {"", "Application/JSON; q=1", summary, summary},
		"format":               {"?format=prometheus", "application/json", text, off},
		"format JSON":          {"?format=json", scraper, summary, summary},
		"another format":       {"?format=xml", "", unknown, unknown},
		"format and something": {"?a=b&format=json", "", summary, summary},
	} {
		t.Run(name, func(t *testing.T) {
			for _, turnedOff := range []bool{false, true} {
				w := asked(t, metersOf(t, telemetry.Settings{NoPrometheus: turnedOff}, sources()), tc.query, tc.accept)
				want := tc.want
				if turnedOff {
					want = tc.without
				}
				status := http.StatusOK
				if want == off || want == unknown {
					status = http.StatusBadRequest
				}
				if w.Code != status || !strings.HasPrefix(w.Header().Get("Content-Type"), want) && !strings.HasSuffix(w.Body.String(), want) {
					t.Errorf("turned off %t: %d, %q, %.60q; want %d and %q", turnedOff, w.Code, w.Header().Get("Content-Type"), w.Body, status, want)
				}
			}
		})
	}
}

// summary is the JSON form, as strict as a client in a typed language is.
type summary struct {
	Timestamp string
	Gauges    []struct {
		Name   string
		Value  float32
		Labels map[string]string
	}
	Points   []any
	Counters []sample
	Samples  []sample
}

type sample struct {
	Name                              string
	Count                             int
	Rate, Sum, Min, Max, Mean, Stddev float64
	Labels                            map[string]string
}

func summaryOf(t *testing.T, m *telemetry.Meters) (s summary) {
	t.Helper()
	d := json.NewDecoder(asked(t, m, "?format=json", "").Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	if s.Points == nil || s.Counters == nil || s.Samples == nil || s.Gauges == nil {
		t.Errorf("a list is null: %+v", s)
	}
	return s
}

func (s summary) counter(name string) sample { return find(s.Counters, name) }
func (s summary) sample(name string) sample  { return find(s.Samples, name) }

func find(all []sample, name string) sample {
	if i := slices.IndexFunc(all, func(s sample) bool { return s.Name == name }); i >= 0 {
		return all[i]
	}
	return sample{}
}

func TestSummaryIsOfTheTimeSinceItWasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := telemetry.NewRequests(routes, outcomes)
		m := metersOf(t, telemetry.Settings{Producers: []sdk.Producer{q}}, sources())
		time.Sleep(20 * time.Second)
		for range 40 {
			m.Hit()
		}
		m.Asked(200, 4*time.Millisecond)
		m.Asked(200, 4*time.Millisecond)
		q.Observe("kv", "MISS", 200, 3*time.Millisecond)
		s := summaryOf(t, m)
		if _, err := time.Parse("2006-01-02 15:04:05 -0700 MST", s.Timestamp); err != nil {
			t.Errorf("Timestamp: %v", err)
		}
		if got := s.counter("vault.proxy.cache.hit"); got.Count != 40 || got.Sum != 40 || got.Rate != 2 || got.Mean != 1 || got.Min != 1 || got.Max != 1 || got.Stddev != 0 {
			t.Errorf("hits: %+v", got)
		}
		if got := s.sample("leasehold.upstream.duration"); got.Count != 2 || got.Sum != 0.008 || got.Mean != 0.004 || got.Min != 0.0025 || got.Max != 0.005 || got.Labels["status"] != "2xx" {
			t.Errorf("upstream: %+v", got)
		}
		if got := s.sample("leasehold.request.duration"); got.Count != 1 || got.Labels["route"] != "kv" {
			t.Errorf("requests: %+v", got)
		}
		if got := s.counter("vault.proxy.cache.miss"); got.Name != "" {
			t.Errorf("what has not happened is there: %+v", got)
		}

		m.Hit()
		time.Sleep(9 * time.Second)
		if got := summaryOf(t, m).counter("vault.proxy.cache.hit"); got.Count != 40 {
			t.Errorf("within ten seconds: %+v, want the same again", got)
		}
		time.Sleep(time.Second)
		if got := summaryOf(t, m).counter("vault.proxy.cache.hit"); got.Count != 1 || got.Rate != 0.1 {
			t.Errorf("after ten seconds: %+v, want the one since", got)
		}
		time.Sleep(time.Minute)
		if s := summaryOf(t, m); len(s.Counters) != 0 && s.counter("vault.proxy.cache.hit").Name != "" || len(s.Gauges) == 0 {
			t.Errorf("when nothing happens: %+v", s.Counters)
		}
	})
}

func TestSummaryHasGaugesWithTheirLabels(t *testing.T) {
	s := summaryOf(t, metersOf(t, telemetry.Settings{}, sources()))
	got := map[string]float32{}
	for _, g := range s.Gauges {
		got[g.Name+" "+g.Labels["state"]+g.Labels["node"]] = g.Value
	}
	for name, want := range map[string]float32{
		"leasehold.cache.entries ": 7, "leasehold.leases failing": 3, "leasehold.upstream.node.up vault-0:8200": 1, "leasehold.lease.nearest_expiry ": 1.5,
	} {
		if v, there := got[name]; !there || v != want {
			t.Errorf("%s = %v (%t), want %v", name, v, there, want)
		}
	}
	if !slices.IsSortedFunc(s.Gauges, func(a, b struct {
		Name   string
		Value  float32
		Labels map[string]string
	}) int {
		return strings.Compare(a.Name, b.Name)
	}) {
		t.Error("the gauges are not sorted by name")
	}
}
