package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// kill ends the process as a power cut does: nothing is tidied up.
func (p *proxy) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
}

// readyPart is one part of what readyz tells.
type readyPart struct {
	Name, State, Reason string
	Ready, Degraded     bool
	Pending             int
	Since               time.Time

	Expires   time.Time
	Safe      int `json:"safe_outage_seconds"`
	Next      string
	NextAt    time.Time `json:"next_at"`
	Failures  int
	LastError string `json:"last_error"`
}

// ready asks readyz for one part; the status is that of the whole.
func (p *proxy) ready(t *testing.T, name string) (part readyPart, status int) {
	t.Helper()
	a := p.do(t, "GET", "/proxy/v1/readyz", "")
	var all struct{ Parts []readyPart }
	if err := json.Unmarshal(a.Body, &all); err != nil {
		t.Fatalf("readyz = %d %s", a.Status, a.Body)
	}
	for _, part := range all.Parts {
		if part.Name == name {
			return part, a.Status
		}
	}
	t.Fatalf("readyz says nothing of %s: %s", name, a.Body)
	return readyPart{}, 0
}

// read reads what must be a lease, and tells whether it came from memory.
func (p *proxy) read(t *testing.T, path string, headers ...string) (s *api.Secret, hit bool) {
	t.Helper()
	a := p.do(t, "GET", path, "", headers...)
	s = a.secret(t)
	if s.LeaseID == "" {
		t.Fatalf("GET %s: no lease in %s", path, a.Body)
	}
	return s, a.Header.Get("X-Cache") == "HIT"
}

// wantSame reads what must be this very lease, from memory and with its content.
func (p *proxy) wantSame(t *testing.T, path string, want *api.Secret, headers ...string) {
	t.Helper()
	got, hit := p.read(t, path, headers...)
	if !hit || got.LeaseID != want.LeaseID || got.Data["password"] != want.Data["password"] {
		t.Errorf("GET %s = lease %s, hit %v, the same password %v; want a hit of %s",
			path, got.LeaseID, hit, got.Data["password"] == want.Data["password"], want.LeaseID)
	}
}

// stateFile is the state file's name in persist's directory.
const stateFile = "leasehold.db"

// leases are those that a test has had, by the path that gave them.
type leases map[string]*api.Secret

// serial makes each lease's path one of its own.
var serial atomic.Int64

// more reads a new lease, and reads it again: the second time it must come from memory.
func (l leases) more(t *testing.T, p *proxy) (path string) {
	t.Helper()
	path = fmt.Sprintf("/v1/leaser/creds/%s-%d?ttl=600", name(t), serial.Add(1))
	s, hit := p.read(t, path)
	if hit {
		t.Errorf("GET %s was a hit the first time", path)
	}
	l[path] = s
	p.wantSame(t, path, s)
	return path
}

// revoke has Vault take a lease back.
func (p *proxy) revoke(t *testing.T, s *api.Secret) {
	t.Helper()
	if a := p.do(t, "PUT", "/v1/sys/leases/revoke", `{"lease_id":"`+s.LeaseID+`"}`); a.Status != http.StatusNoContent {
		t.Fatalf("revoke = %d %s", a.Status, a.Body)
	}
}

// wantGone asks for leases again that must not be answered from memory.
func (p *proxy) wantGone(t *testing.T, gone leases) {
	t.Helper()
	for path, s := range gone {
		if got, hit := p.read(t, path); got.LeaseID == s.LeaseID {
			t.Errorf("GET %s: the revoked lease is back, hit %v", path, hit)
		}
	}
}

// wantAll reads leases that must all come from memory.
func (p *proxy) wantAll(t *testing.T, all leases) {
	t.Helper()
	for path, s := range all {
		p.wantSame(t, path, s)
	}
}

// keepingSecretID leaves the secret id where it is, for a proxy that will have to log in again.
func keepingSecretID(hcl string) string {
	return strings.Replace(hcl, "secret_id_file_path", "remove_secret_id_file_after_reading = false\n      secret_id_file_path", 1)
}

// exitingOnErr has persist end the start for what it would otherwise go on without.
func exitingOnErr(hcl string) string {
	return strings.Replace(hcl, "key_file", "exit_on_err = true\n    key_file", 1)
}

// coldVault is a Vault of the test's own that keeps a log of all it was asked.
func coldVault(t *testing.T) *realvault.Server {
	t.Helper()
	return ownVault(t, realvault.Options{AuditFile: filepath.Join(t.TempDir(), "audit.log")})
}

