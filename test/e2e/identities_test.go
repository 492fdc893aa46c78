package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// identity is a role with an auto_auth stanza of its own, and a sink.
type identity struct {
	name string // of the stanza; "" for none
	appRole
	sink string
	past int // logins of the role by an earlier run of the test
}

// newIdentity may do what the rules say.
func newIdentity(t *testing.T, v *realvault.Server, stanza string, rules ...string) identity {
	t.Helper()
	own := name(t) + "-of-" + cmp.Or(stanza, "nobody")
	i := identity{name: stanza, appRole: appRoleNamed(t, v, own, policyNamed(t, v, own, rules...)), sink: filepath.Join(t.TempDir(), "token-"+stanza)}
	i.past = logins(t, v, i.appRole)
	return i
}

// wantLogins expects that it has logged in so often, in this test.
func (i identity) wantLogins(t *testing.T, v *realvault.Server, want int) {
	t.Helper()
	wantLogins(t, v, i.appRole, i.past+want)
}

// stanza is its auto_auth stanza; more goes into its method.
func (i identity) stanza(more ...string) string {
	label := ""
	if i.name != "" {
		label = fmt.Sprintf("%q ", i.name)
	}
	hcl := strings.Replace(i.autoAuth(), "auto_auth {", fmt.Sprintf("auto_auth %s{\n  sink \"file\" { config = { path = %q } }", label, i.sink), 1)
	return strings.Replace(hcl, "config = {\n", strings.Join(more, "\n    ")+"\n    config = {\n", 1)
}

// listener is one that lends its token.
func (i identity) listener() string {
	if i.name == "" {
		return listenerStanza()
	}
	return listenerStanza(fmt.Sprintf("auto_auth = %q", i.name))
}

