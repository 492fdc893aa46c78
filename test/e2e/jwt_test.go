package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// mountJWT mounts the real JWT auth method with a role "app" for the audience "vault".
func mountJWT(t *testing.T, s signer, policies ...string) (mount string) {
	t.Helper()
	return mountAuth(t, shared, "jwt", map[string]map[string]any{
		"config": {"jwt_validation_pubkeys": s.public(t)},
		"role/app": {
			"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault", "claim_mappings": map[string]string{"build": "build"}, "token_policies": policies,
		},
	})
}

func claims(build string) map[string]any {
	now := time.Now()
	return map[string]any{"sub": "ci", "aud": "vault", "build": build, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

func jwtStanza(mount, file string, more ...string) string {
	return methodStanza("jwt", mount, append([]string{`role = "app"`, fmt.Sprintf("path = %q", file)}, more...)...)
}

func TestJWTLogin(t *testing.T) {
	s := newSigner(t)
	mount := mountJWT(t, s, newPolicy(t, shared, "leaser/creds/auto: read"))
	dir := t.TempDir()
	file, sink := filepath.Join(dir, "jwt"), filepath.Join(dir, "token")
	writeFile(t, file, s.sign(t, claims("1"))+"\n", 0o600)
	p := startProxy(t, vaultStanza(shared.Address)+withSink(jwtStanza(mount, file), sink)+injectToken+listenerStanza())
	first := sunk(t, sink, "")
	if got := tokenAt(t, shared, first, mount)["build"]; got != "1" {
		t.Errorf("the token is of build %v, want 1", got)
	}
	if got := p.whoAmI(t); got != "auto" {
		t.Errorf("the token is that of %q, want the role's", got)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the JWT stays on disk: %v", err)
	}
	// A new JWT is used at once.
	replaceFile(t, file, s.sign(t, claims("2")))
	if got := tokenAt(t, shared, sunk(t, sink, first), mount)["build"]; got != "2" {
		t.Errorf("the new token is of build %v, want 2", got)
	}
}

// A wrong JWT is one sentence that says what to do, and another try when the file has the right one.
func TestJWTRefusal(t *testing.T) {
	s := newSigner(t)
	mount := mountJWT(t, s, newPolicy(t, shared, "leaser/creds/auto: read"))
	other := claims("1")
	other["aud"] = "elsewhere"
	for what, jwt := range map[string]string{"of another key": newSigner(t).sign(t, claims("1")), "for another audience": s.sign(t, other), "none at all": "n0t-a-jwt"} {
		t.Run(what, func(t *testing.T) {
			remember(jwt)
			file := filepath.Join(t.TempDir(), "jwt")
			writeFile(t, file, jwt, 0o600)
			p := launch(t, vaultStanza(shared.Address)+jwtStanza(mount, file, "remove_jwt_after_reading = false")+injectToken+listenerStanza())
			p.waitLog(t, "Vault refused the login at "+mount+"/login (400: ")
			p.waitLog(t, `; write a JWT that is good for the role \"app\" to `+file+", or correct role")
			replaceFile(t, file, s.sign(t, claims("2")))
			p.waitLog(t, "msg=ready")
			if _, err := os.Stat(file); err != nil {
				t.Errorf("the file was to stay: %v", err)
			}
		})
	}
}

func TestJWTMissing(t *testing.T) {
	s := newSigner(t)
	mount := mountJWT(t, s)
	file := filepath.Join(t.TempDir(), "later", "jwt")
	p := launch(t, vaultStanza(shared.Address)+jwtStanza(mount, file)+injectToken+listenerStanza())
	p.waitLog(t, "; write it to "+file)
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, s.sign(t, claims("1")), 0o600)
	p.waitLog(t, "msg=ready")
}
