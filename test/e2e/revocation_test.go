package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

// Whatever way Vault offers to take a lease or token back: once it has answered, there is no hit any more.
func TestRevocation(t *testing.T) {
	p := startCaching(t)
	role := newAppRole(t, shared, "e2e-caching")
	for title, c := range map[string]struct {
		method, path, body string // with %[1]s lease id, %[2]s token, %[3]s accessor, %[4]s the name in leaser/creds
		byToken            bool   // sent with the token itself
	}{
		"lease in body":                {"PUT", "/v1/sys/leases/revoke", `{"lease_id":"%[1]s"}`, false},
		"lease in body synchronously":  {"PUT", "/v1/sys/leases/revoke", `{"lease_id":"%[1]s","sync":true}`, false},
		"lease in URL":                 {"PUT", "/v1/sys/leases/revoke/%[1]s", ``, false},
		"lease on the old path":        {"POST", "/v1/sys/revoke", `{"lease_id":"%[1]s"}`, false},
		"lease in URL on the old path": {"PUT", "/v1/sys/revoke/%[1]s", ``, false},
		"prefix":                       {"PUT", "/v1/sys/leases/revoke-prefix/leaser/creds/%[4]s", ``, false},
		"prefix on the old path":       {"PUT", "/v1/sys/revoke-prefix/leaser/creds/%[4]s", ``, false},
		"force":                        {"PUT", "/v1/sys/leases/revoke-force/leaser/creds/%[4]s", ``, false},
		"force on the old path":        {"PUT", "/v1/sys/revoke-force/leaser/creds/%[4]s", ``, false},
		"token":                        {"POST", "/v1/auth/token/revoke", `{"token":"%[2]s"}`, false},
		"self":                         {"PUT", "/v1/auth/token/revoke-self", ``, true},
		"accessor":                     {"POST", "/v1/auth/token/revoke-accessor", `{"accessor":"%[3]s"}`, false},
		"orphan":                       {"POST", "/v1/auth/token/revoke-orphan", `{"token":"%[2]s"}`, false},
	} {
		t.Run(title, func(t *testing.T) {
			auth := p.do(t, "POST", "/v1/auth/token/create-orphan", `{"ttl":"1h","policies":["e2e-caching"],"display_name":"`+role.Name+` `+title+`"}`).secret(t).Auth
			creds := "revoke-" + name(t)
			path, mine := "/v1/leaser/creds/"+creds+"?ttl=600", "X-Vault-Token: "+auth.ClientToken
			id, _ := p.lease(t, path, mine)
			p.wantHit(t, path, id, mine)
			fill := func(s string) string {
				return fmt.Sprintf(s+"%.0[1]s%.0[2]s%.0[3]s%.0[4]s", id, auth.ClientToken, auth.Accessor, creds)
			}
			var headers []string
			if c.byToken {
				headers = []string{mine}
			}
			if a := p.do(t, c.method, fill(c.path), fill(c.body), headers...); a.Status >= http.StatusMultipleChoices {
				t.Fatalf("Vault refused the revocation: %d %s", a.Status, a.Body)
			}
			if a := p.do(t, "GET", path, "", mine); a.Header.Get("X-Cache") == "HIT" || (a.Status == http.StatusOK && a.secret(t).LeaseID == id) {
				t.Errorf("a hit on what was revoked: %s", a.Body)
			}
		})
	}
}

// A mount that goes takes its leases with it.
func TestUnmountEvicts(t *testing.T) {
	p := startCaching(t)
	mount := "unmount-" + name(t)
	if a := p.do(t, "POST", "/v1/sys/mounts/"+mount, `{"type":"leaser"}`); a.Status >= 300 {
		t.Fatalf("mount: %d %s", a.Status, a.Body)
	}
	path := "/v1/" + mount + "/creds/x?ttl=600"
	id, _ := p.lease(t, path)
	p.wantHit(t, path, id)
	if a := p.do(t, "DELETE", "/v1/sys/mounts/"+mount, ""); a.Status >= 300 {
		t.Fatalf("unmount: %d %s", a.Status, a.Body)
	}
	if a := p.do(t, "GET", path, ""); a.Status == http.StatusOK {
		t.Errorf("still answered after the mount went: %s", a.Body)
	}
	if a := p.do(t, "POST", "/v1/sys/mounts/"+mount, `{"type":"leaser"}`); a.Status >= 300 {
		t.Fatalf("mount again: %d %s", a.Status, a.Body)
	}
	if again, hit := p.lease(t, path); hit || again == id {
		t.Errorf("the lease of the mount that went is answered: %s, hit %v", again, hit)
	}
}

