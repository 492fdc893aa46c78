package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

func contains(b []byte, text string) bool { return bytes.Contains(b, []byte(text)) }

// gated is a Vault of this test's own that holds back requests to /v1/leaser/creds/slow until release.
func gated(t *testing.T) (v *realvault.Server, arrived chan struct{}, release func()) {
	t.Helper()
	arrived, gate := make(chan struct{}, 1000), make(chan struct{})
	v, err := startVault(realvault.Options{Wrap: func(core http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v1/leaser/creds/slow") {
				arrived <- struct{}{}
				<-gate
			}
			core.ServeHTTP(w, r)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	remember(v.RootToken)
	var done atomic.Bool
	release = func() {
		if done.CompareAndSwap(false, true) {
			close(gate)
		}
	}
	t.Cleanup(func() {
		release()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v, arrived, release
}

// On SIGTERM and on quit the listener closes, a request under way is answered, and the process ends with 0.
func TestDrain(t *testing.T) {
	for title, end := range map[string]func(t *testing.T, p *proxy){
		"SIGTERM": func(t *testing.T, p *proxy) {
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		},
		"SIGINT": func(t *testing.T, p *proxy) {
			if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		},
		"quit": func(t *testing.T, p *proxy) {
			if a := p.do(t, "POST", "/proxy/v1/quit", ""); a.Status != http.StatusOK {
				t.Fatalf("quit = %d %s", a.Status, a.Body)
			}
		},
	} {
		t.Run(title, func(t *testing.T) {
			v, arrived, release := gated(t)
			pid := filepath.Join(t.TempDir(), "pid")
			p := startProxy(t, fmt.Sprintf("pid_file = %q\n", pid)+caching(v.Address, newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))))
			eventually(t, "the pid file names the process", func() bool {
				text, err := os.ReadFile(pid)
				return err == nil && string(text) == fmt.Sprint(p.cmd.Process.Pid)
			})
			answered := make(chan answer, 1)
			go func() {
				a, err := send(t.Context(), "GET", p.URLs[0]+"/v1/leaser/creds/slow-"+name(t)+"?ttl=600", "")
				if err != nil {
					t.Errorf("the request under way: %v", err)
				}
				answered <- a
			}()
			<-arrived
			end(t, p)
			eventually(t, "the listener is closed", func() bool {
				c, err := net.Dial("tcp", strings.TrimPrefix(p.URLs[0], "http://"))
				if err == nil {
					_ = c.Close()
				}
				return err != nil
			})
			select {
			case <-p.exited:
				t.Fatal("the process ended with a request under way")
			default:
			}
			release()
			if a := <-answered; a.Status != http.StatusOK {
				t.Errorf("the request under way got %d %s", a.Status, a.Body)
			}
			p.wantExit(t, 0)
			if _, err := os.Stat(pid); !os.IsNotExist(err) {
				t.Errorf("the pid file is still there: %v", err)
			}
		})
	}
}

// A second signal does not wait for requests under way.
func TestSecondSignal(t *testing.T) {
	v, arrived, _ := gated(t)
	p := startProxy(t, caching(v.Address, newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))))
	go func() { _, _ = send(t.Context(), "GET", p.URLs[0]+"/v1/leaser/creds/slow?ttl=600", "") }()
	<-arrived
	eventually(t, "the process has ended", func() bool {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	})
}

func TestQuitIsOffByDefault(t *testing.T) {
	r := newAppRole(t, shared)
	p := startProxy(t, vaultStanza(shared.Address)+r.autoAuth()+injectToken+listenerStanza()+listenerStanza("agent_api { enable_quit = true }"))
	for _, path := range []string{"/agent/v1/quit", "/proxy/v1/quit", "/proxy/v1/unknown", "/agent", "/proxy/"} {
		if a := p.do(t, "POST", path, ""); a.Status != http.StatusNotFound || !contains(a.Body, `{"errors":["`) {
			t.Errorf("POST %s = %d %s, want our 404", path, a.Status, a.Body)
		}
	}
	for _, path := range []string{"/agent/v1/quit", "/proxy/v1/quit"} {
		a, err := send(t.Context(), "GET", p.URLs[1]+path, "")
		if err != nil || a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST" {
			t.Errorf("GET %s = %d %v", path, a.Status, err)
		}
	}
	for range 2 { // the second finds the listener closing, or is answered: never a crash
		if a, err := send(t.Context(), "POST", p.URLs[1]+"/agent/v1/quit", ""); err == nil && a.Status != http.StatusOK {
			t.Errorf("quit = %d %s", a.Status, a.Body)
		}
	}
	p.wantExit(t, 0)
}

