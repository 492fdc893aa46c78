//go:build unix

package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scrape returns what a scraper of Prometheus reads: the samples, by their whole name.
func (p *proxy) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	a := p.do(t, "GET", "/proxy/v1/metrics", "", "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
	if a.Status != http.StatusOK {
		t.Fatalf("metrics = %d %s", a.Status, a.Body)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(a.Body)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all[line[:i]] = value
	}
	return all
}

// told are the metrics that events are told by: what an event does not name must stand still.
func told(name string) bool {
	for _, prefix := range [...]string{"vault_proxy_", "leasehold_requests_", "leasehold_reloads", "leasehold_request_duration_count"} {
		if strings.HasPrefix(name, prefix) && name != "leasehold_requests_active" && !strings.Contains(name, `route="own"`) {
			return true
		}
	}
	return false
}

// moves checks what an event adds to the metrics; least is what it adds at least.
func (p *proxy) moves(t *testing.T, event string, do func(), exact, least map[string]float64) {
	t.Helper()
	before := p.scrape(t)
	do()
	after := p.scrape(t)
	for name := range after {
		added := after[name] - before[name]
		if want, named := exact[name]; (named || told(name)) && added != want && least[name] == 0 {
			t.Errorf("%s: %s + %v, want + %v", event, name, added, want)
		}
	}
	for name, want := range exact {
		if _, there := after[name]; !there {
			t.Errorf("%s: %s is not there, want + %v", event, name, want)
		}
	}
	for name, want := range least {
		if added := after[name] - before[name]; added < want {
			t.Errorf("%s: %s + %v, want + %v at least", event, name, added, want)
		}
	}
}

func ofRequest(route, outcome, status string) string {
	return `leasehold_request_duration_count{outcome="` + outcome + `",route="` + route + `",status="` + status + `"}`
}

const ofVault = `leasehold_upstream_duration_count{status="2xx"}`