// asked counts the requests for one of these paths that Vault has answered.
func asked(t *testing.T, v *realvault.Server, paths ...string) int {
	t.Helper()
	n, err := v.AuditCount(func(e realvault.Entry) bool { return slices.Contains(paths, e.Request.Path) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const loginPath = "auth/approle/login"

// eager has auto-auth look for Vault every moment, so that no test waits for it long.
func eager(hcl string) string {
	return strings.Replace(hcl, "config = {", "min_backoff = \"100ms\"\n    max_backoff = \"200ms\"\n    config = {", 1)
}

// interrupt and resume are an outage of Vault, and its end.
func interrupt(t *testing.T, v *realvault.Server) {
	t.Helper()
	if err := v.Interrupt(); err != nil {
		t.Fatal(err)
	}
}

func resume(t *testing.T, v *realvault.Server) {
	t.Helper()
	if err := v.Resume(); err != nil {
		t.Fatal(err)
	}
}

// wantLogin checks what readyz says of auto-auth, and that the proxy is ready.
func (p *proxy) wantLogin(t *testing.T, state string) {
	t.Helper()
	if auth, status := p.ready(t, "auto_auth"); status != http.StatusOK || !auth.Ready || auth.State != state {
		t.Errorf("readyz = %d, %+v; want %q", status, auth, state)
	}
}

// readyWithoutVault is how a proxy that has no Vault tells that it is ready.
const readyWithoutVault = `msg=ready login="restored, not logged in"`

// outageKind is a way in which Vault is away, and what a request that needs it is told then.
type outageKind struct {
	begins, ends func(*realvault.Server) error
	status       int
	says         string
}

// Without Vault a restart serves at once what the last run knew; when Vault is back, the token goes on, and nobody logs in.
func TestStartsWithoutVault(t *testing.T) {
	t.Parallel()
	interrupted := outageKind{(*realvault.Server).Interrupt, (*realvault.Server).Resume, http.StatusBadGateway, "refused the connection"}
	sealed := outageKind{(*realvault.Server).Seal, (*realvault.Server).Unseal, http.StatusServiceUnavailable, "Vault is sealed"}
	for title, c := range map[string]struct {
		end func(*proxy, *testing.T)
		outageKind
	}{
		"stopped": {(*proxy).stop, interrupted}, "killed": {(*proxy).kill, interrupted}, "killed and Vault sealed": {(*proxy).kill, sealed},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			v := coldVault(t)
			r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))
			hcl := eager(persistent(v.Address, r, t.TempDir()))
			const known, unknown = "/v1/leaser/creds/cold-known?ttl=600", "/v1/leaser/creds/cold-unknown?ttl=600"
			p := startProxy(t, hcl)
			s, _ := p.read(t, known)
			c.end(p, t)
			if err := c.begins(v); err != nil {
				t.Fatal(err)
			}
			p = startProxy(t, hcl)
			p.waitLog(t, readyWithoutVault)
			p.wantSame(t, known, s)
			p.wantLogin(t, "restored, not logged in")
			if a := p.do(t, "GET", unknown, ""); a.Status != c.status || !contains(a.Body, `{"errors":["`) || !contains(a.Body, c.says) {
				t.Errorf("a miss = %d %s", a.Status, a.Body)
			}
			p.wantSame(t, known, s)
			if err := c.ends(v); err != nil {
				t.Fatal(err)
			}
			p.waitLog(t, "the token of the last run is good")
			p.wantLogin(t, "held")
			p.wantSame(t, known, s)
			p.read(t, unknown)
			if n := asked(t, v, loginPath); n != 1 {
				t.Errorf("%d logins, want that of the first run", n)
			}
			if _, err := os.Stat(r.SecretIDFile); !os.IsNotExist(err) {
				t.Errorf("there was a secret id to log in with: %v", err)
			}
		})
	}
}

var accessorInLog = regexp.MustCompile(`msg="logged in to Vault".* accessor=(\S+)`)

// accessor is that of the token that the proxy has logged in for.
func (p *proxy) accessor(t *testing.T) string {
	t.Helper()
	found := accessorInLog.FindStringSubmatch(p.log.String())
	if found == nil {
		t.Fatal("the log does not tell of a login")
	}
	return found[1]
}

