package approle

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

// DefaultMountPath is where AppRole is mounted unless told otherwise.
const DefaultMountPath = "auth/approle"

// Options tune a Method.
type Options struct {
	MountPath        string // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	SecretIDFile     string // default: none, the login is by role ID only
	KeepSecretIDFile bool   // default: the file is removed once read
}

// Method logs in at an AppRole mount. It reads its files at every login and falls back on what they held before.
type Method struct {
	mount    string
	roleID   *credfile.File
	secretID *credfile.File // nil: none is sent
}

// New makes the method; the files need not exist yet.
func New(roleIDFile string, log *slog.Logger, o Options) *Method {
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	m := &Method{mount: o.MountPath, roleID: credfile.New("role ID", roleIDFile, false, log)}
	if o.SecretIDFile != "" {
		m.secretID = credfile.New("secret ID", o.SecretIDFile, !o.KeepSecretIDFile, log)
	}
	return m
}

// Login sends the role ID and the secret ID, once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	roleID, err := m.roleID.Read()
	if err != nil {
		return nil, err // before the secret ID, which reading may remove
	}
	body := map[string]any{"role_id": roleID}
	if m.secretID != nil {
		secretID, err := m.secretID.Read()
		if err != nil {
			return nil, err
		}
		body["secret_id"] = secretID
	}
	return c.Logical().WriteWithContext(ctx, m.mount+"/login", body)
}

// Remedy says what to do about a refused login. Vault answers 400 to wrong IDs, other codes to a wrong place.
func (m *Method) Remedy(status int) string {
	switch {
	case status != http.StatusBadRequest:
		return fmt.Sprintf("check that an AppRole auth method is mounted at %s in this namespace", m.mount)
	case m.secretID == nil:
		return fmt.Sprintf("check the role ID in %s, and that its role has bind_secret_id=false", m.roleID.Path())
	default:
		return fmt.Sprintf("write a new secret ID to %s, or correct the role ID in %s", m.secretID.Path(), m.roleID.Path())
	}
}
