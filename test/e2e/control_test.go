package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// wantHow checks how an answer came about, and that a reason is given exactly where there is one to give.
func wantHow(t *testing.T, a answer, how string, why ...string) {
	t.Helper()
	reason := a.Header.Get("X-Cache-Reason")
	if got := a.Header.Get("X-Cache"); got != how || (len(why) == 0) != (reason == "") || len(why) > 0 && !strings.Contains(reason, why[0]) {
		t.Errorf("X-Cache = %q, because %q; want %s %v", got, reason, how, why)
	}
}

func TestHowAnswersCameAbout(t *testing.T) {
	p := startCaching(t)
	own := newToken(t, shared, "e2e-caching").ClientToken
	if a := p.do(t, "POST", "/v1/secret/data/how", `{"data":{"a":"b"}}`); a.Status != http.StatusOK {
		t.Fatalf("write = %d %s", a.Status, a.Body)
	}
	for _, c := range []struct {
		method, path, body, how, why string
		headers                      []string
	}{
		{"GET", "/v1/leaser/creds/control-how?ttl=600", "", "MISS", "", nil},
		{"GET", "/v1/leaser/creds/control-how?ttl=600", "", "HIT", "", nil},
		{"GET", "/v1/leaser/creds/control-how?ttl=600", "", "BYPASS", "no-store", []string{"Cache-Control: max-age=0, No-Store"}},
		{"GET", "/v1/leaser/creds/control-how?ttl=600", "", "MISS", "was not issued through here", []string{"X-Vault-Token: " + own}},
		{"GET", "/v1/leaser/creds/control-how?ttl=600&renewable=false", "", "MISS", "not renewable", nil},
		{"GET", "/v1/leaser/creds/control-how?ttl=600", "", "BYPASS", "wrapped", []string{"X-Vault-Wrap-TTL: 60s"}},
		{"GET", "/v1/secret/data/how", "", "MISS", "not renewable", nil},
		{"LIST", "/v1/secret/metadata/", "", "BYPASS", "creates nothing", nil},
		{"GET", "/v1/sys/health", "", "BYPASS", "creates nothing", nil},
		{"PUT", "/v1/auth/token/renew-self", "{}", "BYPASS", "renewal", []string{"X-Vault-Token: " + own}},
		{"PUT", "/v1/auth/token/revoke-self", "{}", "BYPASS", "revocation", []string{"X-Vault-Token: " + own}},
		{"POST", "/v1/auth/token/create", `{"type":"batch","ttl":"60s"}`, "MISS", "not renewable", nil},
	} {
		a := p.do(t, c.method, c.path, c.body, c.headers...)
		var why []string
		if c.why != "" {
			why = []string{c.why}
		}
		wantHow(t, a, c.how, why...)
		if t.Failed() {
			t.Fatalf("%s %s = %d", c.method, c.path, a.Status)
		}
	}
	if a := p.do(t, "GET", "/v1/secret/data/none", ""); a.Header.Get("X-Cache")+a.Header.Get("X-Cache-Reason") != "" {
		t.Errorf("an error has X-Cache %q", a.Header.Get("X-Cache"))
	}
}

// Twenty at once cost one lease, and all but one say that they waited for it.
func TestCoalesced(t *testing.T) {
	v, arrived, release := gated(t)
	p := startProxy(t, caching(v.Address, newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))))
	const clients = 20
	var all sync.WaitGroup
	how := make(chan string, clients)
	for range clients {
		all.Go(func() {
			a, err := send(t.Context(), "GET", p.URLs[0]+"/v1/leaser/creds/slow?ttl=600", "")
			if err != nil {
				t.Error(err)
			}
			how <- a.Header.Get("X-Cache")
		})
	}
	<-arrived
	release()
	all.Wait()
	close(how)
	count := map[string]int{}
	for h := range how {
		count[h]++
	}
	if count["MISS"] != 1 || count["MISS"]+count["COALESCED"]+count["HIT"] != clients {
		t.Errorf("answers = %v, want one MISS, the others COALESCED, or HIT when they came late", count)
	}
	if n := v.Issued("slow"); n != 1 {
		t.Errorf("Vault issued %d leases", n)
	}
}

func TestAFreshAnswerIsAskedFor(t *testing.T) {
	p := startCaching(t)
	const path = "/v1/leaser/creds/control-fresh?ttl=600"
	first, _ := p.lease(t, path)
	a := p.do(t, "GET", path, "", "Cache-Control: no-cache")
	wantHow(t, a, "HIT", "refresh limited") // within a second of the first
	var second string
	eventually(t, "a second has passed, and no-cache is heeded", func() bool {
		a := p.do(t, "GET", path, "", "Cache-Control: no-cache")
		second = a.secret(t).LeaseID
		return a.Header.Get("X-Cache") == "MISS"
	})
	if second == first {
		t.Error("the fresh answer is the old lease")
	}
	p.wantHit(t, path, second)
	if third := p.do(t, "GET", path, "", "Cache-Control: no-store").secret(t).LeaseID; third == second {
		t.Error("no-store was answered from memory")
	}
	p.wantHit(t, path, second)
	if _, err := shared.Client().Sys().Lookup(first); err != nil {
		t.Errorf("the replaced lease is gone at Vault: %v", err)
	}
	// No number of impatient clients costs Vault more than twenty leases at once, and ten a second.
	before := shared.Issued("control-fresh")
	for range 100 {
		p.do(t, "GET", path, "", "Cache-Control: no-store")
	}
	if n := shared.Issued("control-fresh") - before; n > 95 {
		t.Errorf("100 requests with no-store cost %d leases: there is no limit", n)
	}
}
