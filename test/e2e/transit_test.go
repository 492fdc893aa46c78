package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// engine is a transit engine of a test's own, that keeps the key of its state file. It need not be mounted, nor have the key.
type engine struct {
	v     *realvault.Server
	mount string
}

// newEngine is mounted and has the key.
func newEngine(t *testing.T, v *realvault.Server) engine {
	t.Helper()
	e := engineOf(t, v)
	e.enable(t)
	e.makeKey(t)
	return e
}

func engineOf(t *testing.T, v *realvault.Server) engine { return engine{v, "teams/" + name(t)} }

func (e engine) enable(t *testing.T) {
	t.Helper()
	if err := e.v.Client().Sys().Mount(e.mount, &api.MountInput{Type: "transit"}); err != nil {
		t.Fatal(err)
	}
}

func (e engine) encrypt() string { return e.mount + "/encrypt/leasehold" }
func (e engine) decrypt() string { return e.mount + "/decrypt/leasehold" }
func (e engine) key() string     { return e.mount + "/keys/leasehold" }

func (e engine) makeKey(t *testing.T) {
	t.Helper()
	if _, err := e.v.Client().Logical().Write(e.key(), nil); err != nil {
		t.Fatal(err)
	}
}

func (e engine) deleteKey(t *testing.T) {
	t.Helper()
	c := e.v.Client().Logical()
	if _, err := c.Write(e.key()+"/config", map[string]any{"deletion_allowed": true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Delete(e.key()); err != nil {
		t.Fatal(err)
	}
}

// newRole is one that may use leases, and the key where it is allowed to.
func (e engine) newRole(t *testing.T, allowed bool) appRole {
	t.Helper()
	if !allowed {
		return newAppRole(t, e.v, newPolicy(t, e.v, "leaser/*: read"))
	}
	return newAppRole(t, e.v, e.grant(t))
}

// grant adds to the policy of newRole what its tokens need of the engine.
func (e engine) grant(t *testing.T) string {
	t.Helper()
	return newPolicy(t, e.v, "leaser/*: read", e.encrypt()+": update", e.decrypt()+": update")
}

func (e engine) stateful(r appRole, dir, lines string) string {
	return stateful(e.v, r, dir, "transit", fmt.Sprintf("transit_mount = %q\ntransit_key = \"leasehold\"", "/"+e.mount+"/")+lines)
}

// begun starts a proxy whose state file is kept in dir, has it keep a lease, and kills it.
func (e engine) begun(t *testing.T, hcl, path string, opts ...option) (leaseID string) {
	t.Helper()
	p := startProxy(t, hcl, opts...)
	id, _ := p.lease(t, path)
	p.wantHit(t, path, id)
	p.killNine(t)
	return id
}

// launched starts a proxy that may have to wait for its key.
func (e engine) launched(t *testing.T, hcl string) *proxy {
	t.Helper()
	p := launch(t, hcl)
	p.waitListening(t, 1)
	return p
}

// audited is a Vault of the test's own with an audit log, which stays short enough to be looked at again and again.
func audited(t *testing.T) *realvault.Server {
	return ownVault(t, realvault.Options{AuditFile: filepath.Join(t.TempDir(), "audit.log")})
}

// askers returns the accessors of those who asked for path, oldest first; done says whether Vault did it.
func askers(t *testing.T, v *realvault.Server, path string, done bool) (accessors []string) {
	t.Helper()
	entries, err := v.AuditEntries()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Request.Path == path && (e.Error == "") == done {
			accessors = append(accessors, e.Request.ClientTokenAccessor)
		}
	}
	return accessors
}

func logins(t *testing.T, v *realvault.Server, r appRole) int {
	t.Helper()
	n, err := v.AuditCount(func(e realvault.Entry) bool {
		return e.Request.Path == "auth/approle/login" && e.Request.Data["role_id"] == r.RoleID
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantLogins expects that the role has logged in so often, since Vault's start.
func wantLogins(t *testing.T, v *realvault.Server, r appRole, want int) {
	t.Helper()
	if n := logins(t, v, r); n != want {
		t.Errorf("%d logins, want %d", n, want)
	}
}

// rememberDataKey adds to what may stand nowhere what the engine was given to encrypt: the state file's own key.
func (e engine) rememberDataKey(t *testing.T) {
	t.Helper()
	entries, err := e.v.AuditEntries()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, entry := range entries {
		if text, ok := entry.Request.Data["plaintext"].(string); ok && entry.Request.Path == e.encrypt() {
			key, err := base64.StdEncoding.DecodeString(text)
			if err != nil || len(key) != 32 {
				t.Fatalf("what was encrypted is not a key of 32 bytes: %d, %v", len(key), err)
			}
			remember(text, string(key))
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d keys were encrypted, want 1", found)
	}
}

// A restart opens the file with a login of its own and goes on with the token of the last run: its leases are hits, and the login's token is
// given back. The file's key is nowhere on disk.
func TestTransit(t *testing.T) {
	t.Parallel()
	for title, opts := range map[string][]option{
		"plain": nil,
		// Vault's own client would have each of these answers wrapped.
		"with VAULT_WRAP_TTL": {env("VAULT_WRAP_TTL=60s")},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			e, dir, leases := newEngine(t, shared), t.TempDir(), "leaser/creds/"+name(t)
			r := e.newRole(t, true)
			hcl := e.stateful(r, dir, exitOnErr)
			path := "/v1/" + leases + "?ttl=600"

			id := e.begun(t, hcl, path, opts...)
			e.rememberDataKey(t)
			wantSealed(t, dir, id)
			for round := range 2 {
				p := startProxy(t, hcl, opts...)
				p.wantHit(t, path, id)
				p.lease(t, fmt.Sprintf("/v1/%s?ttl=%d", leases, 601+round))
				p.killNine(t)
			}
			wantSealed(t, dir, id)
			wantLogins(t, shared, r, 3)

			first := askers(t, shared, e.encrypt(), true)
			users, openers := askers(t, shared, leases, true), askers(t, shared, e.decrypt(), true)
			if len(first) != 1 || len(openers) != 2 || len(slices.Compact(append(users, first...))) != 1 {
				t.Errorf("the file was begun with %v and opened with %v, and leases made with %v; want all with the first", first, openers, users)
			}
			for _, accessor := range append(first, openers...) {
				_, err := shared.Client().Auth().Token().LookupAccessor(accessor)
				if alive := err == nil; alive != (accessor == first[0]) {
					t.Errorf("token %s alive: %v; want the first run's alone (%s)", accessor, alive, first[0])
				}
			}
		})
	}
}

// As long as Vault is away nothing is answered that would need the file, and everybody is told so. The end of the wait needs no help.
func TestTransitWhileVaultIsAway(t *testing.T) {
	t.Parallel()
	v := ownVault(t, realvault.Options{})
	e, dir := newEngine(t, v), t.TempDir()
	hcl := e.stateful(e.newRole(t, true), dir, exitOnErr)
	const path = "/v1/leaser/creds/away?ttl=600"
	id := e.begun(t, hcl, path)
	own := newToken(t, v, name(t)).ClientToken
	if err := v.Interrupt(); err != nil {
		t.Fatal(err)
	}

	launched := func() *proxy {
		p := e.launched(t, hcl)
		p.waitListening(t, 1)
		p.waitLog(t, "connection refused")
		return p
	}
	launched().stop(t) // a stop waits for nothing that is not there
	p := launched()
	const closed = "state file is not open yet: its key is at Vault"
	for title, a := range map[string]answer{
		"a request": p.do(t, "GET", path, "", "X-Vault-Token: "+own),
		"a clear":   p.do(t, "POST", "/proxy/v1/cache-clear", `{"type":"all"}`),
	} {
		if a.Status != http.StatusServiceUnavailable || !contains(a.Body, closed) {
			t.Errorf("%s = %d %s", title, a.Status, a.Body)
		}
	}
	p.wantWaiting(t)
	if a := p.do(t, "GET", "/proxy/v1/metrics", ""); a.Status != http.StatusOK {
		t.Errorf("metrics = %d %s", a.Status, a.Body)
	}
	if strings.Contains(p.log.String(), "msg=ready") {
		t.Error("the log says ready")
	}
	wantSealed(t, dir, id)

	if err := v.Resume(); err != nil {
		t.Fatal(err)
	}
	p.waitLog(t, "msg=ready")
	p.wantHit(t, path, id)
	p.lease(t, path, "X-Vault-Token: "+own)
	if a := p.do(t, "GET", "/proxy/v1/readyz", ""); a.Status != http.StatusOK {
		t.Errorf("readyz = %d %s", a.Status, a.Body)
	}
}

// wantWaiting expects that readyz tells what keeps the proxy from being ready.
func (p *proxy) wantWaiting(t *testing.T) {
	t.Helper()
	a := p.do(t, "GET", "/proxy/v1/readyz", "")
	if a.Status != http.StatusServiceUnavailable || !contains(a.Body, `"state_file","ready":false,"state":"waiting for Vault's transit engine"`) {
		t.Errorf("readyz = %d %s", a.Status, a.Body)
	}
}

// Without the right to the key Leasehold says which is missing, and asks again with the login that it has: its secret id may be good for no
// other. The right is all that is needed to go on.
func TestTransitWithoutTheRight(t *testing.T) {
	t.Parallel()
	const path = "/v1/leaser/creds/denied?ttl=600"
	for operation, begun := range map[string]bool{"encrypt": false, "decrypt": true} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			e, dir := newEngine(t, audited(t)), t.TempDir()
			r := e.newRole(t, begun)
			hcl := e.stateful(r, dir, exitOnErr)
			id, before := "", 0
			if begun {
				id, before = e.begun(t, hcl, path), 1
				newPolicy(t, e.v, "leaser/*: read") // the right is taken away
			}
			onceOnly(t, e.v, r)

			p := e.launched(t, hcl)
			asked := e.mount + "/" + operation + "/leasehold"
			p.waitLog(t, "Vault refused "+asked+" (403: ")
			p.waitLog(t, "give the token the capability update on it")
			eventually(t, "it was asked for again and again", func() bool { return len(askers(t, e.v, asked, false)) >= 3 })
			wantLogins(t, e.v, r, before+1)
			p.wantWaiting(t)

			e.grant(t)
			p.waitLog(t, "msg=ready")
			wantLogins(t, e.v, r, before+1)
			if begun {
				p.wantHit(t, path, id)
			} else {
				p.lease(t, path)
			}
		})
	}
}

