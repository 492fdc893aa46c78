package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// held is a Vault with an audit log that answers nothing, but for a revocation by accessor, between hold and release.
func holdable(t *testing.T) (v *realvault.Server, hold, release func(), arrived chan string) {
	t.Helper()
	var mu sync.Mutex
	var gate chan struct{}
	arrived = make(chan string, 1000)
	v = ownVault(t, realvault.Options{AuditFile: filepath.Join(t.TempDir(), "audit"), Wrap: func(core http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			held := gate
			mu.Unlock()
			if held != nil && r.URL.Path != "/v1/auth/token/revoke-accessor" {
				arrived <- r.URL.Path
				<-held
			}
			core.ServeHTTP(w, r)
		})
	}})
	hold = func() { mu.Lock(); gate = make(chan struct{}); mu.Unlock() }
	release = func() {
		mu.Lock()
		defer mu.Unlock()
		if gate != nil {
			close(gate)
			gate = nil
		}
	}
	t.Cleanup(release)
	return v, hold, release, arrived
}

// Fifty requests are at Vault's door, some of them with bodies, when the token that they were lent is revoked behind our back.
func TestTokenRevokedBehindOurBack(t *testing.T) {
	v, hold, release, arrived := holdable(t)
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read", "sys/capabilities-self: update"))
	p := startProxy(t, strings.Replace(caching(v.Address, r), allowQuit, "proxy_api { enable_quit = true }", 1))
	accessor := p.lastAccessor(t)
	before := asked(t, v, loginPath)
	hold()
	const flying = 50
	type result struct {
		answer
		err error
	}
	results := make(chan result, flying)
	var released time.Time
	for i := range flying {
		go func() {
			method, path, body := "GET", fmt.Sprintf("/v1/leaser/creds/flying-%d?ttl=600", i), ""
			if i%5 == 0 {
				method, path, body = "POST", "/v1/sys/capabilities-self", fmt.Sprintf(`{"paths":["leaser/creds/%d"]}`, i)
			}
			a, err := send(t.Context(), method, p.URLs[0]+path, body)
			results <- result{answer: a, err: err}
		}()
	}
	for range flying {
		<-arrived
	}
	if err := v.Client().Auth().Token().RevokeAccessor(accessor); err != nil {
		t.Fatal(err)
	}
	released = time.Now()
	release()
	for range flying {
		got := <-results
		if got.err != nil || got.Status != http.StatusOK {
			t.Errorf("a request in flight got %d %s, %v", got.Status, got.Body, got.err)
		}
	}
	if took := time.Since(released); took > 5*time.Second {
		t.Errorf("the last answer came after %v", took)
	}
	if n := asked(t, v, loginPath) - before; n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
	if now, _ := p.ready(t, "auto_auth"); p.lastAccessor(t) == accessor || !now.Ready {
		t.Errorf("afterwards: %+v", now)
	}
}

// lastAccessor is that of the token in use, as the log tells it.
func (p *proxy) lastAccessor(t *testing.T) string {
	t.Helper()
	all := accessorInLog.FindAllStringSubmatch(p.log.String(), -1)
	if len(all) == 0 {
		t.Fatal("the log tells of no login")
	}
	return all[len(all)-1][1]
}

const allowReauth = "proxy_api { enable_reauth = true }"

func TestReauthNow(t *testing.T) {
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, strings.Replace(caching(shared.Address, r), allowQuit, allowReauth, 1))
	const path = "/v1/leaser/creds/reauth?ttl=600"
	first := p.lastAccessor(t)
	if a := p.do(t, "POST", "/proxy/v1/reauth", ""); a.Status != http.StatusOK || len(a.Body) > 0 {
		t.Fatalf("reauth = %d %s", a.Status, a.Body)
	}
	second, _ := p.ready(t, "auto_auth")
	accessor := p.lastAccessor(t)
	if accessor == first || second.State != "held" || second.Next != "renewal" || second.Safe < 3500 || second.Failures != 0 {
		t.Errorf("after reauth: %+v, accessor %s, before %s", second, accessor, first)
	}
	if _, err := shared.Client().Auth().Token().LookupAccessor(first); err != nil {
		t.Errorf("the token before was revoked: %v", err)
	}
	id, _ := p.lease(t, path)
	if err := os.WriteFile(r.SecretIDFile, []byte("no-secret-id"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := p.do(t, "POST", "/proxy/v1/reauth", "")
	if a.Status != http.StatusServiceUnavailable || !contains(a.Body, "write a new secret ID to "+r.SecretIDFile) {
		t.Errorf("reauth with a bad secret id = %d %s", a.Status, a.Body)
	}
	p.wantHit(t, path, id)
	if now, _ := p.ready(t, "auto_auth"); p.lastAccessor(t) != accessor || !now.Ready || now.Failures == 0 || !strings.Contains(now.LastError, "refused the login") {
		t.Errorf("after the refusal: %+v", now)
	}
}

// A new secret id on disk is used at once.
func TestCredentialsRotatedOnDisk(t *testing.T) {
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	hcl := strings.Replace(caching(shared.Address, r), "auto_auth {", "auto_auth {\n  enable_reauth_on_new_credentials = true", 1)
	p := startProxy(t, hcl)
	first := p.lastAccessor(t)
	secret, err := shared.Client().Logical().Write("auth/approle/role/"+r.Name+"/secret-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	id := secret.Data["secret_id"].(string)
	remember(id)
	temp := r.SecretIDFile + ".new"
	if err := os.WriteFile(temp, []byte(id), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, r.SecretIDFile); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is a token of the new secret id", func() bool {
		now, _ := p.ready(t, "auto_auth")
		return p.lastAccessor(t) != first && now.State == "held"
	})
	if _, err := os.Stat(r.SecretIDFile); !os.IsNotExist(err) {
		t.Errorf("the secret id is still there after it was read: %v", err)
	}
}

