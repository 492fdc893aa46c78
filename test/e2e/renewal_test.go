package e2e

import (
	"net/http"
	"testing"
	"time"

	"leasehold/test/e2e/realvault"
)

// A lease of 3 s is served and alive at Vault after four times its life, because it is renewed.
func TestShortLeaseLivesOn(t *testing.T) {
	p := startCaching(t)
	start := time.Now()
	id, _ := p.lease(t, "/v1/leaser/creds/short?ttl=3&max_ttl=600")
	for tick := time.NewTicker(300 * time.Millisecond); time.Since(start) < 12*time.Second; <-tick.C {
		p.wantHit(t, "/v1/leaser/creds/short?ttl=3&max_ttl=600", id)
		if t.Failed() {
			t.Fatalf("after %v", time.Since(start))
		}
	}
	if n := renewals(t, id); n < 3 {
		t.Errorf("Vault saw %d renewals, want at least 3", n)
	}
	if _, err := shared.Client().Sys().Lookup(id); err != nil {
		t.Errorf("the lease is not alive at Vault: %v", err)
	}
}

func renewals(t *testing.T, id string) int {
	t.Helper()
	n, err := shared.AuditCount(func(e realvault.Entry) bool { return e.Renews(id) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// At max TTL a lease cannot be extended: the next request gets a new one while the old one is still good.
func TestReplacedBeforeMaxTTL(t *testing.T) {
	p := startCaching(t)
	const path = "/v1/leaser/creds/max?ttl=6&max_ttl=10"
	old, _ := p.lease(t, path)
	for {
		id, hit := p.lease(t, path)
		if id != old {
			if hit {
				t.Error("the replacement was a hit")
			}
			break
		}
		<-time.After(50 * time.Millisecond) // between two looks, not to make something true
	}
	if _, err := shared.Client().Sys().Lookup(old); err != nil {
		t.Errorf("the old lease was dead before it was replaced: %v", err)
	}
}

// A client that renews its lease gets Vault's answer each time, and hits report the new end (hashicorp/vault#19684).
func TestRenewalPassesThrough(t *testing.T) {
	p := startCaching(t)
	const path = "/v1/leaser/creds/renewed?ttl=100&max_ttl=3600"
	id, _ := p.lease(t, path)
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/v1/sys/leases/renew", `{"lease_id":"` + id + `","increment":1800}`},
		{"PUT", "/v1/sys/leases/renew", `{"lease_id":"` + id + `","increment":1800}`},
		{"POST", "/v1/sys/leases/renew/" + id, `{"increment":1800}`},
		{"PUT", "/v1/sys/renew", `{"lease_id":"` + id + `","increment":1800}`},
	} {
		before := renewals(t, id)
		a := p.do(t, c.method, c.path, c.body)
		if a.Header.Get("X-Cache") == "HIT" || a.secret(t).LeaseDuration < 1700 {
			t.Errorf("%s %s = %s %s", c.method, c.path, a.Header.Get("X-Cache"), a.Body)
		}
		if got := renewals(t, id); got != before+1 {
			t.Errorf("%s %s: Vault saw %d renewals, want 1", c.method, c.path, got-before)
		}
	}
	a := p.do(t, "GET", path, "")
	if s := a.secret(t); s.LeaseID != id || s.LeaseDuration < 1700 {
		t.Errorf("the hit reports %d s, want what the renewal granted", s.LeaseDuration)
	}
}

// A login through Leasehold is a token that Leasehold keeps alive, and an identical login gets the same one.
func TestLoginIsKeptAlive(t *testing.T) {
	p := startCaching(t)
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	if _, err := shared.Client().Logical().Write("auth/approle/role/"+r.Name, map[string]any{"token_ttl": "3s", "token_max_ttl": "1h"}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	auth := p.logIn(t, r)
	for tick := time.NewTicker(300 * time.Millisecond); time.Since(start) < 8*time.Second; <-tick.C {
		if again := p.logIn(t, r); again.ClientToken != auth.ClientToken {
			t.Fatalf("after %v another token", time.Since(start))
		}
	}
	if a := p.do(t, "GET", "/v1/auth/token/lookup-self", "", "X-Vault-Token: "+auth.ClientToken); a.Status != http.StatusOK {
		t.Errorf("the token is dead: %d %s", a.Status, a.Body)
	}
}
