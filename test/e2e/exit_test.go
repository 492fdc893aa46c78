package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"leasehold/test/e2e/realvault"
)

// What an exit with revoke_on_exit leaves at Vault: nothing that was created through Leasehold; without it, everything.
func TestRevokeOnExit(t *testing.T) {
	for title, c := range map[string]struct {
		cache string
		end   func(t *testing.T, p *proxy)
		lives bool
	}{
		"SIGTERM": {"cache { revoke_on_exit = true }\n", func(_ *testing.T, p *proxy) { _ = p.cmd.Process.Signal(syscall.SIGTERM) }, false},
		"quit":    {"cache { revoke_on_exit = true }\n", func(t *testing.T, p *proxy) { p.do(t, "POST", "/agent/v1/quit", "") }, false},
		"off":     {cacheStanza, func(_ *testing.T, p *proxy) { _ = p.cmd.Process.Signal(syscall.SIGTERM) }, true},
	} {
		t.Run(title, func(t *testing.T) {
			r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", "auth/token/create: update, sudo"))
			p := startProxy(t, vaultStanza(shared.Address)+r.autoAuth()+injectToken+c.cache+listenerStanza(allowQuit), tellAll)
			mine, _ := p.lease(t, "/v1/leaser/creds/exit-test?ttl=600")
			login := p.logIn(t, r)
			theirs, _ := p.lease(t, "/v1/leaser/creds/exit-test?ttl=600", "X-Vault-Token: "+login.ClientToken)
			child := p.do(t, "POST", "/v1/auth/token/create", `{"ttl":"10m"}`).secret(t).Auth
			c.end(t, p)
			p.wantExit(t, 0)
			if all := p.told.collector.find("revoke on exit", ""); len(all) > 1 || (len(all) == 0) != c.lives || len(all) == 1 && len(p.told.collector.below(all[0])) == 0 {
				t.Errorf("%d spans of it, want one with what is below it unless everything lives", len(all))
			}
			for _, id := range []string{mine, theirs} {
				eventually(t, fmt.Sprintf("lease %s at Vault: %t", id, c.lives), func() bool {
					_, err := shared.Client().Sys().Lookup(id)
					return (err == nil) == c.lives
				})
			}
			for _, accessor := range []string{login.Accessor, child.Accessor} {
				if _, err := shared.Client().Auth().Token().LookupAccessor(accessor); (err == nil) != c.lives {
					t.Errorf("token %s at Vault: %v", accessor, err)
				}
			}
		})
	}
}

// What cannot be revoked is named, within shutdown_timeout, and the exit is an ordinary one.
func TestWhatCannotBeRevokedIsNamed(t *testing.T) {
	v, err := startVault(realvault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	remember(v.RootToken)
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	token := newToken(t, v, newPolicy(t, v, "leaser/*: read")) // no right to sys/leases/revoke
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token.ClientToken), 0o600); err != nil {
		t.Fatal(err)
	}
	hcl := vaultStanza(v.Address) + fmt.Sprintf("auto_auth { method \"token_file\" { config = { token_file_path = %q } } }\n", file) +
		injectToken + "cache { revoke_on_exit = true }\nshutdown_timeout = \"6s\"\n" + listenerStanza()
	for title, prepare := range map[string]func() error{"no right": func() error { return nil }, "Vault is away": v.Interrupt} {
		t.Run(title, func(t *testing.T) {
			p := startProxy(t, hcl)
			id, _ := p.lease(t, "/v1/leaser/creds/named?ttl=600")
			if err := prepare(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if title == "Vault is away" {
					if err := v.Resume(); err != nil {
						t.Error(err)
					}
				}
			}()
			p.stop(t)
			if log := p.log.String(); !strings.Contains(log, "lease not revoked") || !strings.Contains(log, id) {
				t.Errorf("the log does not name %s", id)
			}
			if title == "no right" {
				if _, err := v.Client().Auth().Token().LookupAccessor(token.Accessor); err != nil {
					t.Errorf("a token that is not Leasehold's own was revoked: %v", err)
				}
			}
		})
	}
}