// onceOnly gives the role a secret id that is good for one login.
func onceOnly(t *testing.T, v *realvault.Server, r appRole) {
	t.Helper()
	c, role := v.Client().Logical(), "auth/approle/role/"+r.Name
	if _, err := c.Write(role, map[string]any{"secret_id_num_uses": 1}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Write(role+"/secret-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	id := s.Data["secret_id"].(string)
	remember(id)
	writeFile(t, r.SecretIDFile, id, 0o600)
}

// A login that was revoked while it waited for the right is not good for another attempt, and is replaced.
func TestTransitWhenTheLoginEnds(t *testing.T) {
	t.Parallel()
	e := newEngine(t, audited(t))
	r := e.newRole(t, false)
	p := e.launched(t, e.stateful(r, t.TempDir(), ""))
	p.waitLog(t, "Vault refused "+e.encrypt())
	if err := e.v.Client().Auth().Token().RevokeAccessor(askers(t, e.v, e.encrypt(), false)[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there was another login", func() bool { return logins(t, e.v, r) == 2 })
	e.grant(t)
	p.waitLog(t, "msg=ready")
	p.lease(t, "/v1/leaser/creds/ended?ttl=600")
	wantLogins(t, e.v, r, 2)
}

// What is missing at Vault is named with the command that makes it; nothing else is needed.
func TestTransitThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]struct {
		before, after func(e engine, t *testing.T)
		says          func(e engine) string
	}{
		"no engine": {
			func(engine, *testing.T) {},
			func(e engine, t *testing.T) { e.enable(t); e.makeKey(t) },
			func(e engine) string { return "enable it with `vault secrets enable -path=" + e.mount + " transit`" },
		},
		"no key": {engine.enable, engine.makeKey, func(e engine) string { return "make the key with `vault write -f " + e.key() + "`" }},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			e := engineOf(t, shared)
			c.before(e, t)
			r := e.newRole(t, true)
			p := e.launched(t, e.stateful(r, t.TempDir(), exitOnErr))
			p.waitLog(t, c.says(e))
			c.after(e, t)
			p.waitLog(t, "msg=ready")
			p.lease(t, "/v1/leaser/creds/"+name(t)+"?ttl=600")
			wantLogins(t, shared, r, 1)
		})
	}
}

