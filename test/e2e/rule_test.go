package e2e

import (
	"strconv"
	"strings"
	"testing"

	"leasehold/test/e2e/realvault"
)

// startWith runs a proxy with a cache stanza of its own, whose token may read leases and do what the default policy allows.
func startWith(t *testing.T, v *realvault.Server, cache string, opts ...option) *proxy {
	t.Helper()
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read", "sys/leases/*: update"))
	return startProxy(t, vaultStanza(v.Address)+r.autoAuth()+injectToken+cache+listenerStanza(allowQuit), opts...)
}

func TestRules(t *testing.T) {
	t.Parallel()
	p := startWith(t, shared, `cache {
  rule "leaser/creds/rule-off*" { cache = false }
  rule "leaser/+/rule-keep" {
    cache_non_renewable = true
    replace_before      = 0.5
  }
  rule "leaser/creds/rule-k*" { cache = false }
}
`)
	for range 2 {
		wantHow(t, p.do(t, "GET", "/v1/leaser/creds/rule-off-1?ttl=600", ""), "BYPASS", "rule")
		wantHow(t, p.do(t, "GET", "/v1/leaser/creds/rule-kind?ttl=600", ""), "BYPASS", "rule")
	}
	wantHow(t, p.do(t, "GET", "/v1/leaser/creds/rule-on?ttl=600", ""), "MISS")
	wantHow(t, p.do(t, "GET", "/v1/leaser/creds/rule-on?ttl=600", ""), "HIT")

	const path = "/v1/leaser/creds/rule-keep?ttl=6&renewable=false"
	id, _ := p.lease(t, path)
	p.wantHit(t, path, id)
	eventually(t, "half of its life is over, and another is asked for", func() bool {
		now, hit := p.lease(t, path)
		if hit != (now == id) {
			t.Fatalf("lease %s, hit %t", now, hit)
		}
		return now != id
	})
	if s, err := shared.Client().Sys().Lookup(id); err != nil {
		t.Errorf("it was replaced only after its end: %v %v", s, err)
	}
	if n := renewals(t, id); n != 0 {
		t.Errorf("%d renewals of what cannot be renewed", n)
	}
}

// Beyond its bounds the cache passes new leases on, and drops none that it holds.
func TestAFullCache(t *testing.T) {
	for title, bound := range map[string]string{"max_entries": "max_entries = 2", "max_size": "max_size = 4000"} {
		t.Run(title, func(t *testing.T) {
			p := startWith(t, shared, "cache { "+bound+" }\n")
			kept, passed := map[string]string{}, 0
			for _, c := range strings.Split("abcdefghij", "") {
				path := "/v1/leaser/creds/full-" + title + c + "?ttl=600"
				a := p.do(t, "GET", path, "")
				if why := a.Header.Get("X-Cache-Reason"); why == "" {
					kept[path] = a.secret(t).LeaseID
				} else {
					passed++
					wantHow(t, a, "MISS", "the cache is full")
				}
			}
			if len(kept) < 2 || passed < 4 {
				t.Fatalf("%d kept, %d passed", len(kept), passed)
			}
			for path, id := range kept {
				p.wantHit(t, path, id)
			}
			if n := strings.Count(p.log.String(), "the cache is full"); n != 1 {
				t.Errorf("%d warnings, want 1", n)
			}
			if got := p.metric(t, "leasehold_cache_full"); int(got) != passed {
				t.Errorf("leasehold_cache_full = %v, want %d", got, passed)
			}
		})
	}
}

// metric reads one counter or gauge.
func (p *proxy) metric(t *testing.T, name string) float64 {
	t.Helper()
	for line := range strings.Lines(string(p.do(t, "GET", "/agent/v1/metrics", "").Body)) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
