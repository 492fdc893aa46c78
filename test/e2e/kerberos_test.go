package e2e

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// krbService is Vault's principal.
const krbService = "HTTP/vault.example.test:8200"

// mountKerberos mounts the real Kerberos plugin with Vault's key, and a directory in which the user ann is staff, which has the policies.
func mountKerberos(t *testing.T, r realm, d directory, passHeader bool, policies ...string) (mount string) {
	t.Helper()
	r.add(t, krbService)
	mount = mountAuth(t, shared, "kerberos", map[string]map[string]any{
		"config":       {"keytab": base64.StdEncoding.EncodeToString(r.keytab(t, krbService, "")), "service_account": krbService},
		"config/ldap":  d.config(),
		"groups/staff": {"policies": strings.Join(policies, ",")},
	})
	if passHeader {
		if err := shared.Client().Sys().TuneMountAllowNil(mount, api.TuneMountConfigInput{PassthroughRequestHeaders: &[]string{"Authorization"}}); err != nil {
			t.Fatal(err)
		}
	}
	return mount
}

// kerberosStanza logs in as ann. More stands in config.
func kerberosStanza(mount, keytab, conf string, more ...string) string {
	return methodStanza("kerberos", mount, append(more, `username = "ann"`, fmt.Sprintf("realm = %q", krbRealm), fmt.Sprintf("service = %q", krbService),
		fmt.Sprintf("keytab_path = %q", keytab), fmt.Sprintf("krb5conf_path = %q", conf))...)
}

// The real Kerberos plugin, MIT's KDC and a real directory. A token that was revoked is replaced, with a ticket of its own.
func TestKerberosLogin(t *testing.T) {
	r := startKDC(t)
	r.add(t, "ann")
	mount := mountKerberos(t, r, startSlapd(t, map[string]string{"ann": "not-asked-for"}), true, newPolicy(t, shared, "leaser/creds/auto: read"))
	for title, c := range map[string]struct{ encTypes, more string }{
		"the KDC's keys": {"", ""},
		"AES-256 only":   {"aes256-cts-hmac-sha1-96:normal", ""},
		"AES-128 only":   {"aes128-cts-hmac-sha1-96:normal", ""},
		"without FAST":   {"", "disable_fast_negotiation = true"},
	} {
		t.Run(title, func(t *testing.T) {
			keytab := filepath.Join(t.TempDir(), "ann.keytab")
			writeFile(t, keytab, string(r.keytab(t, "ann", c.encTypes)), 0o600)
			sink := filepath.Join(t.TempDir(), "token")
			stanza := withSink(kerberosStanza(mount, keytab, r.conf, c.more), sink)
			p := startProxy(t, vaultStanza(shared.Address)+stanza+injectToken+listenerStanza())
			if got := p.whoAmI(t); got != "auto" {
				t.Errorf("the token is that of %q, want one of a member of staff", got)
			}
			first := sunk(t, sink, "")
			self := p.do(t, "GET", "/v1/auth/token/lookup-self", "").secret(t)
			if got, want := fmt.Sprint(self.Data["meta"]), "map[domain:"+krbRealm+" user:ann]"; got != want {
				t.Errorf("logged in as %s, want %s", got, want)
			}
			if err := shared.Client().Auth().Token().RevokeTree(first); err != nil {
				t.Fatal(err)
			}
			// The first request tells Leasehold that the token has gone.
			eventually(t, "there is another token", func() bool { return p.whoAmI(t) == "auto" })
			sunk(t, sink, first)
		})
	}
}

// A key that the KDC has replaced is one sentence that says what to do, and another try when the keytab has the new one.
func TestKerberosStaleKeytab(t *testing.T) {
	r := startKDC(t)
	r.add(t, "ann")
	mount := mountKerberos(t, r, startSlapd(t, map[string]string{"ann": "not-asked-for"}), true, newPolicy(t, shared, "leaser/creds/auto: read"))
	keytab := filepath.Join(t.TempDir(), "ann.keytab")
	writeFile(t, keytab, string(r.keytab(t, "ann", "")), 0o600)
	next := r.keytab(t, "ann", "")
	p := launch(t, vaultStanza(shared.Address)+kerberosStanza(mount, keytab, r.conf)+injectToken+listenerStanza())
	p.waitLog(t, "get a ticket of ann@"+krbRealm+" for "+krbService+": ")
	p.waitLog(t, "; write a keytab with the principal's current key to "+keytab)
	writeFile(t, keytab, string(next), 0o600)
	p.waitLog(t, "msg=ready")
}

// A new keytab brings a new token without a request of anyone's.
func TestKerberosNewKeytab(t *testing.T) {
	r := startKDC(t)
	r.add(t, "ann")
	mount := mountKerberos(t, r, startSlapd(t, map[string]string{"ann": "not-asked-for"}), true, newPolicy(t, shared, "leaser/creds/auto: read"))
	dir := t.TempDir()
	keytab, sink := filepath.Join(dir, "ann.keytab"), filepath.Join(dir, "token")
	writeFile(t, keytab, string(r.keytab(t, "ann", "")), 0o600)
	p := startProxy(t, vaultStanza(shared.Address)+withSink(kerberosStanza(mount, keytab, r.conf), sink)+injectToken+listenerStanza())
	first := sunk(t, sink, "")
	writeFile(t, keytab, string(r.keytab(t, "ann", "")), 0o600)
	sunk(t, sink, first)
	if got := p.whoAmI(t); got != "auto" {
		t.Errorf("the token is that of %q, want one of a member of staff", got)
	}
}

func TestKerberosRefusals(t *testing.T) {
	r := startKDC(t)
	r.add(t, "ann")
	mount := mountKerberos(t, r, startSlapd(t, map[string]string{"ann": "not-asked-for"}), false)
	keytab := filepath.Join(t.TempDir(), "ann.keytab")
	writeFile(t, keytab, string(r.keytab(t, "ann", "")), 0o600)
	for title, c := range map[string]struct {
		stanza string
		want   []string
	}{
		"the header is not passed on": {kerberosStanza(mount, keytab, r.conf), []string{"Vault refused the login at " + mount + "/login (401: ", "is tuned with passthrough_request_headers=Authorization"}},
		"unknown service":             {strings.Replace(kerberosStanza(mount, keytab, r.conf), krbService, "HTTP/other", 1), []string{"KDC_ERR_S_PRINCIPAL_UNKNOWN", "; check service"}},
		"no KDC":                      {kerberosStanza(mount, keytab, closedPort(t)), []string{"; check that a KDC of the realm runs"}},
	} {
		t.Run(title, func(t *testing.T) {
			stanza := strings.Replace(c.stanza, "min_backoff", "exit_on_err = true\n    min_backoff", 1)
			p := launch(t, vaultStanza(shared.Address)+stanza+injectToken+listenerStanza())
			p.wantExit(t, 1)
			for _, want := range c.want {
				if out := p.log.String(); !strings.Contains(out, want) {
					t.Errorf("the log does not say %q:\n%s", want, out)
				}
			}
		})
	}
}