// renewSecretID gives the role another secret id, in the file of before.
func (r *appRole) renewSecretID(t *testing.T, v *realvault.Server) {
	t.Helper()
	s, err := v.Client().Logical().Write("auth/approle/role/"+r.Name+"/secret-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SecretID = s.Data["secret_id"].(string)
	remember(r.SecretID)
	if err := os.WriteFile(r.SecretIDFile, []byte(r.SecretID), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The token of the last run was revoked while nothing ran. As soon as Vault has been asked its leases are no answers any more, and one login is made.
func TestLastTokenRevokedMeanwhile(t *testing.T) {
	t.Parallel()
	for title, away := range map[string]bool{"Vault answers": false, "Vault is away at first": true} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			v := coldVault(t)
			r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))
			hcl := eager(persistent(v.Address, r, t.TempDir()))
			const path = "/v1/leaser/creds/cold-revoked?ttl=600"
			p := startProxy(t, hcl)
			s, _ := p.read(t, path)
			p.kill(t)
			if err := v.Client().Auth().Token().RevokeAccessor(p.accessor(t)); err != nil {
				t.Fatal(err)
			}
			r.renewSecretID(t, v)
			if away {
				interrupt(t, v)
			}
			p = startProxy(t, hcl)
			if away {
				p.wantSame(t, path, s) // nobody can know yet
				resume(t, v)
			}
			p.waitLog(t, `msg="logged in to Vault"`)
			p.wantLogin(t, "held")
			got, hit := p.read(t, path)
			if hit || got.LeaseID == s.LeaseID {
				t.Errorf("lease %s, hit %v; want a new one", got.LeaseID, hit)
			}
			p.kill(t)
			p = startProxy(t, hcl) // nor does it come back
			p.wantSame(t, path, got)
			if n := asked(t, v, loginPath); n != 2 {
				t.Errorf("%d logins, want one of the first run, and one", n)
			}
		})
	}
}

// The token of the last run ended while nothing ran: what hung on it is not even looked at, and the file says so without Vault.
func TestLastTokenExpiredMeanwhile(t *testing.T) {
	t.Parallel()
	v := coldVault(t)
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))
	if _, err := v.Client().Logical().Write("auth/approle/role/"+r.Name, map[string]any{"token_ttl": "3s"}); err != nil {
		t.Fatal(err)
	}
	hcl := eager(persistent(v.Address, r, t.TempDir()))
	const path = "/v1/leaser/creds/cold-expired?ttl=600"
	p := startProxy(t, hcl)
	s, _ := p.read(t, path)
	p.kill(t)
	eventually(t, "the token has expired", func() bool {
		_, err := v.Client().Auth().Token().LookupAccessor(p.accessor(t))
		return err != nil
	})
	r.renewSecretID(t, v)
	p = startProxy(t, hcl)
	p.waitLog(t, `msg="cache restored" entries=0 tokens=0 expired=1 orphaned=1 unreadable=0`)
	if strings.Contains(p.log.String(), readyWithoutVault) {
		t.Error("an expired token was taken into use")
	}
	if got, hit := p.read(t, path); hit || got.LeaseID == s.LeaseID {
		t.Errorf("lease %s, hit %v; want a new one", got.LeaseID, hit)
	}
	if n := asked(t, v, loginPath); n != 2 {
		t.Errorf("%d logins, want one of the first run, and one", n)
	}
}

// What clients have made is theirs again without Vault: their logins, their tokens, and what hangs on these.
func TestClientsEntriesWithoutVault(t *testing.T) {
	t.Parallel()
	v := coldVault(t)
	policy := newPolicy(t, v, "leaser/*: read", "auth/token/create: update")
	own, client := newAppRole(t, v, policy), newAppRole(t, v, policy)
	client.renewSecretID(t, v)
	if _, err := v.Client().Logical().Write("auth/userpass/users/cold", map[string]any{"password": "e2e-password", "token_policies": policy, "token_ttl": "1h"}); err != nil {
		t.Fatal(err)
	}
	own.renewSecretID(t, v)
	hcl := eager(persistent(v.Address, own, t.TempDir()))
	logins := map[string]func(p *proxy) answer{
		"userpass": func(p *proxy) answer {
			return p.do(t, "POST", "/v1/auth/userpass/login/cold", `{"password":"e2e-password"}`)
		},
		"approle": func(p *proxy) answer {
			return p.do(t, "POST", "/v1/auth/approle/login", `{"role_id":"`+client.RoleID+`","secret_id":"`+client.SecretID+`"}`)
		},
		"child": func(p *proxy) answer {
			return p.do(t, "POST", "/v1/auth/token/create", `{"ttl":"1h","display_name":"child"}`)
		},
	}
	const path = "/v1/leaser/creds/cold-client?ttl=600"
	p := startProxy(t, hcl)
	tokens, had := map[string]string{}, map[string]*api.Secret{}
	for who, login := range logins {
		tokens[who] = "X-Vault-Token: " + login(p).secret(t).Auth.ClientToken
		had[who], _ = p.read(t, path, tokens[who])
	}
	p.kill(t)
	interrupt(t, v)
	p = startProxy(t, hcl)
	p.waitLog(t, readyWithoutVault)
	for who, login := range logins {
		a := login(p)
		if again := "X-Vault-Token: " + a.secret(t).Auth.ClientToken; again != tokens[who] || a.Header.Get("X-Cache") != "HIT" {
			t.Errorf("%s: the login is a %s, of the same token %v", who, a.Header.Get("X-Cache"), again == tokens[who])
		}
		p.wantSame(t, path, had[who], tokens[who])
	}
	if a := p.do(t, "GET", path, "", "X-Vault-Token: nobody"); a.Status != http.StatusBadGateway {
		t.Errorf("with a token that nobody knows: %d %s", a.Status, a.Body)
	}
}

