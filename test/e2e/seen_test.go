package e2e

import (
	"maps"
	"strconv"
	"strings"
	"testing"
)

// requestSeries are the numbers of requests by the labels of leasehold_request_duration, own endpoints left out: each scrape is one.
func (p *proxy) requestSeries(t *testing.T) map[string]int {
	t.Helper()
	all := map[string]int{}
	for line := range strings.Lines(string(p.do(t, "GET", "/proxy/v1/metrics", "").Body)) {
		rest, ok := strings.CutPrefix(line, "leasehold_request_duration_count{")
		if !ok || strings.Contains(rest, `route="own"`) {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all[labels] = n
	}
	return all
}

// wantCounted sends requests, and waits until exactly these series have grown by so much.
func (p *proxy) wantCounted(t *testing.T, what string, want map[string]int, send func()) {
	t.Helper()
	before := p.requestSeries(t)
	send()
	var grown map[string]int
	eventually(t, what+" is counted", func() bool {
		grown = map[string]int{}
		sum := 0
		for labels, n := range p.requestSeries(t) {
			if n != before[labels] {
				grown[labels] = n - before[labels]
				sum += grown[labels]
			}
		}
		for _, n := range want {
			sum -= n
		}
		return sum >= 0
	})
	if !maps.Equal(grown, want) {
		t.Errorf("%s: grown %v, want %v", what, grown, want)
	}
}

// Each kind of request grows its own series of the histogram, and no other.
func TestRequestsAreCountedByWhatBecameOfThem(t *testing.T) {
	p := startCaching(t)
	get := func(path string, headers ...string) func() {
		return func() { p.do(t, "GET", path, "", headers...) }
	}
	for _, event := range []struct {
		what string
		want map[string]int
		send func()
	}{
		{"a miss", map[string]int{`outcome="MISS",route="lease",status="2xx"`: 1}, get("/v1/leaser/creds/counted?ttl=600")},
		{"a hit", map[string]int{`outcome="HIT",route="lease",status="none"`: 1}, get("/v1/leaser/creds/counted?ttl=600")},
		{"a write of KV", map[string]int{`outcome="MISS",route="kv",status="2xx"`: 1}, func() { p.do(t, "POST", "/v1/secret/data/counted", `{"data":{"a":"b"}}`) }},
		{"KV that is not there", map[string]int{`outcome="none",route="kv",status="4xx"`: 1}, get("/v1/secret/data/nothing-counted")},
		{"a lookup", map[string]int{`outcome="BYPASS",route="lookup",status="2xx"`: 1}, get("/v1/auth/token/lookup-self")},
		{"a login that fails", map[string]int{`outcome="none",route="login",status="4xx"`: 1}, func() { p.do(t, "POST", "/v1/auth/approle/login", `{"role_id":"x","secret_id":"y"}`) }},
		{"health", map[string]int{`outcome="BYPASS",route="sys",status="2xx"`: 1}, get("/v1/sys/health")},
		{"no path of Vault", map[string]int{`outcome="none",route="other",status="4xx"`: 1}, get("/nothing")},
		{"no method of ours", map[string]int{`outcome="none",route="sys",status="none"`: 1}, func() { p.do(t, "TRACE", "/v1/sys/health", "") }},
	} {
		p.wantCounted(t, event.what, event.want, event.send)
	}
	before := p.requestSeries(t)
	if before[`outcome="HIT",route="lease",status="none"`] != 1 {
		t.Errorf("series = %v", before)
	}
	eventually(t, "no request but the scrape is under way", func() bool {
		return strings.Contains(string(p.do(t, "GET", "/proxy/v1/metrics", "").Body), "\nleasehold_requests_active 1\n")
	})
}

// What got no answer from Vault has no status of it.
func TestUnansweredRequestsAreCounted(t *testing.T) {
	p := startProxy(t, vaultStanza("http://127.0.0.1:1")+listenerStanza(), env("VAULT_MAX_RETRIES=0"))
	p.wantCounted(t, "a Vault that is away", map[string]int{`outcome="none",route="kv",status="none"`: 1}, func() {
		if a := p.do(t, "GET", "/v1/secret/data/app", ""); a.Status != 502 {
			t.Errorf("answer = %d", a.Status)
		}
	})
}
