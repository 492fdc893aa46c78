package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mountLDAP mounts the real LDAP auth method on the directory. Members of staff get the policies.
func mountLDAP(t *testing.T, d directory, policies ...string) (mount string) {
	t.Helper()
	return mountAuth(t, shared, "ldap", map[string]map[string]any{
		"config":       d.config(),
		"groups/staff": {"policies": strings.Join(policies, ",")},
	})
}

// ldapStanza logs in with the password in the file. More stands in config.
func ldapStanza(mount, username, passwordFile string, more ...string) string {
	return methodStanza("ldap", mount, append(more, fmt.Sprintf("username = %q", username), fmt.Sprintf("password_file_path = %q", passwordFile))...)
}

// The real LDAP auth method on a real directory: a name that needs escaping in the path, and a password that is more than a word.
func TestLDAPLogin(t *testing.T) {
	people := map[string]string{"ann": "s3cr3t-of-ann", "Ann O'Hara 50%?": " two  words of ann "}
	mount := mountLDAP(t, startSlapd(t, people), newPolicy(t, shared, "leaser/creds/auto: read"))
	for user, password := range people {
		t.Run(user, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "password")
			writeFile(t, file, password+"\n", 0o600)
			p := startProxy(t, vaultStanza(shared.Address)+ldapStanza(mount, user, file)+injectToken+listenerStanza())
			if got := p.whoAmI(t); got != "auto" {
				t.Errorf("the token is that of %q, want one of a member of staff", got)
			}
			self := p.do(t, "GET", "/v1/auth/token/lookup-self", "").secret(t)
			if got, want := self.Data["path"], mount+"/login/"+user; got != want {
				t.Errorf("logged in at %v, want %s", got, want)
			}
			if _, err := os.Stat(file); !os.IsNotExist(err) {
				t.Errorf("the password stays on disk: %v", err)
			}
		})
	}
}

// A wrong password is one sentence that says what to do, and another try when the file has the right one.
func TestLDAPRefusal(t *testing.T) {
	mount := mountLDAP(t, startSlapd(t, map[string]string{"ann": "s3cr3t-of-ann"}), newPolicy(t, shared, "leaser/creds/auto: read"))
	file := filepath.Join(t.TempDir(), "password")
	writeFile(t, file, "wr0ng-of-ann", 0o600)
	remember("wr0ng-of-ann")
	p := launch(t, vaultStanza(shared.Address)+ldapStanza(mount, "ann", file, "remove_password_after_reading = false")+injectToken+listenerStanza())
	p.waitLog(t, "Vault refused the login at "+mount+"/login/ann (400: ")
	p.waitLog(t, "; write the password of ann to "+file)
	writeFile(t, file, "s3cr3t-of-ann", 0o600)
	p.waitLog(t, "msg=ready")
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the file was to stay: %v", err)
	}
}

// A password that was changed in the directory, and then in the file, brings a new token without a request of anyone's.
func TestLDAPNewPassword(t *testing.T) {
	d := startSlapd(t, map[string]string{"ann": "s3cr3t-of-ann"})
	mount := mountLDAP(t, d, newPolicy(t, shared, "leaser/creds/auto: read"))
	dir := t.TempDir()
	file, sink := filepath.Join(dir, "password"), filepath.Join(dir, "token")
	writeFile(t, file, "s3cr3t-of-ann", 0o600)
	p := startProxy(t, vaultStanza(shared.Address)+withSink(ldapStanza(mount, "ann", file), sink)+injectToken+listenerStanza())
	first := sunk(t, sink, "")
	d.setPassword(t, "ann", "n3w-of-ann")
	writeFile(t, file, "n3w-of-ann", 0o600)
	sunk(t, sink, first)
	if got := p.whoAmI(t); got != "auto" {
		t.Errorf("the token is that of %q, want one of a member of staff", got)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the password stays on disk: %v", err)
	}
}

// withSink has an auto_auth stanza write its token to a file.
func withSink(stanza, path string) string {
	return strings.Replace(stanza, "  method", fmt.Sprintf("  sink \"file\" { config = { path = %q } }\n  method", path), 1)
}

// sunk waits until a sink has a token other than the last one.
func sunk(t *testing.T, path, last string) (token string) {
	t.Helper()
	eventually(t, "the sink has a new token", func() bool {
		b, err := os.ReadFile(path)
		token = string(b)
		return err == nil && token != last
	})
	remember(token)
	return token
}