// The lent token revoked through us, by itself or by its login's path: its leases go, and the next request has a new token.
func TestAutoAuthTokenRevoked(t *testing.T) {
	p := startCaching(t)
	const path = "/v1/leaser/creds/auto-revoked?ttl=600"
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/v1/auth/token/revoke-self", ""},
		{"POST", "/v1/auth/token/revoke-self", ""},
	} {
		id, _ := p.lease(t, path)
		p.wantHit(t, path, id)
		if a := p.do(t, c.method, c.path, c.body); a.Status != http.StatusNoContent {
			t.Fatalf("%s %s = %d %s", c.method, c.path, a.Status, a.Body)
		}
		if again, hit := p.lease(t, path); hit || again == id {
			t.Errorf("after %s: lease %s, hit %v; want a new one", c.path, again, hit)
		}
	}
}

// Disabling the auth method that issued the lent token takes its leases; with nothing to log in with, requests are told so.
func TestAuthMethodDisabled(t *testing.T) {
	p := startCaching(t)
	method := "disable-" + name(t)
	for _, c := range []struct{ path, body string }{
		{"/v1/sys/auth/" + method, `{"type":"userpass"}`},
		{"/v1/auth/" + method + "/users/user", `{"password":"e2e-password","token_policies":"e2e-caching","token_ttl":"1h"}`},
	} {
		if a := p.do(t, "POST", c.path, c.body); a.Status >= 300 {
			t.Fatalf("POST %s = %d %s", c.path, a.Status, a.Body)
		}
	}
	login := p.do(t, "POST", "/v1/auth/"+method+"/login/user", `{"password":"e2e-password"}`).secret(t)
	const path = "/v1/leaser/creds/disabled?ttl=600"
	mine := "X-Vault-Token: " + login.Auth.ClientToken
	id, _ := p.lease(t, path, mine)
	p.wantHit(t, path, id, mine)
	if a := p.do(t, "DELETE", "/v1/sys/auth/"+method, ""); a.Status >= 300 {
		t.Fatalf("disable = %d %s", a.Status, a.Body)
	}
	if a := p.do(t, "GET", path, "", mine); a.Status != http.StatusForbidden {
		t.Errorf("after the auth method went = %d %s", a.Status, a.Header.Get("X-Cache"))
	}
}

// A child token goes with its parent, and its leases with it. An orphan does not.
func TestTokenTree(t *testing.T) {
	p := startCaching(t)
	parent := p.logIn(t, newAppRole(t, shared, "e2e-caching")).ClientToken
	asParent := "X-Vault-Token: " + parent
	child := p.do(t, "POST", "/v1/auth/token/create", `{"ttl":"1h","display_name":"child"}`, asParent).secret(t).Auth.ClientToken
	orphan := p.do(t, "POST", "/v1/auth/token/create-orphan", `{"ttl":"1h","display_name":"orphan"}`, asParent).secret(t).Auth.ClientToken
	const path = "/v1/leaser/creds/tree?ttl=600"
	ofChild, _ := p.lease(t, path, "X-Vault-Token: "+child)
	ofOrphan, _ := p.lease(t, path, "X-Vault-Token: "+orphan)
	p.wantHit(t, path, ofChild, "X-Vault-Token: "+child)
	if a := p.do(t, "POST", "/v1/auth/token/revoke-self", "", asParent); a.Status != http.StatusNoContent {
		t.Fatalf("revoke-self = %d %s", a.Status, a.Body)
	}
	if a := p.do(t, "GET", path, "", "X-Vault-Token: "+child); a.Status != http.StatusForbidden {
		t.Errorf("the child of a revoked token got %d (X-Cache %s), want Vault's 403", a.Status, a.Header.Get("X-Cache"))
	}
	p.wantHit(t, path, ofOrphan, "X-Vault-Token: "+orphan)
}

