package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/test/e2e/realvault"
)

// Everything wrong with a file is said in one run, each with its place and a remedy, and the exit code is 1.
func TestWrongConfiguration(t *testing.T) {
	p := launch(t, `vault {
  address = 7
  retry { num_retries = "many" }
}
listener "tcp" {
  address = "127.0.0.1:0"
}
api_proxy { use_auto_auth_token = "maybe" }
`)
	p.wantExit(t, 1)
	out := p.log.String()
	for _, line := range []string{"proxy.hcl:2:3: vault: ", "proxy.hcl:3:11: vault: ", "proxy.hcl:5:1: listener: ", "proxy.hcl:8:13: api_proxy: "} {
		if !strings.Contains(out, line) {
			t.Errorf("nothing begins with %q in:\n%s", line, out)
		}
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, ".hcl:") && !strings.Contains(line, "; ") {
			t.Errorf("no remedy in %q", line)
		}
	}
}

func TestWrongCommandLine(t *testing.T) {
	for title, c := range map[string]struct {
		args []string
		want string
	}{
		"no such file":  {[]string{"-config=/nowhere/proxy.hcl"}, "/nowhere/proxy.hcl"},
		"unknown flag":  {[]string{"-cofnig=x"}, "-cofnig"},
		"no flag":       {[]string{"proxy.hcl"}, "-config=FILE"},
		"no token":      {nil, "VAULT_TOKEN"},
		"a bad level":   {[]string{"-config=" + minimal(t), "-log-level=loud"}, "loud"},
		"two dashes":    {[]string{"--config=/nowhere/proxy.hcl"}, "/nowhere/proxy.hcl"},
		"bad env value": {[]string{"-config=" + minimal(t)}, "VAULT_SKIP_VERIFY"},
	} {
		t.Run(title, func(t *testing.T) {
			p := start(t, c.args, env("VAULT_SKIP_VERIFY=perhaps"))
			p.wantExit(t, 1)
			if out := p.log.String(); !strings.Contains(out, c.want) || strings.Contains(out, "panic") || strings.Contains(out, "goroutine ") {
				t.Errorf("output = %s\nwant a word about %s", out, c.want)
			}
		})
	}
}

// minimal is a configuration file with nothing but a cache and a listener.
func minimal(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "minimal.hcl")
	if err := os.WriteFile(path, []byte(cacheStanza+listenerStanza()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := launch(t, vaultStanza(shared.Address)+cacheStanza+strings.Replace(listenerStanza(), "127.0.0.1:0", ln.Addr().String(), 1))
	p.wantExit(t, 1)
	if out := p.log.String(); !strings.Contains(out, ln.Addr().String()+" is in use") || !strings.Contains(out, "proxy.hcl:") {
		t.Errorf("output = %s", out)
	}
}

// A proxy must not be pointed at itself: a shell set up for its clients has VAULT_ADDR there.
func TestPointsAtItself(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	p := launch(t, cacheStanza+strings.Replace(listenerStanza(), "127.0.0.1:0", address, 1), env("VAULT_ADDR=http://"+address))
	p.wantExit(t, 1)
	if out := p.log.String(); !strings.Contains(out, "own listener") {
		t.Errorf("output = %s", out)
	}
}

// A secret id that Vault refuses: one sentence that says what to do, and another try each time, or with exit_on_err the end.
func TestRefusedSecretID(t *testing.T) {
	r := newAppRole(t, shared)
	if err := os.WriteFile(r.SecretIDFile, []byte("not-the-secret-id"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("retried", func(t *testing.T) {
		auth := strings.Replace(r.autoAuth(), "secret_id_file_path", "remove_secret_id_file_after_reading = false\n      secret_id_file_path", 1)
		p := launch(t, vaultStanza(shared.Address)+auth+injectToken+listenerStanza())
		p.waitLog(t, "write a new secret ID to "+r.SecretIDFile)
		if err := os.WriteFile(r.SecretIDFile, []byte(r.SecretID), 0o600); err != nil {
			t.Fatal(err)
		}
		p.waitLog(t, "msg=ready")
	})
	t.Run("exit_on_err", func(t *testing.T) {
		if err := os.WriteFile(r.SecretIDFile, []byte("not-the-secret-id"), 0o600); err != nil {
			t.Fatal(err)
		}
		auth := strings.Replace(r.autoAuth(), "config =", "exit_on_err = true\n    config =", 1)
		p := launch(t, vaultStanza(shared.Address)+auth+injectToken+listenerStanza())
		p.wantExit(t, 1)
		if out := p.log.String(); !strings.Contains(out, "write a new secret ID to "+r.SecretIDFile) {
			t.Errorf("output = %s", out)
		}
	})
}

// Vault away: what is kept is still answered, the rest gets a 502 in Vault's form that says what to do; and all is well when Vault is back.
func TestVaultUnreachable(t *testing.T) {
	v, p := outage(t)
	const path = "/v1/leaser/creds/away?ttl=600"
	id, _ := p.lease(t, path)
	if err := v.Interrupt(); err != nil {
		t.Fatal(err)
	}
	p.wantHit(t, path, id)
	a := p.do(t, "GET", "/v1/leaser/creds/other", "")
	if a.Status != http.StatusBadGateway || !contains(a.Body, `{"errors":["failed to get the response: Vault at `+v.Address+` refused the connection`) {
		t.Errorf("a miss = %d %s", a.Status, a.Body)
	}
	// Vault cannot have seen this revocation: the lease is as good as before.
	if a := p.do(t, "PUT", "/v1/sys/leases/revoke", `{"lease_id":"`+id+`"}`); a.Status != http.StatusBadGateway {
		t.Errorf("a revocation = %d %s", a.Status, a.Body)
	}
	p.wantHit(t, path, id)
	if err := v.Resume(); err != nil {
		t.Fatal(err)
	}
	p.lease(t, "/v1/leaser/creds/other")
}

// Vault sealed: hits are answered, misses get Vault's own error.
func TestVaultSealed(t *testing.T) {
	v, p := outage(t)
	const path = "/v1/leaser/creds/sealed?ttl=600"
	id, _ := p.lease(t, path)
	if err := v.Seal(); err != nil {
		t.Fatal(err)
	}
	p.wantHit(t, path, id)
	if a := p.do(t, "GET", "/v1/leaser/creds/other", ""); a.Status != http.StatusServiceUnavailable || !contains(a.Body, "Vault is sealed") {
		t.Errorf("a miss = %d %s", a.Status, a.Body)
	}
	if a := p.do(t, "GET", "/v1/sys/seal-status", ""); a.Status != http.StatusOK {
		t.Errorf("seal-status = %d %s", a.Status, a.Body)
	}
	if err := v.Unseal(); err != nil {
		t.Fatal(err)
	}
	p.wantHit(t, path, id)
	p.lease(t, "/v1/leaser/creds/other")
}

// outage is a Vault of the test's own with a caching proxy in front.
func outage(t *testing.T) (*realvault.Server, *proxy) {
	t.Helper()
	v, err := startVault(realvault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	remember(v.RootToken, v.UnsealKey)
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read", "sys/leases/*: update"))
	return v, startProxy(t, caching(v.Address, r))
}
