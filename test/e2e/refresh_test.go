package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// Near its max TTL a lease is replaced once, however many ask for it at that moment.
func TestReplacedOnce(t *testing.T) {
	t.Parallel()
	p := startWith(t, shared, "cache { replace_before = 0.5 }\n")
	const path = "/v1/leaser/creds/refresh-once?ttl=6&max_ttl=8"
	first, _ := p.lease(t, path)
	var mu sync.Mutex
	ids, misses := map[string]bool{first: true}, 1
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		clients.Go(func() {
			for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
				a, err := send(t.Context(), "GET", p.URLs[0]+path, "")
				if err != nil || a.Status != http.StatusOK {
					t.Errorf("answer = %d, %v", a.Status, err)
					return
				}
				s, _ := api.ParseSecret(strings.NewReader(string(a.Body)))
				mu.Lock()
				ids[s.LeaseID] = true
				if a.Header.Get("X-Cache") == "MISS" {
					misses++
				}
				mu.Unlock()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	eventually(t, "it is replaced", func() bool { mu.Lock(); defer mu.Unlock(); return len(ids) > 1 })
	if _, err := shared.Client().Sys().Lookup(first); err != nil {
		t.Errorf("it was replaced only after its end: %v", err)
	}
	close(stop)
	clients.Wait()
	if n := shared.Issued("refresh-once"); n != len(ids) || misses != len(ids) {
		t.Errorf("Vault issued %d leases, clients saw %d leases and %d misses", n, len(ids), misses)
	}
}

// With refresh_ahead what was hit is replaced without a request, and what was not is left to end.
func TestRefreshedAhead(t *testing.T) {
	t.Parallel()
	p := startWith(t, shared, "cache {\n  replace_before = 0.5\n  refresh_ahead = true\n}\n")
	const hot, cold = "/v1/leaser/creds/refresh-hot?ttl=5&max_ttl=5", "/v1/leaser/creds/refresh-cold?ttl=5&max_ttl=5"
	id, _ := p.lease(t, hot)
	p.wantHit(t, hot, id)
	p.lease(t, cold)
	// A lease whose max TTL is its TTL is granted less when it is renewed: from then on a hit is what has it replaced.
	eventually(t, "the hot one is replaced in the background", func() bool {
		if shared.Issued("refresh-hot") > 1 {
			return true
		}
		p.lease(t, hot)
		return false
	})
	if next, hit := p.lease(t, hot); !hit || next == id {
		t.Errorf("lease %s, hit %t; want a hit of the successor of %s", next, hit, id)
	}
	if n := shared.Issued("refresh-cold"); n != 1 {
		t.Errorf("nobody asked for the cold one again, and Vault issued %d", n)
	}
}

// When Vault is away as a lease is to be replaced, the old one goes on until its end.
func TestStale(t *testing.T) {
	t.Parallel()
	v, err := startVault(realvault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	remember(v.RootToken)
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	p := startWith(t, v, "cache { rule \"leaser/*\" {\n  cache_non_renewable = true\n  replace_before = 0.9\n} }\n")
	const path = "/v1/leaser/creds/refresh-stale?ttl=20&renewable=false"
	id, _ := p.lease(t, path)
	if err := v.Interrupt(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is served although it should be replaced", func() bool {
		a := p.do(t, "GET", path, "")
		if s := a.secret(t); s.LeaseID != id || s.LeaseDuration > 20 {
			t.Fatalf("lease %s with %d s", s.LeaseID, s.LeaseDuration)
		}
		return a.Header.Get("X-Cache") == "STALE"
	})
	if err := v.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Vault is back, and it is replaced", func() bool {
		a := p.do(t, "GET", path, "")
		return a.Header.Get("X-Cache") == "MISS" && a.secret(t).LeaseID != id
	})
}

func TestRenewAt(t *testing.T) {
	t.Parallel()
	p := startWith(t, shared, "cache { renew_at = 0.3 }\n")
	id, _ := p.lease(t, "/v1/leaser/creds/refresh-at?ttl=20&max_ttl=600")
	begun := time.Now()
	eventually(t, "it is renewed", func() bool { return renewals(t, id) > 0 })
	if at := time.Since(begun); at < 4*time.Second || at > 11*time.Second { // 5 to 7 s, and the test's own slowness
		t.Errorf("renewed after %v of 20 s", at)
	}
}
