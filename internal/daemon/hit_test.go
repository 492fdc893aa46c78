package daemon_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// hitting is a daemon's handler, without the server around it, that answers one request from memory.
type hitting struct {
	http.Handler
	w discarding
	r *http.Request
}

func (h *hitting) hit() {
	clear(h.w)
	h.ServeHTTP(h.w, h.r)
}

// discarding is a ResponseWriter that can be used again.
type discarding http.Header

func (d discarding) Header() http.Header       { return http.Header(d) }
func (discarding) Write(b []byte) (int, error) { return len(b), nil }
func (discarding) WriteHeader(int)             {}

// newHitting makes one with these stanzas; bare, nothing counts or tells of a request.
func newHitting(tb testing.TB, stanzas string, bare bool) *hitting {
	tb.Helper()
	cfg, err := config.Parse("test.hcl", fmt.Appendf(nil, "vault { address = %q }\n%s%s", vaulttest.NewServer(tb).URL, listenerAndCache, stanzas),
		config.Options{LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		tb.Fatal(err)
	}
	cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent
	h, run, err := daemon.Handler(cfg, daemon.Options{Token: vault.NewToken(vaulttest.RootToken), Log: slog.New(slog.DiscardHandler)}, bare)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	one := &hitting{h, discarding{}, httptest.NewRequest(http.MethodGet, "/v1/leaser/creds/hit?ttl=3600", nil)}
	for range 2 {
		one.hit()
	}
	if got := http.Header(one.w).Get("X-Cache"); got != "HIT" {
		tb.Fatalf("the second answer has the header %v", one.w)
	}
	return one
}

// telemetryStanzas are what can be turned on, after what is on by default. A collector takes in spans and forgets them.
func telemetryStanzas(tb testing.TB) (named []struct{ name, stanzas string }) {
	tb.Helper()
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	tb.Cleanup(collector.Close)
	traces := func(ratio string) string {
		return fmt.Sprintf("\ntelemetry {\n  otlp {\n    endpoint = %q\n    metrics = false\n  }\n  traces { sample_ratio = %s }\n}\n", collector.URL, ratio)
	}
	return []struct{ name, stanzas string }{
		{"metrics", ""},
		{"metrics, access log", fmt.Sprintf("\naccess_log { path = %q }\n", filepath.Join(tb.TempDir(), "access.log"))},
		{"metrics, traces of none", traces("0.0")},
		{"metrics, traces of all", traces("1.0")},
	}
}

// What telemetry adds to a hit, in process and without the server of net/http: ratios within one run count.
func BenchmarkHit(b *testing.B) {
	named := append([]struct{ name, stanzas string }{{"nothing", ""}}, telemetryStanzas(b)...)
	for i, tc := range named {
		b.Run(tc.name, func(b *testing.B) {
			h := newHitting(b, tc.stanzas, i == 0)
			b.ReportAllocs()
			for b.Loop() {
				h.hit()
			}
		})
	}
}
