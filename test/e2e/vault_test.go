package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// name makes a name that is this test's own in Vault.
func name(t *testing.T) string {
	return strings.ToLower(strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()))
}

// newPolicy writes a policy of one rule per "path: capability, capability" and returns its name.
func newPolicy(t *testing.T, v *realvault.Server, rules ...string) string {
	t.Helper()
	return policyNamed(t, v, name(t), rules...)
}

func policyNamed(t *testing.T, v *realvault.Server, name string, rules ...string) string {
	t.Helper()
	var hcl strings.Builder
	for _, r := range rules {
		path, capabilities, _ := strings.Cut(r, ": ")
		list, err := json.Marshal(strings.Split(capabilities, ", "))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&hcl, "path %q { capabilities = %s }\n", path, list)
	}
	if err := v.Client().Sys().PutPolicy(name, hcl.String()); err != nil {
		t.Fatal(err)
	}
	return name
}

// newToken makes a renewable token of an hour with these policies beside default. It is a child of the root token.
func newToken(t *testing.T, v *realvault.Server, policies ...string) *api.SecretAuth {
	t.Helper()
	s, err := v.Client().Auth().Token().Create(&api.TokenCreateRequest{Policies: policies, TTL: "1h"})
	if err != nil {
		t.Fatal(err)
	}
	remember(s.Auth.ClientToken)
	return s.Auth
}

// appRole is a role with one secret id, in the files that the approle method of auto-auth reads.
type appRole struct {
	Name, RoleID, SecretID   string
	RoleIDFile, SecretIDFile string
}

// newAppRole makes a role with these policies, whose tokens live an hour.
func newAppRole(t *testing.T, v *realvault.Server, policies ...string) appRole {
	t.Helper()
	return appRoleNamed(t, v, name(t), policies...)
}

func appRoleNamed(t *testing.T, v *realvault.Server, name string, policies ...string) appRole {
	t.Helper()
	r := appRole{Name: name}
	role := "auth/approle/role/" + r.Name
	c := v.Client().Logical()
	if _, err := c.Write(role, map[string]any{"token_policies": policies, "token_ttl": "1h"}); err != nil {
		t.Fatal(err)
	}
	id, err := c.Read(role + "/role-id")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := c.Write(role+"/secret-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RoleID, r.SecretID = id.Data["role_id"].(string), secret.Data["secret_id"].(string)
	remember(r.SecretID)
	dir := t.TempDir()
	r.RoleIDFile, r.SecretIDFile = filepath.Join(dir, "role-id"), filepath.Join(dir, "secret-id")
	for file, text := range map[string]string{r.RoleIDFile: r.RoleID, r.SecretIDFile: r.SecretID} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// autoAuth is the stanza that logs in with the role.
func (r appRole) autoAuth() string {
	return fmt.Sprintf(`
auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = %q
      secret_id_file_path = %q
    }
  }
}
`, r.RoleIDFile, r.SecretIDFile)
}

// logIn logs in with the role through the proxy, so that the token is one that the proxy manages.
func (p *proxy) logIn(t *testing.T, r appRole) *api.SecretAuth {
	t.Helper()
	body, err := json.Marshal(map[string]string{"role_id": r.RoleID, "secret_id": r.SecretID})
	if err != nil {
		t.Fatal(err)
	}
	s := p.do(t, "POST", "/v1/auth/approle/login", string(body)).secret(t)
	if s.Auth == nil {
		t.Fatal("the answer to a login has no auth")
	}
	return s.Auth
}
