package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/telemetry"
	"leasehold/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// holdings are those of a cache with something in it.
type holdings struct{}

func (holdings) Stats() (entries int, bytes int64, tokens int) { return 7, 4096, 3 }

// sources tell something of everything.
func sources() telemetry.Sources {
	return telemetry.Sources{
		Holdings: holdings{},
		StateFile: func() telemetry.StateFile {
			return telemetry.StateFile{Commits: 11, Failed: 12, Checkpoints: 13, Compactions: 14, FileBytes: 15, AheadBytes: 16, Pending: 17, Failing: true}
		},
		Leases: func() telemetry.Leases {
			return telemetry.Leases{
				Fresh: 1, Due: 2, Failing: 3, Ending: 4, NextRenewal: 5 * time.Second, NearestExpiry: 1500 * time.Millisecond,
				Runway: [2]time.Duration{time.Hour, time.Minute}, Lag: 7 * time.Second,
			}
		},
		Logins: func() []telemetry.Login {
			return []telemetry.Login{{Name: "a", State: "held", Left: 8 * time.Second, Next: 9 * time.Second, SinkWrites: 10, SinkFailures: 20}, {State: "logging_in", Left: -1, Next: -1}}
		},
		Nodes: func() ([]telemetry.Node, bool) {
			return []telemetry.Node{{Host: "vault-0:8200", Up: true}, {Host: "vault-1:8200"}}, true
		},
	}
}

func newMeters(t testing.TB) *telemetry.Meters {
	t.Helper()
	return metersOf(t, telemetry.Settings{Version: "1.2.3"}, sources())
}

func metersOf(t testing.TB, s telemetry.Settings, from telemetry.Sources) *telemetry.Meters {
	t.Helper()
	m, err := telemetry.New(s, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// scrape returns the samples and the types of a scrape.
func scrape(t *testing.T, m *telemetry.Meters, target string) (samples, types map[string]string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("scrape = %d, Content-Type %q", w.Code, w.Header().Get("Content-Type"))
	}
	samples, types = map[string]string{}, map[string]string{}
	for line := range strings.Lines(w.Body.String()) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			types[name] = kind
		} else if !strings.HasPrefix(line, "#") {
			name, value, _ := strings.Cut(line, " ")
			if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "vault_runtime_") { // they never stand still
				samples[name] = value
			}
		}
	}
	return samples, types
}

func TestCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		count func(*telemetry.Meters)
		want  []string // without the prefix of an application
		own   string
	}{
		"hit":                   {(*telemetry.Meters).Hit, []string{"cache_hit"}, ""},
		"miss":                  {(*telemetry.Meters).Miss, []string{"cache_miss"}, ""},
		"200":                   {func(m *telemetry.Meters) { m.Answered(200) }, []string{"proxy_success"}, ""},
		"307":                   {func(m *telemetry.Meters) { m.Answered(307) }, []string{"proxy_success"}, ""},
		"400":                   {func(m *telemetry.Meters) { m.Answered(400) }, []string{"proxy_client_error"}, ""},
		"503":                   {func(m *telemetry.Meters) { m.Answered(503) }, []string{"proxy_client_error"}, ""},
		"no answer":             {func(m *telemetry.Meters) { m.Failed(502) }, []string{"proxy_error"}, ""},
		"no token yet":          {func(m *telemetry.Meters) { m.Failed(503) }, []string{"proxy_error"}, ""},
		"a client that left":    {func(m *telemetry.Meters) { m.Failed(499) }, nil, "leasehold_requests_abandoned"},
		"a denied request":      {func(m *telemetry.Meters) { m.Denied() }, nil, "leasehold_requests_denied"},
		"a refused request":     {func(m *telemetry.Meters) { m.Failed(429) }, nil, "leasehold_requests_refused"},
		"an error of our own":   {func(m *telemetry.Meters) { m.OwnError(429) }, nil, `vault_core_response_status_code{code="429",type="4xx"}`},
		"one that nobody reads": {func(m *telemetry.Meters) { m.OwnError(499) }, nil, ""},
		"an odd error":          {func(m *telemetry.Meters) { m.OwnError(477) }, nil, ""},
		"login":                 {(*telemetry.Meters).AuthSuccess, []string{"auth_success"}, ""},
		"failed login":          {(*telemetry.Meters).AuthFailure, []string{"auth_failure"}, ""},
		"token held":            {func(m *telemetry.Meters) { m.Authenticated(true) }, []string{"authenticated"}, ""},
		"token lost":            {func(m *telemetry.Meters) { m.Authenticated(true); m.Authenticated(false) }, nil, ""},
		"reload":                {func(m *telemetry.Meters) { m.Reloaded(true, time.Unix(0, 0)) }, nil, "leasehold_reloads"},
		"reload that failed":    {func(m *telemetry.Meters) { m.Reloaded(false, time.Time{}) }, nil, "leasehold_reloads_failed"},
		"renewal":               {func(m *telemetry.Meters) { m.Renewal(nil) }, nil, "leasehold_renewals"},
		"renewal that failed":   {func(m *telemetry.Meters) { m.Renewal(io.EOF) }, nil, "leasehold_renewals_failed"},
		"refused renewal":       {func(m *telemetry.Meters) { m.Renewal(fmt.Errorf("renew: %w", vault.ErrTokenGone)) }, nil, "leasehold_renewals_failed leasehold_renewals_refused"},
		"retry":                 {func(m *telemetry.Meters) { m.Retried("503") }, nil, `leasehold_upstream_retries{reason="503"}`},
		"nothing has happened ": {func(*telemetry.Meters) {}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMeters(t)
			before, _ := scrape(t, m, "/proxy/v1/metrics?format=prometheus")
			tc.count(m)
			after, _ := scrape(t, m, "/agent/v1/metrics")
			want := maps.Clone(before)
			for _, name := range tc.want {
				want["vault_proxy_"+name], want["vault_agent_"+name] = "1", "1"
			}
			for _, name := range strings.Fields(tc.own) {
				want[name] = "1"
			}
			if !maps.Equal(after, want) {
				t.Errorf("after = %v\nwant %v", after, want)
			}
		})
	}
}

