package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// mountAuth mounts an auth method under the test's name until it ends, and writes what belongs there.
func mountAuth(t *testing.T, v *realvault.Server, kind string, writes map[string]map[string]any) (mount string) {
	t.Helper()
	mount = "auth/" + name(t)
	if err := v.Client().Sys().EnableAuthWithOptions(name(t), &api.EnableAuthOptions{Type: kind}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Client().Sys().DisableAuth(name(t)); err != nil {
			t.Error(err)
		}
	})
	for path, data := range writes {
		if _, err := v.Client().Logical().Write(mount+"/"+path, data); err != nil {
			t.Fatal(err)
		}
	}
	return mount
}

// methodStanza logs in at the mount, again at once when there are new credentials.
func methodStanza(kind, mount string, config ...string) string {
	return fmt.Sprintf(`
auto_auth {
  enable_reauth_on_new_credentials = true
  method %q {
    mount_path  = %q
    min_backoff = "100ms"
    max_backoff = "200ms"
    config = {
      %s
    }
  }
}
`, kind, mount, strings.Join(config, "\n      "))
}

// tokenAt looks up the token in a sink, and expects that the mount has given it.
func tokenAt(t *testing.T, v *realvault.Server, token, mount string) (meta map[string]any) {
	t.Helper()
	remember(token)
	s, err := v.Client().Auth().Token().Lookup(token)
	if err != nil {
		t.Fatalf("Vault does not know the token: %v", err)
	}
	if path, _ := s.Data["path"].(string); path != mount+"/login" {
		t.Errorf("the token was made at %s, want %s/login", path, mount)
	}
	meta, _ = s.Data["meta"].(map[string]any)
	return meta
}

// replaceFile lets a file have another content from one moment to the next.
func replaceFile(t *testing.T, path, content string) {
	t.Helper()
	writeFile(t, path+".new", content, 0o600)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// signer signs JWTs.
type signer struct{ key *ecdsa.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

// public is the key that Vault is given, in PEM.
func (s signer) public(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// sign makes a JWT of the claims (RFC 7518, ES256). No log may show it.
func (s signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + b64(payload)
	sum := sha256.Sum256([]byte(text))
	r, sv, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	sv.FillBytes(signature[32:])
	jwt := text + "." + b64(signature)
	remember(jwt)
	return jwt
}
