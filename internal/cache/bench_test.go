package cache_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/cache"
)

// sink is a http.ResponseWriter that costs nothing, as a server's own costs are not ours.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// hitAllocs is this room's half of what a cached hit may allocate in our handlers; the other half is router's.
const hitAllocs = 4

func TestAHitAllocatesLittle(t *testing.T) {
	for name, tc := range map[string]struct {
		target string
		fields []with
	}{
		"lease":        {"/v1/db/creds/app", nil},
		"many headers": {"/v1/db/creds/app", []with{{"Authorization", "Bearer " + autoToken}, {"Traceparent", "00-1-2-01"}, {"Content-Type", "application/json"}}},
		"query":        {"/v1/db/creds/app?ttl=60&max_ttl=90", nil},
		"namespace":    {"/v1/db/creds/app", []with{{"X-Vault-Namespace", "ns1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, always(http.StatusOK, leaseBody("db/creds/app/1", 3600), with{"Cache-Control", "no-store"}), cache.Options{})
				r, w := newRequest(t.Context(), "GET", tc.target, "", tc.fields...), &sink{http.Header{}}
				answer := func() {
					clear(w.header)
					if err := f.Answer(w, r, ownAuto); err != nil {
						t.Error(err)
					}
				}
				answer()
				time.Sleep(10 * time.Minute) // an old entry has more digits
				if got := testing.AllocsPerRun(1000, answer); got > hitAllocs {
					t.Errorf("allocations of a hit = %v, want at most %d", got, hitAllocs)
				}
				f.wantCalls(1)
			})
		})
	}
}

func BenchmarkHit(b *testing.B) {
	f := newFixture(b, leases(), cache.Options{})
	r := newRequest(b.Context(), "GET", "/v1/db/creds/app", "")
	w := &sink{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Answer(w, r, injected); err != nil {
			b.Fatal(err)
		}
	}
	if got := f.vault.calls.Load(); got != 1 {
		b.Errorf("requests that reached Vault = %d, want 1", got)
	}
}

func BenchmarkHitInParallel(b *testing.B) {
	f := newFixture(b, leases(), cache.Options{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := newRequest(b.Context(), "GET", "/v1/db/creds/app", "")
		w := &sink{http.Header{}}
		for pb.Next() {
			if err := f.Answer(w, r, injected); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkMiss is the cost of asking the cache in vain: the same answers with a cache and without.
func BenchmarkMiss(b *testing.B) {
	for _, tc := range []struct {
		name, answer string
		opt          cache.Options
	}{
		{"no cache", strings.ReplaceAll(kvBody, "true", "word"), cache.Options{Off: true}},
		{"KV", strings.ReplaceAll(kvBody, "true", "word"), cache.Options{}},
		{"KV that looks renewable", kvBody, cache.Options{}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			f := newFixture(b, always(http.StatusOK, tc.answer), tc.opt)
			r := newRequest(b.Context(), "GET", "/v1/secret/data/app", "")
			w := &sink{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Answer(w, r, other); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