// A login that Vault does not answer holds up no stop.
func TestSignalDuringALogin(t *testing.T) {
	v, hold, _, arrived := holdable(t)
	r := newAppRole(t, v)
	hold()
	p := launch(t, caching(v.Address, r))
	<-arrived
	begun := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wantExit(t, 0)
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("the stop took %v", took)
	}
	if _, err := os.Stat(r.SecretIDFile); err != nil {
		t.Errorf("the secret id was removed, and Vault has not answered: %v", err)
	}
}

func TestGivingUpToLogIn(t *testing.T) {
	for title, c := range map[string]struct {
		keys, secretID string
		address        string
		code           int
		says           string
	}{
		"refused attempts": {`max_attempts = 2`, "no-secret-id", shared.Address, 3, "gave up to log in after max_attempts (2): Vault refused the login at auth/approle/login"},
		"away attempts":    {`max_attempts = 2`, "any", "http://127.0.0.1:1", 4, "gave up to log in after max_attempts (2): login: "},
		"away time":        {`total_timeout = "2s"`, "any", "http://127.0.0.1:1", 4, "gave up to log in after total_timeout (2s): login: "},
		"no credentials":   {`max_attempts = 1`, "", shared.Address, 4, "read the secret ID: the file is empty"},
		"exit_on_err":      {`exit_on_err = true`, "no-secret-id", shared.Address, 1, "Vault refused the login at auth/approle/login"},
	} {
		t.Run(title, func(t *testing.T) {
			r := newAppRole(t, shared)
			if err := os.WriteFile(r.SecretIDFile, []byte(c.secretID), 0o600); err != nil {
				t.Fatal(err)
			}
			p := launch(t, strings.Replace(caching(c.address, r), `method "approle" {`, `method "approle" {`+"\n    "+c.keys, 1))
			p.wantExit(t, c.code)
			if log := p.log.String(); !strings.Contains(log, c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, log)
			}
			if _, err := os.Stat(r.SecretIDFile); strings.HasPrefix(title, "away") && err != nil {
				t.Errorf("the next start has nothing to log in with: %v", err)
			}
		})
	}
}

// auto_auth's revoke_on_exit: the token ends with the process, and so do its leases, whatever becomes of the cache.
func TestAutoAuthTokenRevokedOnExit(t *testing.T) {
	for title, c := range map[string]struct {
		keys  string
		alive bool
	}{
		"off by default": {"", true},
		"on":             {"revoke_on_exit = true", false},
	} {
		t.Run(title, func(t *testing.T) {
			r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
			sink := filepath.Join(t.TempDir(), "token")
			hcl := strings.Replace(caching(shared.Address, r), "auto_auth {", fmt.Sprintf("auto_auth {\n  %s\n  sink \"file\" { config = { path = %q } }", c.keys, sink), 1)
			p := startProxy(t, hcl)
			accessor := p.lastAccessor(t)
			id, _ := p.lease(t, "/v1/leaser/creds/exit?ttl=600")
			p.stop(t)
			_, err := shared.Client().Auth().Token().LookupAccessor(accessor)
			if alive := err == nil; alive != c.alive {
				t.Errorf("after the stop the token is alive: %t, %v", alive, err)
			}
			eventually(t, "the lease is as the token", func() bool {
				_, err := shared.Client().Sys().Lookup(id)
				return (err == nil) == c.alive
			})
		})
	}
}