// Vault's own client, told of the agent as users tell it.
func TestVaultClientWithAgentAddr(t *testing.T) {
	p := startCaching(t)
	t.Setenv("VAULT_AGENT_ADDR", p.URLs[0])
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1") // must not be used
	t.Setenv("VAULT_TOKEN", "")
	c, err := api.NewClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.ClearToken()
	read := func() *api.Secret {
		s, err := c.Logical().ReadWithData("leaser/creds/client", map[string][]string{"ttl": {"600"}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, second := read(), read()
	if first.LeaseID == "" || first.LeaseID != second.LeaseID {
		t.Errorf("lease ids %q and %q", first.LeaseID, second.LeaseID)
	}
	if _, err := c.Sys().Renew(first.LeaseID, 0); err != nil {
		t.Errorf("renew: %v", err)
	}
	if _, err := c.KVv2("secret").Put(t.Context(), "client", map[string]any{"k": "v"}); err != nil {
		t.Errorf("kv put: %v", err)
	}
	kv, err := c.KVv2("secret").Get(t.Context(), "client")
	if err != nil || kv.Data["k"] != "v" {
		t.Errorf("kv get: %v %v", kv, err)
	}
	if err := c.Sys().Revoke(first.LeaseID); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if third := read(); third.LeaseID == first.LeaseID {
		t.Error("the revoked lease was answered again")
	}
}

// Without a configuration file: the Vault and the token of the environment, the cache on, a word about what to try.
func TestWithoutConfiguration(t *testing.T) {
	token := newToken(t, shared, newPolicy(t, shared, "leaser/*: read")).ClientToken
	for title, home := range map[string]string{"VAULT_TOKEN": "", "~/.vault-token": token + "\n"} {
		t.Run(strings.Trim(title, "~/."), func(t *testing.T) {
			dir := t.TempDir()
			vars := []string{"VAULT_ADDR=" + shared.Address, "VAULT_AGENT_ADDR=http://127.0.0.1:8100", "HOME=" + dir}
			if home == "" {
				vars = append(vars, "VAULT_TOKEN="+token)
			} else if err := os.WriteFile(filepath.Join(dir, ".vault-token"), []byte(home), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, nil, env(vars...))
			p.URLs = []string{"http://127.0.0.1:8100"}
			p.waitLog(t, "Try next:")
			id, _ := p.lease(t, "/v1/leaser/creds/quick?ttl=600")
			p.wantHit(t, "/v1/leaser/creds/quick?ttl=600", id)
			p.stop(t)
		})
	}
}

// exit_after_auth ends with 0 once the sink has the token.
func TestExitAfterAuth(t *testing.T) {
	sink := filepath.Join(t.TempDir(), "token")
	r := newAppRole(t, shared)
	auth := strings.Replace(r.autoAuth(), "  method", fmt.Sprintf("  sink \"file\" { config = { path = %q, mode = 0600 } }\n  method", sink), 1)
	p := launch(t, "exit_after_auth = true\n"+vaultStanza(shared.Address)+auth)
	p.wantExit(t, 0)
	token := readFile(t, sink)
	remember(token)
	if _, err := shared.Client().Auth().Token().Lookup(token); err != nil {
		t.Errorf("the sink holds no token that Vault knows: %v", err)
	}
	if info, err := os.Stat(sink); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the sink = %v %v", info.Mode(), err)
	}
	if _, err := os.Stat(r.SecretIDFile); !os.IsNotExist(err) {
		t.Errorf("the secret id is still there after it was read: %v", err)
	}
}

// The binary is ready within a moment of Vault answering, and says so only with a token in hand.
func TestStartsBeforeVault(t *testing.T) {
	v, err := startVault(realvault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	remember(v.RootToken)
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))
	if err := v.Interrupt(); err != nil {
		t.Fatal(err)
	}
	p := launch(t, caching(v.Address, r))
	p.waitListening(t, 1)
	p.waitLog(t, "connection refused; check that Vault runs there")
	if strings.Contains(p.log.String(), "msg=ready") {
		t.Error("ready without a token")
	}
	begun := time.Now()
	if a := p.do(t, "GET", "/v1/leaser/creds/early?ttl=600", ""); a.Status != http.StatusServiceUnavailable || !contains(a.Body, "auto-auth token not available yet") {
		t.Errorf("a request before the first login = %d %s after %v", a.Status, a.Body, time.Since(begun))
	}
	if err := v.Resume(); err != nil {
		t.Fatal(err)
	}
	p.waitLog(t, "msg=ready")
	p.lease(t, "/v1/leaser/creds/early?ttl=600")
}
