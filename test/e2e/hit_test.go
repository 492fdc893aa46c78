package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// lease reads a secret and returns its lease id and whether the answer says that it came from memory.
func (p *proxy) lease(t *testing.T, path string, headers ...string) (id string, hit bool) {
	t.Helper()
	a := p.do(t, "GET", path, "", headers...)
	s := a.secret(t)
	if s.LeaseID == "" {
		t.Fatalf("GET %s: no lease in %s", path, a.Body)
	}
	x := a.Header.Get("X-Cache")
	if x != "HIT" && x != "MISS" {
		t.Errorf("X-Cache = %q", x)
	}
	return s.LeaseID, x == "HIT"
}

// wantHit reads twice what must be one lease.
func (p *proxy) wantHit(t *testing.T, path, id string, headers ...string) {
	t.Helper()
	if got, hit := p.lease(t, path, headers...); !hit || got != id {
		t.Errorf("GET %s = lease %s, hit %v; want a hit of %s", path, got, hit, id)
	}
}

// startCaching runs a proxy whose auto-auth token may do all that these tests do.
func startCaching(t *testing.T) *proxy {
	t.Helper()
	const policy = "e2e-caching"
	if err := shared.Client().Sys().PutPolicy(policy, `path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }`); err != nil {
		t.Fatal(err)
	}
	return startProxy(t, caching(shared.Address, newAppRole(t, shared, policy)))
}

func TestMissThenHit(t *testing.T) {
	p := startCaching(t)
	before := shared.Issued("misshit")
	miss := p.do(t, "GET", "/v1/leaser/creds/misshit?ttl=600", "")
	if got := miss.Header.Get("X-Cache"); got != "MISS" {
		t.Errorf("first X-Cache = %q", got)
	}
	if miss.Header.Get("Age") != "" {
		t.Errorf("a miss has Age %q", miss.Header.Get("Age"))
	}
	first := miss.secret(t)
	eventually(t, "a second has passed on the hit", func() bool {
		hit := p.do(t, "GET", "/v1/leaser/creds/misshit?ttl=600", "")
		s := hit.secret(t)
		if hit.Header.Get("X-Cache") != "HIT" || s.LeaseID != first.LeaseID || s.Data["password"] != first.Data["password"] {
			t.Fatalf("not a hit of the same lease: %s %s", hit.Header.Get("X-Cache"), hit.Body)
		}
		if hit.Header.Get("Content-Type") != miss.Header.Get("Content-Type") || hit.Header.Get("Cache-Control") != miss.Header.Get("Cache-Control") {
			t.Fatalf("header of hit %v differs from %v", hit.Header, miss.Header)
		}
		date, err := http.ParseTime(hit.Header.Get("Date"))
		if err != nil || time.Since(date) > time.Minute || time.Until(date) > time.Minute {
			t.Fatalf("Date = %q", hit.Header.Get("Date"))
		}
		age, err := strconv.Atoi(hit.Header.Get("Age"))
		if err != nil || age < 0 {
			t.Fatalf("Age = %q", hit.Header.Get("Age"))
		}
		return age > 0 && s.LeaseDuration < 600 && s.LeaseDuration > 500
	})
	if n := shared.Issued("misshit") - before; n != 1 {
		t.Errorf("Vault issued %d leases, want 1", n)
	}
}

func TestReplayedTTL(t *testing.T) {
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, vaultStanza(shared.Address)+r.autoAuth()+injectToken+"cache { report_remaining_ttl = false }\n"+listenerStanza())
	id, _ := p.lease(t, "/v1/leaser/creds/replay?ttl=600")
	eventually(t, "a second has passed", func() bool {
		a := p.do(t, "GET", "/v1/leaser/creds/replay?ttl=600", "")
		if s := a.secret(t); s.LeaseID != id || s.LeaseDuration != 600 {
			t.Fatalf("lease_duration = %d, want the stored 600", s.LeaseDuration)
		}
		return a.Header.Get("Age") != "0"
	})
}

