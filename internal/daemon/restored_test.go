package daemon_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// authenticated is what the metrics say of auto-auth.
func (p probed) authenticated(t *testing.T, value string) bool {
	t.Helper()
	_, _, body := p.do(t, http.MethodGet, "/proxy/v1/metrics")
	return strings.Contains(body, "\nvault_proxy_authenticated "+value+"\n")
}

// The token of the last run is held and lent, whether or not Vault has confirmed it: the metrics say so.
func TestARestoredTokenIsHeld(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), vaulttest.NewServer(t)
	role, secret := filepath.Join(dir, "role"), filepath.Join(dir, "secret")
	if err := errors.Join(os.WriteFile(role, []byte("role"), 0o600), os.WriteFile(secret, []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	hcl := fmt.Sprintf(`
auto_auth {
  method "approle" {
    min_backoff = "100ms"
    max_backoff = "200ms"
    config = { role_id_file_path = %q, secret_id_file_path = %q, remove_secret_id_file_after_reading = false }
  }
}
api_proxy { use_auto_auth_token = true }
cache { persist "file" { path = %q key_file = %q } }
`, role, secret, dir, filepath.Join(dir, "key")) + strings.Replace(listenerAndCache, "cache {}", "", 1)
	t.Run("the last run", func(t *testing.T) {
		p := probe(t, s, hcl, vault.Token{})
		eventually(t, "a token is held", func() bool { return p.authenticated(t, "1") })
	})
	var back atomic.Bool
	s.Fail(func(*http.Request) bool { return !back.Load() }, vaulttest.ResetBefore())
	s.Fail(isLogin, vaulttest.Answer(http.StatusBadRequest, nil, `{"errors":["invalid role or secret ID"]}`))
	s.Fail(vaulttest.On(http.MethodGet, "/v1/auth/token/lookup-self"), vaulttest.Answer(http.StatusForbidden, nil, `{"errors":["bad token"]}`))
	p := probe(t, s, hcl, vault.Token{})
	if part, _ := p.ready(t, "auto_auth", ""); part.State != "restored, not logged in" || !p.authenticated(t, "1") {
		t.Errorf("restored: %+v, authenticated %v", part, p.authenticated(t, "1"))
	}
	back.Store(true)
	eventually(t, "the token is lost", func() bool { return p.authenticated(t, "0") })
	s.Heal()
	eventually(t, "there is another", func() bool { return p.authenticated(t, "1") })
}