// Each kind of event moves its metrics, and no other.
func TestMetricsOfEachEvent(t *testing.T) {
	v, dir := coldVault(t), t.TempDir()
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read", "sys/leases/*: update"))
	hcl := keepingSecretID(persistent(v.Address, r, dir)) +
		listenerStanza("rule \"leaser/creds/forbidden\" {\n action = \"deny\"\n}\ndefault_action = \"allow\"")
	p := startReloadable(t, hcl)
	p.waitLog(t, "msg=ready")
	p.waitListening(t, 2)
	const path, short = "/v1/leaser/creds/metrics?ttl=600", "/v1/leaser/creds/metrics-short?ttl=3&max_ttl=600"
	get := func(path string, status int) func() {
		return func() {
			t.Helper()
			if a := p.do(t, "GET", path, ""); a.Status != status {
				t.Errorf("%s = %d %s, want %d", path, a.Status, a.Body, status)
			}
		}
	}
	start := p.scrape(t)
	for name, want := range map[string]float64{
		"vault_proxy_auth_success": 1, "vault_agent_auth_success": 1, "vault_proxy_auth_failure": 0, "vault_proxy_authenticated": 1,
		`leasehold_token_state{auto_auth="",state="held"}`: 1, `leasehold_token_state{auto_auth="",state="unauthenticated"}`: 0,
		"leasehold_upstream_breaker_open": 0, `leasehold_upstream_node_up{node="` + strings.TrimPrefix(v.Address, "http://") + `"}`: 1,
	} {
		if got, there := start[name]; !there || got != want {
			t.Errorf("after the login %s = %v (%t), want %v", name, got, there, want)
		}
	}
	if ttl := start[`leasehold_token_ttl{auto_auth=""}`]; ttl <= 0 || start[`leasehold_token_next_renewal{auto_auth=""}`] > ttl {
		t.Errorf("the token has %v s left, and is renewed in %v s", ttl, start[`leasehold_token_next_renewal{auto_auth=""}`])
	}
	p.moves(t, "miss", get(path, 200), map[string]float64{
		"vault_proxy_cache_miss": 1, "vault_proxy_proxy_success": 1, ofRequest("lease", "MISS", "2xx"): 1, ofVault: 1, "leasehold_cache_entries": 1,
	}, map[string]float64{"leasehold_state_commits": 1, "leasehold_state_commit_duration_count": 1})
	p.moves(t, "hit", get(path, 200), map[string]float64{
		"vault_proxy_cache_hit": 1, "vault_proxy_proxy_success": 1, ofRequest("lease", "HIT", "none"): 1, ofVault: 0, "leasehold_cache_entries": 0,
	}, nil)
	p.moves(t, "an error of Vault", get("/v1/leaser/nowhere/metrics", 404), map[string]float64{
		"vault_proxy_cache_miss": 1, "vault_proxy_proxy_client_error": 1, ofRequest("other", "none", "4xx"): 1, `leasehold_upstream_duration_count{status="4xx"}`: 1,
	}, nil)
	p.moves(t, "eviction", func() {
		id, _ := p.lease(t, path) // a hit
		if a := p.do(t, "PUT", "/v1/sys/leases/revoke", `{"lease_id":"`+id+`"}`); a.Status != http.StatusNoContent {
			t.Fatalf("revoke = %d %s", a.Status, a.Body)
		}
	}, map[string]float64{
		"vault_proxy_cache_hit": 1, "vault_proxy_cache_miss": 1, "vault_proxy_proxy_success": 2, ofRequest("lease", "HIT", "none"): 1, ofRequest("revoke", "BYPASS", "2xx"): 1,
		"leasehold_cache_entries": -1,
	}, nil)
	p.moves(t, "denied", func() {
		if a := p.at(1).do(t, "GET", "/v1/leaser/creds/forbidden", ""); a.Status != http.StatusForbidden {
			t.Errorf("denied = %d %s", a.Status, a.Body)
		}
	}, map[string]float64{"leasehold_requests_denied": 1, ofRequest("lease", "none", "none"): 1, `vault_core_response_status_code{code="403",type="4xx"}`: 1}, nil)
	p.moves(t, "a method that nobody serves", func() {
		if a := p.do(t, "TRACE", "/v1/leaser/creds/forbidden", ""); a.Status != http.StatusMethodNotAllowed {
			t.Errorf("TRACE = %d %s", a.Status, a.Body)
		}
	}, map[string]float64{"leasehold_requests_refused": 1, ofRequest("lease", "none", "none"): 1, `vault_core_response_status_code{code="405",type="4xx"}`: 1}, nil)
	p.moves(t, "reload", func() { p.to(t, hcl+"log_level = \"debug\"\n") }, map[string]float64{"leasehold_reloads": 1}, nil)
	p.moves(t, "reload of nonsense", func() { p.to(t, hcl+"log_level = \"loud\"\n") }, map[string]float64{"leasehold_reloads_failed": 1}, nil)
	p.moves(t, "renewal", func() {
		p.lease(t, short)
		eventually(t, "a renewal is counted", func() bool { return p.scrape(t)["leasehold_renewals"] > 0 })
	}, map[string]float64{"vault_proxy_cache_miss": 1, "vault_proxy_proxy_success": 1, ofRequest("lease", "MISS", "2xx"): 1}, map[string]float64{"leasehold_renewals": 1, ofVault: 2})
	p.lease(t, path)
	eventually(t, "leases are told by state", func() bool {
		now := p.scrape(t)
		return now[`leasehold_leases{state="fresh"}`]+now[`leasehold_leases{state="due"}`] == 2 && now["leasehold_lease_nearest_expiry"] < 4 && now[`leasehold_outage_runway{quantile="0.5"}`] > 500
	})
	up := `leasehold_upstream_node_up{node="` + strings.TrimPrefix(v.Address, "http://") + `"}`
	p.moves(t, "outage", func() {
		interrupt(t, v) // not before: the first scrape may look at Vault
		if a := p.do(t, "GET", "/v1/leaser/creds/metrics-away", ""); a.Status < http.StatusInternalServerError {
			t.Errorf("without Vault: %d %s", a.Status, a.Body)
		}
		get(path, 200)()
	}, map[string]float64{
		"vault_proxy_proxy_error": 1, "vault_proxy_cache_hit": 1, "vault_proxy_proxy_success": 1, ofRequest("lease", "HIT", "none"): 1, ofRequest("lease", "none", "none"): 1,
	}, map[string]float64{`leasehold_upstream_duration_count{status="none"}`: 1, up: -1}) // the request may have met the end of a connection, which says nothing of the node
	eventually(t, "the breaker opens", func() bool { // requests find out that there is no connection
		p.do(t, "GET", "/v1/leaser/creds/metrics-away", "")
		now := p.scrape(t)
		return now["leasehold_upstream_breaker_open"] == 1 && now[up] == 0
	})
	eventually(t, "failed renewals are counted", func() bool { return p.scrape(t)["leasehold_renewals_failed"] > 0 })
	resume(t, v)
	eventually(t, "the breaker closes", func() bool { return p.scrape(t)["leasehold_upstream_breaker_open"] == 0 })

	p.kill(t)
	again := startProxy(t, hcl)
	if got := again.scrape(t); got["leasehold_restore_entries"] < 1 || got["vault_proxy_cache_hit"] != 0 {
		t.Errorf("after the restart: %v restored, %v hits", got["leasehold_restore_entries"], got["vault_proxy_cache_hit"])
	}
}

// The stanza of a user's file does what it does in Vault.
func TestTelemetryStanza(t *testing.T) {
	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer statsd.Close()
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, caching(shared.Address, r)+`telemetry {
  metrics_prefix            = "edge"
  disable_hostname          = true
  prometheus_retention_time = "0"
  statsd_address            = "`+statsd.LocalAddr().String()+`"
  prefix_filter             = ["-edge.agent"]
}
`)
	p.lease(t, "/v1/leaser/creds/telemetry?ttl=600")
	if a := p.do(t, "GET", "/proxy/v1/metrics?format=prometheus", ""); a.Status != http.StatusBadRequest || string(a.Body) != "prometheus is not enabled\n" {
		t.Errorf("Prometheus text that is turned off: %d %s", a.Status, a.Body)
	}
	var summary struct {
		Counters []struct {
			Name  string
			Count int
		}
	}
	if err := json.Unmarshal(p.do(t, "GET", "/agent/v1/metrics", "").Body, &summary); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, c := range summary.Counters {
		counts[c.Name] = c.Count
	}
	if counts["edge.proxy.cache.miss"] != 1 || counts["edge.agent.cache.miss"] != 0 {
		t.Errorf("counters %v", counts)
	}
	p.stop(t) // which sends what is left
	_ = statsd.SetReadDeadline(time.Now().Add(patience))
	for b := make([]byte, 2048); ; {
		n, _, err := statsd.ReadFrom(b)
		if err != nil {
			t.Fatalf("statsd was not told: %v", err)
		}
		if strings.Contains(string(b[:n]), "edge.proxy.cache.miss:1|c\n") {
			return
		}
	}
}

// A collector that is not there costs a line of the log, and neither the start nor the end waits for it.
func TestNoCollector(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, caching(shared.Address, r)+"telemetry {\n  otlp {\n    endpoint = \"http://"+address+"\"\n    headers = { Authorization = \"Bearer hush-of-the-collector\" }\n    interval = 1\n  }\n}\n",
		env("NO_PROXY=*"))
	p.lease(t, "/v1/leaser/creds/collector?ttl=600")
	p.stop(t)
	log := p.log.String()
	if strings.Count(log, "not delivered") == 0 || strings.Contains(log, "hush-of-the-collector") {
		t.Errorf("log: %s", log)
	}
}
