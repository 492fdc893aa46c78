package telemetry_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// holdings are those of a cache with something in it.
type holdings struct{}

func (holdings) Stats() (entries int, bytes int64, tokens int) { return 7, 4096, 3 }

func newMeters(t testing.TB) *telemetry.Meters {
	t.Helper()
	m, err := telemetry.New(holdings{}, func() telemetry.StateFile {
		return telemetry.StateFile{Commits: 11, Failed: 12, Checkpoints: 13, Compactions: 14, FileBytes: 15, AheadBytes: 16, Pending: 17, Failing: true}
	})
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
			samples[name] = value
		}
	}
	return samples, types
}

// counters and gauges are all names that users' dashboards may hold us to, for each of Vault's prefixes, and our own.
var (
	counters = []string{
		"cache_hit", "cache_miss", "proxy_success", "proxy_client_error", "proxy_error", "auth_success", "auth_failure",
	}
	own = map[string]string{
		"leasehold_renewals": "counter", "leasehold_renewals_failed": "counter",
		"leasehold_requests_abandoned": "counter", "leasehold_requests_refused": "counter", "leasehold_requests_denied": "counter", "leasehold_cache_full": "counter",
		"leasehold_cache_entries": "gauge", "leasehold_cache_bytes": "gauge", "leasehold_cache_tokens": "gauge",
		"leasehold_state_commits": "counter", "leasehold_state_commits_failed": "counter", "leasehold_state_checkpoints": "counter",
		"leasehold_state_compactions": "counter", "leasehold_state_file_bytes": "gauge", "leasehold_state_ahead_bytes": "gauge",
		"leasehold_state_pending": "gauge", "leasehold_state_failing": "gauge",
		"leasehold_restore_entries": "gauge", "leasehold_restore_expired": "gauge", "leasehold_restore_orphaned": "gauge", "leasehold_restore_unreadable": "gauge",
		"leasehold_restore_revoked": "gauge",
		"leasehold_reloads":         "counter", "leasehold_reloads_failed": "counter", "leasehold_reload_last_success": "gauge",
	}
)

func TestNamesAreExactlyThese(t *testing.T) {
	want := maps.Clone(own)
	for _, app := range []string{"vault_proxy_", "vault_agent_"} {
		for _, name := range counters {
			want[app+name] = "counter"
		}
		want[app+"authenticated"] = "gauge"
	}
	samples, types := scrape(t, newMeters(t), "/proxy/v1/metrics")
	if !maps.Equal(types, want) {
		t.Errorf("types = %v\nwant %v", types, want)
	}
	if got, want := slices.Sorted(maps.Keys(samples)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
		t.Errorf("samples = %v\nwant %v, without labels", got, want)
	}
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
		"login":                 {(*telemetry.Meters).AuthSuccess, []string{"auth_success"}, ""},
		"failed login":          {(*telemetry.Meters).AuthFailure, []string{"auth_failure"}, ""},
		"token held":            {func(m *telemetry.Meters) { m.Authenticated(true) }, []string{"authenticated"}, ""},
		"token lost":            {func(m *telemetry.Meters) { m.Authenticated(true); m.Authenticated(false) }, nil, ""},
		"reload":                {func(m *telemetry.Meters) { m.Reloaded(true, time.Unix(0, 0)) }, nil, "leasehold_reloads"},
		"reload that failed":    {func(m *telemetry.Meters) { m.Reloaded(false, time.Time{}) }, nil, "leasehold_reloads_failed"},
		"renewal":               {func(m *telemetry.Meters) { m.Renewal(true) }, nil, "leasehold_renewals"},
		"renewal that failed":   {func(m *telemetry.Meters) { m.Renewal(false) }, nil, "leasehold_renewals_failed"},
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
			if tc.own != "" {
				want[tc.own] = "1"
			}
			if !maps.Equal(after, want) {
				t.Errorf("after = %v\nwant %v", after, want)
			}
		})
	}
}

func TestHoldingsAreAskedAtEachScrape(t *testing.T) {
	samples, _ := scrape(t, newMeters(t), "/proxy/v1/metrics")
	for name, want := range map[string]string{
		"leasehold_cache_entries": "7", "leasehold_cache_bytes": "4096", "leasehold_cache_tokens": "3",
		"leasehold_state_commits": "11", "leasehold_state_commits_failed": "12", "leasehold_state_checkpoints": "13", "leasehold_state_compactions": "14",
		"leasehold_state_file_bytes": "15", "leasehold_state_ahead_bytes": "16", "leasehold_state_pending": "17", "leasehold_state_failing": "1",
	} {
		if samples[name] != want {
			t.Errorf("%s = %q, want %s", name, samples[name], want)
		}
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
	if dump.String() != w.Body.String() || !strings.Contains(dump.String(), "vault_proxy_cache_hit 1") {
		t.Errorf("dump = %s", dump.String())
	}
}

func TestUnknownFormatsAreRefused(t *testing.T) {
	for _, format := range []string{"json", "Prometheus", "<script>"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/proxy/v1/metrics", nil)
		r.URL.RawQuery = "format=" + format
		newMeters(t).Handler().ServeHTTP(w, r)
		want := fmt.Sprintf("metric response format %q unknown; use prometheus\n", format)
		if w.Code != http.StatusBadRequest || w.Body.String() != want || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("answer = %d %q of type %q, want 400 %q", w.Code, w.Body, w.Header().Get("Content-Type"), want)
		}
	}
}

// Counting is on the path of every request.
func TestCountingDoesNotAllocate(t *testing.T) {
	m := newMeters(t)
	if got := testing.AllocsPerRun(100, func() { m.Hit(); m.Miss(); m.Answered(200); m.Failed(502); m.Renewal(true) }); got != 0 {
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