// A key that is gone may come back, from a backup; so its file is kept. With another key in its place it is of no use any more.
func TestTransitKeyReplaced(t *testing.T) {
	t.Parallel()
	for title, lines := range map[string]string{"exit_on_err": exitOnErr, "lenient": ""} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			e, dir, path := newEngine(t, shared), t.TempDir(), "/v1/leaser/creds/"+name(t)+"?ttl=600"
			hcl := e.stateful(e.newRole(t, true), dir, lines)
			id := e.begun(t, hcl, path)
			e.deleteKey(t)
			p := e.launched(t, hcl)
			p.waitLog(t, "make it with `vault write -f "+e.key()+"`")
			if strings.Contains(p.log.String(), "set aside") {
				t.Error("the file was set aside, although its key may come back")
			}
			wantSealed(t, dir, id)
			e.makeKey(t)
			if lines != "" {
				p.wantRefusal(t, "proxy.hcl:", "sealed with another key", `persist "transit"`, "restore the file or its key")
				return
			}
			p.waitLog(t, "state file set aside, a new one begun")
			p.waitLog(t, "msg=ready")
			if again, hit := p.lease(t, path); hit || again == id {
				t.Errorf("lease %s, hit %v, from a file of another key", again, hit)
			}
			wantSealed(t, dir, id)
		})
	}
}

