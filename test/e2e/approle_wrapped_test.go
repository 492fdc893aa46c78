package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// wrappingClient has Vault wrap what it answers.
func wrappingClient(t *testing.T) *api.Client {
	t.Helper()
	c, err := shared.Client().Clone()
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(shared.RootToken)
	c.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	return c
}

// wrapSecretID makes the role a secret id and returns its wrapping token.
func (r appRole) wrapSecretID(t *testing.T) string {
	t.Helper()
	s, err := wrappingClient(t).Logical().Write("auth/approle/role/"+r.Name+"/secret-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	remember(s.WrapInfo.Token)
	return s.WrapInfo.Token
}

// wrappedSecretID is the configuration that logs in with the role and a wrapped secret id; more goes into config.
func wrappedSecretID(r appRole, sink string, more ...string) string {
	keys := append(more, fmt.Sprintf("secret_id_response_wrapping_path = %q", "auth/approle/role/"+r.Name+"/secret-id"), "role_id_file_path")
	stanza := strings.Replace(r.autoAuth(), "role_id_file_path", strings.Join(keys, "\n      "), 1)
	stanza = strings.Replace(stanza, "auto_auth {", "auto_auth {\n  enable_reauth_on_new_credentials = true", 1)
	stanza = strings.Replace(stanza, `method "approle" {`, "method \"approle\" {\n    min_backoff = \"100ms\"\n    max_backoff = \"200ms\"", 1)
	return vaultStanza(shared.Address) + withSink(stanza, sink) + injectToken + listenerStanza(allowReauth)
}

// A wrapping token is good for one unwrapping; the secret id in it is good for the next logins too, wherever its file is.
func TestWrappedSecretID(t *testing.T) {
	for name, more := range map[string][]string{"removed": nil, "kept": {"remove_secret_id_file_after_reading = false"}} {
		t.Run(name, func(t *testing.T) {
			r, sink := newAppRole(t, shared, newPolicy(t, shared, "leaser/creds/auto: read")), filepath.Join(t.TempDir(), "token")
			writeFile(t, r.SecretIDFile, r.wrapSecretID(t)+"\n", 0o600)
			p := startProxy(t, wrappedSecretID(r, sink, more...))
			first := sunk(t, sink, "")
			tokenAt(t, shared, first, "auth/approle")
			if got := p.whoAmI(t); got != "auto" {
				t.Errorf("the token is that of %q, want the role's", got)
			}
			if _, err := os.Stat(r.SecretIDFile); os.IsNotExist(err) != (name == "removed") {
				t.Errorf("the file of the wrapping token: %v", err)
			}
			if a := p.do(t, "POST", "/proxy/v1/reauth", ""); a.Status != http.StatusOK {
				t.Fatalf("a second login = %d %s", a.Status, a.Body)
			}
			second := sunk(t, sink, first)
			replaceFile(t, r.SecretIDFile, r.wrapSecretID(t))
			tokenAt(t, shared, sunk(t, sink, second), "auth/approle")
		})
	}
}

// A token that wraps a secret id of somebody else's choice.
func TestWrappedSecretIDFromElsewhere(t *testing.T) {
	r, sink := newAppRole(t, shared), filepath.Join(t.TempDir(), "token")
	s, err := wrappingClient(t).Logical().Write("sys/wrapping/wrap", map[string]any{"secret_id": r.SecretID})
	if err != nil {
		t.Fatal(err)
	}
	remember(s.WrapInfo.Token)
	writeFile(t, r.SecretIDFile, s.WrapInfo.Token, 0o600)
	p := launch(t, wrappedSecretID(r, sink))
	p.waitLog(t, "level=ERROR")
	p.waitLog(t, `SECURITY: the wrapping token was made elsewhere, perhaps by an attacker: at \"sys/wrapping/wrap\" and not at \"auth/approle/role/`+r.Name+`/secret-id\"`)
	if held, err := shared.Client().Logical().Write("sys/wrapping/lookup", map[string]any{"token": s.WrapInfo.Token}); err != nil || held.Data["creation_path"] != "sys/wrapping/wrap" {
		t.Errorf("the token was used for all that: %v", err)
	}
	replaceFile(t, r.SecretIDFile, r.wrapSecretID(t))
	tokenAt(t, shared, sunk(t, sink, ""), "auth/approle")
}

// Who finds the token unwrapped has to ask by whom.
func TestWrappedSecretIDTakenByAnother(t *testing.T) {
	r, sink := newAppRole(t, shared), filepath.Join(t.TempDir(), "token")
	token := r.wrapSecretID(t)
	if _, err := shared.Client().Logical().Unwrap(token); err != nil {
		t.Fatal(err)
	}
	writeFile(t, r.SecretIDFile, token, 0o600)
	p := launch(t, wrappedSecretID(r, sink))
	p.waitLog(t, "Vault refused the login at sys/wrapping/lookup (400: ")
	p.waitLog(t, "somebody else has unwrapped it: find out which, and write a new one to "+r.SecretIDFile)
	replaceFile(t, r.SecretIDFile, r.wrapSecretID(t))
	tokenAt(t, shared, sunk(t, sink, ""), "auth/approle")
}
