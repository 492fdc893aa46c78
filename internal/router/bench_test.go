package router_test

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/router"
	"leasehold/internal/vault"
)

// nothing answers at no cost.
type nothing struct{}

func (nothing) Answer(http.ResponseWriter, *http.Request, vault.Identity) error { return nil }

// production is a listener as the default configuration has it; seen may be nil.
func production(seen func(*router.Exchange)) http.Handler { return productionTraced(seen, nil) }

// productionTraced is that with a tracer, which may be nil.
func productionTraced(seen func(*router.Exchange), tracer trace.Tracer) http.Handler {
	return router.New(router.Parts{
		Answer: nothing{}, Tokens: fakeTokens{token: vault.NewToken(autoToken)}, Metrics: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler),
		Seen: seen, Active: new(atomic.Int64), Tracer: tracer,
	}, router.Options{RequireRequestHeader: true, EnableQuit: true, MaxRequestSize: 32 << 20, TokenUse: router.WhenAbsent})
}

// routeAllocs is this room's half of what a cached hit may allocate in our handlers; the other half is cache's.
const routeAllocs = 4

func TestRoutingAllocatesLittle(t *testing.T) {
	h := production(func(*router.Exchange) {})
	for name, fields := range map[string][]string{
		"injected token": {"X-Vault-Request", "true"},
		"own token":      {"X-Vault-Request", "true", "X-Vault-Token", "hvs.mine"},
		"bearer token":   {"X-Vault-Request", "true", "Authorization", "Bearer hvs.mine"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("GET", "/v1/db/creds/app?ttl=60", "", fields...)
			if got := testing.AllocsPerRun(1000, func() { h.ServeHTTP(nopWriter{}, r) }); got > routeAllocs {
				t.Errorf("allocations = %v, want at most %d", got, routeAllocs)
			}
		})
	}
}

func TestSeenAllocatesNothing(t *testing.T) {
	r := newRequest("GET", "/v1/db/creds/app", "", "X-Vault-Request", "true")
	allocs := func(h http.Handler) float64 {
		return testing.AllocsPerRun(1000, func() { h.ServeHTTP(nopWriter{}, r) })
	}
	if alone, seen := allocs(production(nil)), allocs(production(func(*router.Exchange) {})); seen > alone {
		t.Errorf("allocations = %v, want %v as without Seen", seen, alone)
	}
}

func BenchmarkRoute(b *testing.B) {
	for name, seen := range map[string]func(*router.Exchange){"alone": nil, "seen": func(*router.Exchange) {}} {
		b.Run(name, func(b *testing.B) {
			h := production(seen)
			r := newRequest("GET", "/v1/db/creds/app", "", "X-Vault-Request", "true")
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nopWriter{}, r)
			}
		})
	}
}