func TestSourcesAreAskedAtEachScrape(t *testing.T) {
	samples, types := scrape(t, newMeters(t), "/proxy/v1/metrics")
	for name, want := range map[string]string{
		"leasehold_cache_entries": "7", "leasehold_cache_bytes": "4096", "leasehold_cache_tokens": "3",
		"leasehold_state_commits": "11", "leasehold_state_commits_failed": "12", "leasehold_state_checkpoints": "13", "leasehold_state_compactions": "14",
		"leasehold_state_file_bytes": "15", "leasehold_state_ahead_bytes": "16", "leasehold_state_pending": "17", "leasehold_state_failing": "1",

		`leasehold_leases{state="fresh"}`: "1", `leasehold_leases{state="due"}`: "2", `leasehold_leases{state="failing"}`: "3", `leasehold_leases{state="ending"}`: "4",
		"leasehold_renewal_next": "5", "leasehold_lease_nearest_expiry": "1.5", "leasehold_clock_lag": "7",
		`leasehold_outage_runway{quantile="0.5"}`: "3600", `leasehold_outage_runway{quantile="0.95"}`: "60",

		`leasehold_token_state{auto_auth="a",state="held"}`: "1", `leasehold_token_state{auto_auth="a",state="renewing"}`: "0",
		`leasehold_token_state{auto_auth="",state="logging_in"}`: "1", `leasehold_token_state{auto_auth="",state="held"}`: "0",
		`leasehold_sink_writes{auto_auth="a"}`: "10", `leasehold_sink_failures{auto_auth="a"}`: "20", `leasehold_sink_writes{auto_auth=""}`: "0",
		`leasehold_token_ttl{auto_auth="a"}`: "8", `leasehold_token_ttl{auto_auth=""}`: "",
		`leasehold_token_next_renewal{auto_auth="a"}`: "9", `leasehold_token_next_renewal{auto_auth=""}`: "",

		"leasehold_upstream_breaker_open": "1", `leasehold_upstream_node_up{node="vault-0:8200"}`: "1", `leasehold_upstream_node_up{node="vault-1:8200"}`: "0",
		`leasehold_upstream_retries{reason="503"}`: "0", `leasehold_upstream_retries{reason="connection"}`: "0", // before the first
		`leasehold_build_info{go="` + runtime.Version() + `",version="1.2.3"}`: "1",
	} {
		if samples[name] != want {
			t.Errorf("%s = %q, want %s", name, samples[name], want)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "vault_runtime_num_goroutines", "vault_runtime_total_gc_runs"} {
		if types[name] != "gauge" {
			t.Errorf("%s is a %q, want a gauge", name, types[name])
		}
	}
}

// What there is nothing to say of has no sample, since 0 would be wrong.
func TestWhatIsNotKnownIsNotTold(t *testing.T) {
	from := sources()
	from.Leases = func() telemetry.Leases { return telemetry.Leases{NextRenewal: -1, NearestExpiry: -1} }
	samples, _ := scrape(t, metersOf(t, telemetry.Settings{}, from), "/proxy/v1/metrics")
	for _, name := range []string{"leasehold_renewal_next", "leasehold_lease_nearest_expiry"} {
		if v, there := samples[name]; there {
			t.Errorf("%s = %s", name, v)
		}
	}
}

func TestDurationsFallIntoBuckets(t *testing.T) {
	m := newMeters(t)
	m.Asked(200, 3*time.Millisecond)
	m.Asked(204, time.Minute)
	m.Asked(503, time.Second)
	m.Asked(0, time.Microsecond)
	m.Asked(999, time.Microsecond) // no status that there is
	m.Committed(2 * time.Millisecond)
	samples, types := scrape(t, m, "/proxy/v1/metrics")
	for name, want := range map[string]string{
		`leasehold_upstream_duration_count{status="2xx"}`:               "2",
		`leasehold_upstream_duration_bucket{status="2xx",le="0.0025"}`:  "0",
		`leasehold_upstream_duration_bucket{status="2xx",le="0.005"}`:   "1",
		`leasehold_upstream_duration_bucket{status="2xx",le="30"}`:      "1",
		`leasehold_upstream_duration_bucket{status="2xx",le="+Inf"}`:    "2",
		`leasehold_upstream_duration_bucket{status="5xx",le="1"}`:       "1",
		`leasehold_upstream_duration_bucket{status="none",le="0.0001"}`: "2",
		`leasehold_state_commit_duration_bucket{le="0.001"}`:            "0",
		`leasehold_state_commit_duration_bucket{le="0.0025"}`:           "1",
		`leasehold_state_commit_duration_sum`:                           "0.002",
	} {
		if samples[name] != want {
			t.Errorf("%s = %q, want %s", name, samples[name], want)
		}
	}
	if types["leasehold_upstream_duration"] != "histogram" {
		t.Errorf("type %q", types["leasehold_upstream_duration"])
	}
}

func TestWhatWasRestoredIsTold(t *testing.T) {
	m := newMeters(t)
	m.Restored(1, 2, 3, 4, 5)
	samples, _ := scrape(t, m, "/proxy/v1/metrics")
	for name, want := range map[string]string{"entries": "1", "expired": "2", "orphaned": "3", "unreadable": "4", "revoked": "5"} {
		if got := samples["leasehold_restore_"+name]; got != want {
			t.Errorf("%s = %q, want %s", name, got, want)
		}
	}
}

// withoutRuntime leaves out the lines that are others at each look.
func withoutRuntime(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "go_") && !strings.HasPrefix(line, "process_") && !strings.HasPrefix(line, "vault_runtime_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// What SIGUSR1 writes is what a scrape gets.
func TestDump(t *testing.T) {
	m := newMeters(t)
	m.Hit()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/proxy/v1/metrics", nil))
	var dump strings.Builder
	if err := m.Dump(&dump); err != nil {
		t.Fatal(err)
	}
	if withoutRuntime(dump.String()) != withoutRuntime(w.Body.String()) || !strings.Contains(dump.String(), "vault_proxy_cache_hit 1") {
		t.Errorf("dump = %s", dump.String())
	}
}

func TestUnknownFormatsAreRefused(t *testing.T) {
	for _, format := range []string{"JSON", "Prometheus", "<script>"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/proxy/v1/metrics", nil)
		r.URL.RawQuery = "format=" + format
		newMeters(t).Handler().ServeHTTP(w, r)
		want := fmt.Sprintf("metric response format %q unknown; use prometheus or json\n", format)
		if w.Code != http.StatusBadRequest || w.Body.String() != want || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("answer = %d %q of type %q, want 400 %q", w.Code, w.Body, w.Header().Get("Content-Type"), want)
		}
	}
}

// Counting is on the path of every answer, and what is not answered is seldom.
func TestCountingDoesNotAllocate(t *testing.T) {
	m := newMeters(t)
	if got := testing.AllocsPerRun(100, func() { m.Hit(); m.Miss(); m.Answered(200); m.Renewal(nil) }); got != 0 {
		t.Errorf("allocations = %v, want none", got)
	}
}

func BenchmarkScrape(b *testing.B) {
	h := newMeters(b).Handler()
	r := httptest.NewRequest(http.MethodGet, "/proxy/v1/metrics", nil)
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