// A key that was rotated at Vault opens what its older versions have closed.
func TestTransitKeyRotated(t *testing.T) {
	t.Parallel()
	e, path := newEngine(t, shared), "/v1/leaser/creds/"+name(t)+"?ttl=600"
	hcl := e.stateful(e.newRole(t, true), t.TempDir(), exitOnErr)
	id := e.begun(t, hcl, path)
	if _, err := e.v.Client().Logical().Write(e.key()+"/rotate", nil); err != nil {
		t.Fatal(err)
	}
	startProxy(t, hcl).wantHit(t, path, id)
}

// The token of the last run is given up for Vault's word alone: not because nobody could say just then whether it is good.
func TestTransitWhenTheLookupFails(t *testing.T) {
	t.Parallel()
	const path = "/v1/leaser/creds/lookup?ttl=600"
	for title, c := range map[string]struct {
		status int
		body   string
	}{
		"Vault is sealed":       {http.StatusServiceUnavailable, `{"errors":["Vault is sealed"]}`},
		"an ingress without it": {http.StatusNotFound, "404 page not found"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			v, fault := withoutLookups(t, c.status, c.body)
			e := newEngine(t, v)
			hcl := e.stateful(e.newRole(t, true), t.TempDir(), exitOnErr)
			id := e.begun(t, hcl, path)
			fault.on.Store(true)
			p := e.launched(t, hcl)
			eventually(t, "it was looked up again", func() bool { return fault.lookups.Load() > 1 })
			fault.on.Store(false)
			p.waitLog(t, "msg=ready")
			p.wantHit(t, path, id)
			if n := fault.logins.Load(); n != 2 {
				t.Errorf("%d logins, want one for each start", n)
			}
		})
	}
}

// lookupFault says whether lookups fail, and counts.
type lookupFault struct {
	on              atomic.Bool
	lookups, logins atomic.Int64
}

// withoutLookups is a Vault of the test's own that answers lookups of tokens in this way when it is told to.
func withoutLookups(t *testing.T, status int, body string) (*realvault.Server, *lookupFault) {
	t.Helper()
	var f lookupFault
	return ownVault(t, realvault.Options{Wrap: func(core http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/v1/auth/approle/login":
				f.logins.Add(1)
			case r.URL.Path == "/v1/auth/token/lookup-self" && f.on.Load():
				f.lookups.Add(1)
				http.Error(w, body, status)
				return
			}
			core.ServeHTTP(w, r)
		})
	}}), &f
}

// A token that may do little about itself is good all the same when it may renew itself.
func TestTransitWithoutTheDefaultPolicy(t *testing.T) {
	t.Parallel()
	e, path := newEngine(t, shared), "/v1/leaser/creds/"+name(t)+"?ttl=600"
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", e.encrypt()+": update", e.decrypt()+": update", "auth/token/renew-self: update"))
	if _, err := shared.Client().Logical().Write("auth/approle/role/"+r.Name, map[string]any{"token_no_default_policy": true}); err != nil {
		t.Fatal(err)
	}
	hcl := e.stateful(r, t.TempDir(), exitOnErr)
	id := e.begun(t, hcl, path)
	p := startProxy(t, hcl)
	p.wantHit(t, path, id)
	p.waitLog(t, "the token that opened the state file was not given back")
}

// A token of the last run that Vault has revoked meanwhile is not used again, and what hung on it is gone; the login that opened the file is.
func TestTransitWhenTheLastTokenIsGone(t *testing.T) {
	t.Parallel()
	e := newEngine(t, audited(t))
	r := e.newRole(t, true)
	hcl := e.stateful(r, t.TempDir(), exitOnErr)
	const path = "/v1/leaser/creds/gone?ttl=600"
	id := e.begun(t, hcl, path)
	if err := e.v.Client().Auth().Token().RevokeAccessor(askers(t, e.v, e.encrypt(), true)[0]); err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, hcl)
	again, hit := p.lease(t, path)
	if hit || again == id {
		t.Errorf("lease %s, hit %v, of a token that is gone", again, hit)
	}
	p.wantHit(t, path, again)
	wantLogins(t, e.v, r, 2)
	users := askers(t, e.v, "leaser/creds/gone", true)
	if opener := askers(t, e.v, e.decrypt(), true); len(opener) != 1 || users[len(users)-1] != opener[0] {
		t.Errorf("leases are made with %v, want the token that opened the file: %v", users, opener)
	}
}