// What changes Vault's answer makes another entry; what does not, does not: a trace id must never cost a second lease.
func TestKey(t *testing.T) {
	p := startCaching(t)
	const path = "/v1/leaser/creds/key?ttl=600&max_ttl=3600"
	id, _ := p.lease(t, path)
	t.Run("same", func(t *testing.T) {
		for _, header := range []string{
			"User-Agent: other/1.0", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Request-Id: 7",
			"Host: vault.example", "Accept-Encoding: gzip", "Accept: */*", "X-Vault-Request: true", "X-Forwarded-For: 192.0.2.7",
		} {
			p.wantHit(t, path, id, header)
		}
		p.wantHit(t, "/v1/leaser/creds/key?max_ttl=3600&ttl=600", id)
	})
	t.Run("different", func(t *testing.T) {
		r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
		token := p.logIn(t, r)
		other, hit := p.lease(t, path, "X-Vault-Token: "+token.ClientToken)
		if hit || other == id {
			t.Error("another token was answered from the first one's entry")
		}
		p.wantHit(t, path, other, "X-Vault-Token: "+token.ClientToken)
		p.wantHit(t, path, other, "Authorization: Bearer "+token.ClientToken)
		if got, hit := p.lease(t, "/v1/leaser/creds/key?ttl=601&max_ttl=3600"); hit || got == id {
			t.Error("another query was answered from the same entry")
		}
		if a := p.do(t, "GET", path, "", "X-Vault-Wrap-TTL: 60s"); a.Header.Get("X-Cache") == "HIT" || a.secret(t).WrapInfo == nil {
			t.Errorf("a wrapped read = %s", a.Body)
		}
		// Community Vault refuses or ignores namespaces: either way it has to be asked.
		if a := p.do(t, "GET", path, "", "X-Vault-Namespace: team"); a.Header.Get("X-Cache") == "HIT" {
			t.Error("another namespace was answered from the same entry")
		}
		p.wantHit(t, path, id)
	})
	t.Run("body", func(t *testing.T) {
		one := p.do(t, "POST", "/v1/auth/token/create", `{"ttl":"1h","display_name":"one"}`).secret(t)
		two := p.do(t, "POST", "/v1/auth/token/create", `{"ttl":"1h","display_name":"two"}`).secret(t)
		again := p.do(t, "POST", "/v1/auth/token/create", `{"ttl":"1h","display_name":"one"}`)
		if one.Auth.ClientToken == two.Auth.ClientToken {
			t.Error("another body was answered from the same entry")
		}
		if again.Header.Get("X-Cache") != "HIT" || again.secret(t).Auth.ClientToken != one.Auth.ClientToken {
			t.Error("the same body was not answered from its entry")
		}
	})
}

// 200 identical requests at once, on a cold cache, create one lease.
func TestIdenticalColdRequests(t *testing.T) {
	p := startCaching(t)
	before := shared.Issued("cold")
	ids := make(chan string, 200)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range cap(ids) {
		wg.Go(func() {
			<-start
			a, err := send(t.Context(), "GET", p.URLs[0]+"/v1/leaser/creds/cold?ttl=600", "")
			var s struct {
				LeaseID string `json:"lease_id"`
			}
			if err != nil || a.Status != http.StatusOK || json.Unmarshal(a.Body, &s) != nil {
				t.Errorf("request = %d %v", a.Status, err)
				return
			}
			ids <- s.LeaseID
		})
	}
	close(start)
	wg.Wait()
	close(ids)
	seen := map[string]int{}
	for id := range ids {
		seen[id]++
	}
	if n := shared.Issued("cold") - before; n != 1 || len(seen) != 1 {
		t.Errorf("Vault issued %d leases for %d lease ids, want 1 for 1", n, len(seen))
	}
}

// What has no lease passes, byte for byte but for what Vault makes anew for each request.
func TestKVPasses(t *testing.T) {
	p := startCaching(t)
	token := newToken(t, shared, newPolicy(t, shared, "kv/*: read, list", "secret/*: read, list")).ClientToken
	root := shared.Client().Logical()
	for path, data := range map[string]map[string]any{
		"kv/pass":          {"renewable": "true", "password": "plain <&> ü", "lease_id": "no"},
		"secret/data/pass": {"data": map[string]any{"renewable": true, "nested": []any{1, nil}}},
	} {
		if _, err := root.Write(path, data); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ method, path string }{
		{"GET", "/v1/kv/pass"}, {"GET", "/v1/secret/data/pass"}, {"LIST", "/v1/kv/"}, {"GET", "/v1/kv?list=true"}, {"LIST", "/v1/secret/metadata"},
		{"GET", "/v1/kv/absent"}, {"GET", "/v1/sys/mounts"}, {"GET", "/v1/kv/"}, {"PATCH", "/v1/kv/pass"},
	} {
		for round := range 2 {
			direct, err := send(t.Context(), c.method, shared.Address+c.path, "", "X-Vault-Token: "+token)
			if err != nil {
				t.Fatal(err)
			}
			through := p.do(t, c.method, c.path, "", "X-Vault-Token: "+token)
			if through.Header.Get("X-Cache") == "HIT" {
				t.Errorf("%s %s was answered from memory", c.method, c.path)
			}
			if through.Status != direct.Status || !bytes.Equal(withoutRequestID(through.Body), withoutRequestID(direct.Body)) {
				t.Errorf("%s %s, round %d:\nthrough %d %s\ndirect  %d %s", c.method, c.path, round, through.Status, through.Body, direct.Status, direct.Body)
			}
		}
	}
}

// withoutRequestID blanks the 36 characters of a request id, and nothing else.
func withoutRequestID(body []byte) []byte {
	const label = `"request_id":"`
	i := bytes.Index(body, []byte(label))
	if i < 0 || len(body) < i+len(label)+36 {
		return body
	}
	body = bytes.Clone(body)
	copy(body[i+len(label):], bytes.Repeat([]byte{'-'}, 36))
	return body
}
