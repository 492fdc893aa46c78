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
	SecretIDFile     string // default: none, the login is by role ID only, and the other options about the secret ID mean nothing
	KeepSecretIDFile bool   // default: the file is removed once read
	WrappingPath     string // SecretIDFile holds a wrapping token that was made at this path; default: it holds the secret ID
}

// Method logs in at an AppRole mount. It reads its files at every login and falls back on what they held before. Login and Remedy are for one goroutine.
type Method struct {
	mount    string
	roleID   *credfile.File
	secretID *credfile.File // nil: none is sent
	wrapped  *wrapped       // nil: the secret ID is not
}

// New makes the method; the files need not exist yet.
func New(roleIDFile string, log *slog.Logger, o Options) *Method {
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	m := &Method{mount: o.MountPath, roleID: credfile.New("role ID", roleIDFile, log, credfile.Options{})}
	if o.SecretIDFile == "" {
		return m
	}
	file := credfile.Options{Remove: !o.KeepSecretIDFile}
	if o.WrappingPath == "" {
		m.secretID = credfile.New("secret ID", o.SecretIDFile, log, file)
		return m
	}
	m.secretID = credfile.New("wrapping token of the secret ID", o.SecretIDFile, log, file)
	m.wrapped = &wrapped{file: m.secretID, path: o.WrappingPath}
	return m
}

// Login sends the role ID and the secret ID, once. A wrapped secret ID takes two requests before it, the first time.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	roleID, err := m.roleID.Read()
	if err != nil {
		return nil, err
	}
	body := map[string]any{"role_id": roleID}
	switch {
	case m.wrapped != nil:
		body["secret_id"], err = m.wrapped.read(ctx, c)
	case m.secretID != nil:
		body["secret_id"], err = m.secretID.Read()
	}
	if err != nil {
		return nil, err
	}
	secret, err := c.Logical().WriteWithContext(ctx, m.mount+"/login", body)
	if m.secretID != nil && m.wrapped == nil {
		m.secretID.Settle(err)
	}
	return secret, err
}

// Remedy says what to do about a refused login. Vault answers 400 to wrong IDs, other codes to a wrong place.
func (m *Method) Remedy(status int) string {
	switch {
	case m.wrapped != nil && m.wrapped.asking:
		return fmt.Sprintf("the wrapping token has expired, or somebody else has unwrapped it: find out which, and write a new one to %s", m.secretID.Path())
	case status != http.StatusBadRequest:
		return fmt.Sprintf("check that an AppRole auth method is mounted at %s in this namespace", m.mount)
	case m.secretID == nil:
		return fmt.Sprintf("check the role ID in %s, and that its role has bind_secret_id=false", m.roleID.Path())
	case m.wrapped != nil:
		return fmt.Sprintf("write the wrapping token of a new secret ID to %s, or correct the role ID in %s", m.secretID.Path(), m.roleID.Path())
	default:
		return fmt.Sprintf("write a new secret ID to %s, or correct the role ID in %s", m.secretID.Path(), m.roleID.Path())
	}
}

// Watch calls changed when one of the files has another content than the last Login has read, until ctx ends.
func (m *Method) Watch(ctx context.Context, changed func()) {
	files := []*credfile.File{m.roleID}
	if m.secretID != nil {
		files = append(files, m.secretID)
	}
	credfile.WatchFiles(ctx, credfile.DefaultPeriod, changed, files...)
}
