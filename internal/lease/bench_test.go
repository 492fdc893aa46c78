package lease_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"leasehold/internal/lease"
)

// offers are answers to as many requests with app's token.
func offers(x *lease.Index, n int, now time.Time) []lease.Offer {
	all := make([]lease.Offer, n)
	for i := range all {
		path := fmt.Sprintf("database/creds/role-%d", i)
		all[i] = offerOf(x, path, app, leaseAnswer(path+"/4hGc9Zp3XoQeWlqzKf0bNnVt", 3600), now)
	}
	return all
}

// filled is an index that holds n leases of app.
func filled(b testing.TB, n int, now time.Time) (*lease.Index, []lease.Offer) {
	x := lease.NewIndex(lease.Options{MaxBytes: 1 << 40})
	x.Hold("", app, "", "", time.Time{})
	all := offers(x, n, now)
	for _, o := range all {
		if _, v := x.Keep(o); !v.Kept() {
			b.Fatalf("Keep() = %q", v)
		}
	}
	return x, all
}

func TestAHitDoesNotAllocate(t *testing.T) {
	x, all := filled(t, 1000, noon)
	missing := keyOf("nothing")
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		if i++; x.Get(&all[i%len(all)].Key, noon) == nil || x.Get(&missing, noon) != nil {
			t.Fatal("a hit is a miss, or a miss a hit")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a look-up", n)
	}
}

func TestDescribeDoesNotAllocate(t *testing.T) {
	for _, path := range []string{
		"/v1/database/creds/ro", "/v1/auth/approle/login", "/v1/sys/leases/renew", "/v1/sys/leases/revoke/aws/creds/a/x1", "/v1/sys/health",
		"/v1/secret/data/a/b/c/d/e/f",
	} {
		if n := testing.AllocsPerRun(100, func() { lease.Describe(http.MethodPost, path, "") }); n != 0 {
			t.Errorf("%v allocations to describe %s", n, path)
		}
	}
}

func BenchmarkDescribe(b *testing.B) {
	for name, path := range map[string]string{
		"read":   "/v1/database/creds/ro",
		"login":  "/v1/auth/approle/login",
		"revoke": "/v1/sys/leases/revoke-prefix/database/creds",
		"deep":   "/v1/ns1/ns2/secret/data/" + strings.Repeat("a/", 20) + "z",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				lease.Describe(http.MethodPost, path, "")
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			now := time.Now()
			x, all := filled(b, n, now)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if x.Get(&all[i%n].Key, now) == nil {
					b.Fatal("a miss")
				}
				i += 7919 // not in the order of their making
			}
		})
		b.Run(fmt.Sprintf("entries=%d/parallel", n), func(b *testing.B) {
			now := time.Now()
			x, all := filled(b, n, now)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i += 7919 {
					if x.Get(&all[i%n].Key, now) == nil {
						b.Error("a miss")
						return
					}
				}
			})
		})
	}
}

func BenchmarkParseSecret(b *testing.B) {
	body := []byte(leaseAnswer("database/creds/ro/4hGc9Zp3XoQeWlqzKf0bNnVt", 3600))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := lease.ParseSecret(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeep(b *testing.B) {
	const n = 10_000
	now := time.Now()
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "", "", time.Time{})
	all := offers(x, n, now)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i == n {
			b.StopTimer()
			i, x = 0, lease.NewIndex(lease.Options{})
			x.Hold("", app, "", "", time.Time{})
			b.StartTimer()
		}
		if _, v := x.Keep(all[i]); !v.Kept() {
			b.Fatal(v)
		}
	}
}

func BenchmarkEvictTokenWith10000Leases(b *testing.B) {
	const n = 10_000
	now := time.Now()
	x, all := filled(b, n, now)
	for b.Loop() {
		if gone, _ := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: app.Reveal()}); gone != n {
			b.Fatalf("%d gone", gone)
		}
		b.StopTimer()
		x.Hold("", app, "", "", time.Time{})
		for _, o := range all {
			x.Keep(o)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/lease")
}

// BenchmarkMemory reports what a lease of an answer of about 230 bytes costs, measured and as counted against the limit.
func BenchmarkMemory(b *testing.B) {
	const n = 10_000
	now := time.Now()
	var measured, counted float64
	for b.Loop() {
		x := lease.NewIndex(lease.Options{})
		x.Hold("", app, "", "", time.Time{})
		before := heap()
		for i := range n {
			path := fmt.Sprintf("database/creds/role-%d", i)
			x.Keep(offerOf(x, path, app, leaseAnswer(path+"/4hGc9Zp3XoQeWlqzKf0bNnVt", 3600), now))
		}
		measured = float64(heap()-before) / n
		entries, bytes, _ := x.Stats()
		counted = float64(bytes) / float64(entries)
	}
	b.ReportMetric(measured, "B/lease")
	b.ReportMetric(counted, "counted-B/lease")
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