// held is the token that its sink has.
func (i identity) held(t *testing.T, v *realvault.Server) *api.Secret {
	t.Helper()
	text := readFile(t, i.sink)
	remember(text)
	s, err := v.Client().Auth().Token().Lookup(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// at is the proxy as clients of its nth listener see it.
func (p *proxy) at(n int) *proxy {
	q := *p
	q.URLs = p.URLs[n:]
	return &q
}

// twoIdentities are the unnamed one and "payments", which may read what the first may not.
func twoIdentities(t *testing.T, v *realvault.Server) (first, payments identity) {
	t.Helper()
	return newIdentity(t, v, "", "leaser/creds/both*: read", "leaser/creds/first: read"),
		newIdentity(t, v, "payments", "leaser/creds/both*: read", "leaser/creds/payments: read")
}

// waitReady waits until every part is ready: the sinks have the tokens as well.
func (p *proxy) waitReady(t *testing.T) {
	t.Helper()
	eventually(t, "readyz says 200", func() bool { return p.do(t, "GET", "/proxy/v1/readyz", "").Status == http.StatusOK })
}

const both = "/v1/leaser/creds/both?ttl=600"

// Two identities in one process: each listener answers with the rights of its own, from entries of its own.
func TestIdentitiesAreApart(t *testing.T) {
	first, payments := twoIdentities(t, shared)
	started := startProxy(t, vaultStanza(shared.Address)+first.stanza()+payments.stanza()+injectToken+cacheStanza+first.listener()+payments.listener())
	started.waitReady(t)
	one, two := started.at(0), started.at(1)
	idOne, hitOne := one.lease(t, both)
	idTwo, hitTwo := two.lease(t, both)
	if hitOne || hitTwo || idOne == idTwo {
		t.Errorf("leases %s, hit %t, and %s, hit %t; want two new ones", idOne, hitOne, idTwo, hitTwo)
	}
	for range 2 {
		one.wantHit(t, both, idOne)
		two.wantHit(t, both, idTwo)
	}
	for path, allowed := range map[string]*proxy{"first": one, "payments": two} {
		for _, p := range []*proxy{one, two} {
			want := http.StatusForbidden
			if p == allowed {
				want = http.StatusOK
			}
			for range 2 { // what is a hit for one is none for the other
				if a := p.do(t, "GET", "/v1/leaser/creds/"+path, ""); a.Status != want {
					t.Errorf("%s by the identity of %s = %d, want %d", path, p.URLs[0], a.Status, want)
				}
			}
		}
	}
	for _, i := range []identity{first, payments} {
		policies, err := i.held(t, shared).TokenPolicies()
		if err != nil || !slices.Contains(policies, i.Name) {
			t.Errorf("the token in the sink of %q has the policies %v, %v", i.name, policies, err)
		}
	}
	if readFile(t, first.sink) == readFile(t, payments.sink) {
		t.Error("both sinks have the same token")
	}
	for _, p := range []*proxy{one, two} { // neither shows its token, nor the other's
		a := p.do(t, "GET", "/v1/auth/token/lookup-self", "")
		for _, i := range []identity{first, payments} {
			if a.Status != http.StatusOK || strings.Contains(string(a.Body), readFile(t, i.sink)) {
				t.Errorf("lookup-self = %d; it shows the token of %q, or nothing", a.Status, i.name)
			}
		}
	}
	var ready struct{ Parts []readyPart }
	if err := json.Unmarshal(one.do(t, "GET", "/proxy/v1/readyz", "").Body, &ready); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"auto_auth", `auto_auth "payments"`} {
		if part, status := one.ready(t, name); status != http.StatusOK || !part.Ready || part.State != "held" {
			t.Errorf("readyz says of %s: %+v, in %d %+v", name, part, status, ready)
		}
	}
}

// The token of one is revoked behind our back: its next request gets the next token, and the other's leases and hits are as before.
func TestALostIdentityLeavesTheOtherAlone(t *testing.T) {
	for name, revoked := range map[string]int{"the unnamed": 0, "the named": 1} {
		t.Run(name, func(t *testing.T) {
			first, payments := twoIdentities(t, shared)
			all := []identity{first, payments}
			started := startProxy(t, vaultStanza(shared.Address)+first.stanza()+payments.stanza()+injectToken+cacheStanza+first.listener()+payments.listener())
			started.waitReady(t)
			lost, other := started.at(revoked), started.at(1-revoked)
			idLost, _ := lost.lease(t, both)
			idOther, _ := other.lease(t, both)
			before := readFile(t, all[revoked].sink)
			kept := readFile(t, all[1-revoked].sink)
			remember(before, kept)
			if err := shared.Client().Auth().Token().RevokeTree(before); err != nil {
				t.Fatal(err)
			}
			if id, hit := lost.lease(t, "/v1/leaser/creds/both-anew?ttl=600"); hit || id == "" { // 403 inside, and once more with the next token
				t.Errorf("the request after the revocation: lease %q, hit %t", id, hit)
			}
			if id, hit := lost.lease(t, both); hit || id == idLost {
				t.Errorf("what hung on the revoked token: lease %s, hit %t; want a new one", id, hit)
			}
			other.wantHit(t, both, idOther)
			if _, err := shared.Client().Sys().Lookup(idOther); err != nil {
				t.Errorf("the other's lease: %v", err)
			}
			eventually(t, "the next token is in the sink", func() bool { return readFile(t, all[revoked].sink) != before })
			if readFile(t, all[1-revoked].sink) != kept {
				t.Error("the other has logged in again")
			}
			all[1-revoked].wantLogins(t, shared, 1)
			all[revoked].wantLogins(t, shared, 2)
		})
	}
}

// A restart resumes the token of each, and the leases that hang on it.
func TestIdentitiesResume(t *testing.T) {
	dir := t.TempDir()
	first, payments := twoIdentities(t, shared)
	hcl := persistent(shared.Address, first.appRole, dir)
	hcl = strings.Replace(hcl, first.autoAuth(), first.stanza(), 1) + payments.stanza() + payments.listener()
	var idOne, idTwo string
	for round := range 3 { // from the second on there is no secret id left to log in with
		p := startProxy(t, hcl)
		one, two := p.at(0), p.at(1)
		if round == 0 {
			idOne, _ = one.lease(t, both)
			idTwo, _ = two.lease(t, both)
		}
		one.wantHit(t, both, idOne)
		two.wantHit(t, both, idTwo)
		eventually(t, "both tokens are confirmed", func() bool {
			a, _ := p.ready(t, "auto_auth")
			b, _ := p.ready(t, `auto_auth "payments"`)
			return a.State == "held" && b.State == "held"
		})
		p.killNine(t)
	}
	first.wantLogins(t, shared, 1)
	payments.wantLogins(t, shared, 1)
}

// With its key at Vault the state file is opened by the unnamed one; the other waits for it, and goes on with its token of before.
func TestIdentitiesResumeWithTransit(t *testing.T) {
	v := audited(t)
	e := newEngine(t, v)
	dir := t.TempDir()
	first := newIdentity(t, v, "", "leaser/creds/both*: read", e.encrypt()+": update", e.decrypt()+": update")
	payments := newIdentity(t, v, "payments", "leaser/creds/both*: read")
	hcl := e.stateful(first.appRole, dir, "") + payments.stanza() + payments.listener()
	p := startProxy(t, hcl)
	idOne, _ := p.at(0).lease(t, both)
	idTwo, _ := p.at(1).lease(t, both)
	p.killNine(t)
	p = startProxy(t, hcl)
	p.at(0).wantHit(t, both, idOne)
	p.at(1).wantHit(t, both, idTwo)
	first.wantLogins(t, v, 2) // the second opened the file, and gave way to the token of before
	payments.wantLogins(t, v, 1)
}

// exit_after_auth waits for all; exit_on_err of one ends the process, and says which it was.
func TestTheEndOfIdentities(t *testing.T) {
	t.Run("exit_after_auth", func(t *testing.T) {
		first, payments := twoIdentities(t, shared)
		if err := os.Rename(payments.SecretIDFile, payments.SecretIDFile+".later"); err != nil {
			t.Fatal(err)
		}
		p := launch(t, "exit_after_auth = true\n"+vaultStanza(shared.Address)+first.stanza()+payments.stanza(`max_backoff = "1s"`))
		p.waitLog(t, "token stored")
		p.waitLog(t, "login failed")
		select {
		case <-p.exited:
			t.Fatal("it did not wait for the second identity")
		default:
		}
		if err := os.Rename(payments.SecretIDFile+".later", payments.SecretIDFile); err != nil {
			t.Fatal(err)
		}
		p.wantExit(t, 0)
		first.held(t, shared)
		payments.held(t, shared)
	})
	t.Run("exit_on_err", func(t *testing.T) {
		first, payments := twoIdentities(t, shared)
		if err := os.WriteFile(payments.SecretIDFile, []byte("not-a-secret-id"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := launch(t, vaultStanza(shared.Address)+first.stanza()+payments.stanza("exit_on_err = true"))
		p.wantExit(t, 1)
		if out := p.log.String(); !strings.Contains(out, `leasehold: auto_auth "payments": Vault refused the login at auth/approle/login`) {
			t.Errorf("it says %s", out)
		}
	})
}

// It is ready when all have a token. One that has is served meanwhile.
func TestReadyWithAllIdentities(t *testing.T) {
	first, payments := twoIdentities(t, shared)
	if err := os.Rename(payments.SecretIDFile, payments.SecretIDFile+".later"); err != nil {
		t.Fatal(err)
	}
	p := launch(t, vaultStanza(shared.Address)+first.stanza()+payments.stanza(`max_backoff = "1s"`)+injectToken+cacheStanza+first.listener()+payments.listener())
	p.waitListening(t, 2)
	p.waitLog(t, "token stored")
	p.waitLog(t, "login failed")
	id, _ := p.lease(t, both)
	p.wantHit(t, both, id)
	authenticated := func() bool {
		return strings.Contains(string(p.do(t, "GET", "/proxy/v1/metrics", "").Body), "\nvault_proxy_authenticated 1\n")
	}
	one, _ := p.ready(t, "auto_auth")
	two, status := p.ready(t, `auto_auth "payments"`)
	if !one.Ready || two.Ready || status != http.StatusServiceUnavailable || authenticated() || strings.Contains(p.log.String(), "msg=ready") {
		t.Errorf("readyz = %d with %+v and %+v; authenticated: %t", status, one, two, authenticated())
	}
	if err := os.Rename(payments.SecretIDFile+".later", payments.SecretIDFile); err != nil {
		t.Fatal(err)
	}
	p.waitLog(t, "msg=ready")
	p.waitReady(t)
	if two, status = p.ready(t, `auto_auth "payments"`); !two.Ready || status != http.StatusOK || !authenticated() {
		t.Errorf("readyz = %d with %+v; authenticated: %t", status, two, authenticated())
	}
	if id, hit := p.at(1).lease(t, both); hit || id == "" {
		t.Errorf("the second identity: lease %q, hit %t", id, hit)
	}
}

// Two stanzas with one token file hold one token: what it has is a hit for both, until it is gone for both.
func TestTwoIdentitiesWithOneToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	token := newToken(t, shared, newPolicy(t, shared, "leaser/creds/both*: read")).ClientToken
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	stanza := fmt.Sprintf("{\n  method \"token_file\" {\n    min_backoff = \"1s\"\n    max_backoff = \"1s\"\n    config = { token_file_path = %q }\n  }\n}\n", file)
	hcl := vaultStanza(shared.Address) + "auto_auth \"a\" " + stanza + "auto_auth \"b\" " + stanza + injectToken + cacheStanza +
		listenerStanza(`auto_auth = "a"`) + listenerStanza(`auto_auth = "b"`)
	p := startProxy(t, hcl)
	id, _ := p.at(0).lease(t, both)
	p.at(1).wantHit(t, both, id)
	if err := shared.Client().Auth().Token().RevokeTree(token); err != nil {
		t.Fatal(err)
	}
	next := newToken(t, shared, name(t)).ClientToken
	if err := os.WriteFile(file, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	if fresh, hit := p.at(1).lease(t, "/v1/leaser/creds/both-anew?ttl=600"); hit || fresh == "" {
		t.Errorf("with the next token: lease %q, hit %t", fresh, hit)
	}
	fresh, hit := p.at(0).lease(t, both)
	if hit || fresh == id {
		t.Errorf("the lease of the token that is gone: %s, hit %t", fresh, hit)
	}
	p.at(1).wantHit(t, both, fresh)
}