// A restart is no reason to renew: what is not due by its own time waits for it.
func TestRestartRenewsNothing(t *testing.T) {
	t.Parallel()
	v := coldVault(t)
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))
	hcl := eager(persistent(v.Address, r, t.TempDir()))
	p, all := startProxy(t, hcl), map[string]*api.Secret{}
	auth := p.logIn(t, r)
	for i := range 20 {
		path := fmt.Sprintf("/v1/leaser/creds/cold-not-due-%d?ttl=600", i)
		all[path], _ = p.read(t, path, "X-Vault-Token: "+auth.ClientToken)
	}
	for _, end := range []func(*proxy, *testing.T){(*proxy).stop, (*proxy).kill, (*proxy).stop} {
		end(p, t)
		p = startProxy(t, hcl)
		p.waitLog(t, "the token of the last run is good")
		for path, s := range all {
			p.wantSame(t, path, s, "X-Vault-Token: "+auth.ClientToken)
		}
	}
	if n := asked(t, v, "sys/leases/renew", "sys/renew", "auth/token/renew-self", "auth/token/renew"); n != 0 {
		t.Errorf("%d renewals, want none", n)
	}
	if n := asked(t, v, "auth/token/lookup-self"); n != 1+3 { // the first is of the first login
		t.Errorf("Vault was asked %d times whether the token is good, want once after the login and once for each restart", n)
	}
}

// A token file says whose leases are answered: with the same token in it they go on, with another they leave for good.
func TestTokenFileAcrossRestarts(t *testing.T) {
	t.Parallel()
	v := coldVault(t)
	policy := newPolicy(t, v, "leaser/*: read")
	first, second := newToken(t, v, policy).ClientToken, newToken(t, v, policy).ClientToken
	file := filepath.Join(t.TempDir(), "token")
	auth := fmt.Sprintf("auto_auth {\n  method \"token_file\" {\n    config = {\n      token_file_path = %q\n    }\n  }\n}\n", file)
	hcl := eager(strings.Replace(persistent(v.Address, appRole{}, t.TempDir()), appRole{}.autoAuth(), auth, 1))
	const path = "/v1/leaser/creds/cold-file?ttl=600"
	begin := func(token string) *proxy {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return startProxy(t, hcl)
	}
	p := begin(first)
	s, _ := p.read(t, path)
	p.kill(t)
	interrupt(t, v)
	p = begin(first)
	p.waitLog(t, readyWithoutVault)
	p.wantSame(t, path, s)
	resume(t, v)
	p.waitLog(t, "the token of the last run is good")
	p.kill(t)

	p = begin(second)
	p.wantLogin(t, "held")
	other, hit := p.read(t, path)
	if hit || other.LeaseID == s.LeaseID {
		t.Errorf("lease %s, hit %v: it is another token's", other.LeaseID, hit)
	}
	if got, hit := p.read(t, path, "X-Vault-Token: "+first); hit || got.LeaseID == s.LeaseID {
		t.Errorf("lease %s, hit %v: the token that it hung on is managed no more", got.LeaseID, hit)
	}
	p.kill(t)

	p = begin(first)
	if got, hit := p.read(t, path); hit || got.LeaseID == s.LeaseID || got.LeaseID == other.LeaseID {
		t.Errorf("lease %s, hit %v; want a new one", got.LeaseID, hit)
	}
}