func TestCacheClear(t *testing.T) {
	p := startCaching(t)
	auth := p.logIn(t, newAppRole(t, shared, "e2e-caching"))
	mine := "X-Vault-Token: " + auth.ClientToken
	const one, two = "/v1/leaser/creds/clear-one?ttl=600", "/v1/leaser/creds/clear-oneandtwo?ttl=600"
	for _, c := range []struct {
		kind, value         string
		takes, takesAnother bool
	}{
		{"request_path", "/v1/leaser/creds/clear-one", true, false},
		{"request_path", "/v1/leaser/creds/clear-on", true, true},
		{"request_path", "/v1/leaser/", true, true},
		{"request_path", "/v1/kv/", false, false},
		{"lease", "%lease", true, false},
		{"lease", "leaser/creds/nothing", false, false},
		{"token_accessor", auth.Accessor, true, true},
		{"token", auth.ClientToken, true, true},
		{"all", "", true, true},
	} {
		for _, app := range []string{"agent", "proxy"} {
			t.Run(app+" "+c.kind+" "+c.value[:min(len(c.value), 26)], func(t *testing.T) {
				id, _ := p.lease(t, one, mine)
				other, _ := p.lease(t, two, mine)
				p.wantHit(t, one, id, mine)
				p.wantHit(t, two, other, mine)
				value := c.value
				if value == "%lease" {
					value = id
				}
				if a := p.do(t, "POST", "/"+app+"/v1/cache-clear", fmt.Sprintf(`{"type":%q,"value":%q}`, c.kind, value)); a.Status != http.StatusOK || len(a.Body) != 0 {
					t.Fatalf("cache-clear = %d %s", a.Status, a.Body)
				}
				if got, hit := p.lease(t, one, mine); hit == c.takes || (got == id) == c.takes {
					t.Errorf("the entry: hit %v, same lease %v", hit, got == id)
				}
				if got, hit := p.lease(t, two, mine); hit == c.takesAnother || (got == other) == c.takesAnother {
					t.Errorf("the other entry: hit %v, same lease %v", hit, got == other)
				}
			})
		}
	}
	t.Run("caching goes on", func(t *testing.T) {
		for range 2 {
			id, _ := p.lease(t, one)
			p.wantHit(t, one, id)
			if a := p.do(t, "PUT", "/proxy/v1/cache-clear", `{"type":"all"}`); a.Status != http.StatusOK {
				t.Fatalf("cache-clear = %d", a.Status)
			}
		}
	})
	for title, c := range map[string]struct {
		method, body, want string
		status             int
	}{
		"no body":       {"POST", "", "failed to parse JSON input: empty JSON provided", 400},
		"not JSON":      {"POST", "{", "failed to parse JSON input", 400},
		"no type":       {"POST", "{}", "failed to parse clear input: no type provided", 400},
		"unknown type":  {"POST", `{"type":"x"}`, "failed to clear cache: invalid type provided", 400},
		"no value":      {"POST", `{"type":"lease"}`, "failed to clear cache: lease not provided", 400},
		"another verb":  {"GET", "", "method not allowed", 405},
		"unknown paths": {"DELETE", "", "method not allowed", 405},
	} {
		t.Run(title, func(t *testing.T) {
			a := p.do(t, c.method, "/agent/v1/cache-clear", c.body)
			if a.Status != c.status || !contains(a.Body, c.want) || !contains(a.Body, `{"errors":["`) {
				t.Errorf("= %d %s, want %d %s", a.Status, a.Body, c.status, c.want)
			}
		})
	}
}