// The login itself wrapped: the one sink gets the wrapping token, and the inner token reaches nobody before its reader.
func TestWrappedLogin(t *testing.T) {
	r := newAppRole(t, shared)
	sink := filepath.Join(t.TempDir(), "token")
	hcl := vaultStanza(shared.Address) + strings.Replace(r.autoAuth(), `method "approle" {`,
		fmt.Sprintf("sink \"file\" { config = { path = %q } }\n  method \"approle\" {\n    wrap_ttl = \"5m\"", sink), 1) + listenerStanza(allowQuit)
	p := startProxy(t, hcl)
	var wrapped api.SecretWrapInfo
	eventually(t, "the sink has the wrapping token", func() bool {
		text, err := os.ReadFile(sink)
		return err == nil && json.Unmarshal(text, &wrapped) == nil && strings.HasSuffix(string(text), "}\n")
	})
	remember(wrapped.Token)
	if wrapped.CreationPath != "auth/approle/login" || wrapped.TTL != 300 {
		t.Errorf("wrap_info: %+v", wrapped)
	}
	if now, _ := p.ready(t, "auto_auth"); !now.Ready || now.State != "handed out wrapped" {
		t.Errorf("readyz: %+v", now)
	}
	if a := p.do(t, "GET", "/v1/auth/token/lookup-self", ""); a.Status == http.StatusOK {
		t.Errorf("a request was lent a token: %s", a.Body)
	}
	if a := p.do(t, "GET", "/proxy/v1/metrics", ""); !contains(a.Body, "vault_proxy_authenticated 1") {
		t.Errorf("the metrics do not say that it has logged in: %s", a.Body)
	}
	secret, err := shared.Client().Logical().Unwrap(wrapped.Token)
	if err != nil || secret.Auth == nil || secret.Auth.ClientToken == "" {
		t.Fatalf("unwrapped: %+v, %v", secret, err)
	}
	remember(secret.Auth.ClientToken)
}

// A Vault that is sealed when Leasehold starts is waited for.
func TestStartsWhileVaultIsSealed(t *testing.T) {
	v := ownVault(t, realvault.Options{})
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))
	if err := v.Seal(); err != nil {
		t.Fatal(err)
	}
	p := launch(t, caching(v.Address, r))
	p.waitListening(t, 1)
	p.waitLog(t, "Vault could not answer the login at auth/approle/login (503: Vault is sealed)")
	if now, status := p.ready(t, "auto_auth"); status != http.StatusServiceUnavailable || now.Next != "login" || !strings.Contains(now.LastError, "Vault is sealed") {
		t.Errorf("readyz = %d, %+v", status, now)
	}
	if err := v.Unseal(); err != nil {
		t.Fatal(err)
	}
	p.waitLog(t, "msg=ready")
	p.lease(t, "/v1/leaser/creds/unsealed?ttl=600")
}

// Tokens that cannot be renewed, or end in other ways than by their TTL, serve as well; and none has Leasehold ask all the time.
func TestTokensOfEveryKind(t *testing.T) {
	for title, c := range map[string]struct {
		role   map[string]any
		logins int // at most, for a dozen requests
	}{
		"batch":    {map[string]any{"token_type": "batch", "token_ttl": "1h"}, 1},
		"periodic": {map[string]any{"token_period": "1h"}, 1},
		"limited":  {map[string]any{"token_num_uses": 5, "token_ttl": "1h"}, 5},
		"short":    {map[string]any{"token_ttl": "3s", "token_max_ttl": "3s"}, 9},
	} {
		t.Run(title, func(t *testing.T) {
			v := ownVault(t, realvault.Options{AuditFile: filepath.Join(t.TempDir(), "audit")})
			r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))
			if _, err := v.Client().Logical().Write("auth/approle/role/"+r.Name, c.role); err != nil {
				t.Fatal(err)
			}
			p := startProxy(t, caching(v.Address, r))
			begun := time.Now()
			for i := range 12 {
				method, path, body := "GET", fmt.Sprintf("/v1/leaser/creds/%s-%d?ttl=600", title, i), ""
				if title == "limited" { // the last use of a token can make no lease
					method, path, body = "PUT", "/v1/cubbyhole/x", `{"a":"b"}`
				}
				if a := p.do(t, method, path, body); a.Status != http.StatusOK && a.Status != http.StatusNoContent {
					t.Errorf("request %d = %d %s", i, a.Status, a.Body)
				}
			}
			most := c.logins + int(time.Since(begun)/time.Second)
			if n := asked(t, v, loginPath); c.logins == 1 && n != 1 || n > most {
				t.Errorf("%d logins, want %d at most", n, most)
			}
			if n := asked(t, v, "auth/token/renew-self"); n > most {
				t.Errorf("%d renewals in %v", n, time.Since(begun))
			}
		})
	}
}
