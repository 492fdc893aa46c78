package ldap

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

// DefaultMountPath is where LDAP is mounted unless told otherwise.
const DefaultMountPath = "auth/ldap"

// Options tune a Method.
type Options struct {
	MountPath        string        // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	KeepPasswordFile bool          // default: the file is removed once read
	FollowSymlinks   bool          // what a link leads to is removed; default: the link itself
	Period           time.Duration // in which Watch looks at the file, besides when the system tells of a change; default 1 min
}

// Method logs in at an LDAP mount. It reads the password at every login and falls back on what the file held before.
type Method struct {
	mount    string
	username string
	password *credfile.File
	period   time.Duration
}

// New makes the method; the file need not exist yet. A user name that cannot stand at the end of a path is an error.
func New(username, passwordFile string, log *slog.Logger, o Options) (*Method, error) {
	// Such a name would ask about another user, or not for a login at all: dots and double slashes do not survive the way to Vault, escaped or not.
	if username == "" || path.Clean("/"+username) != "/"+username {
		return nil, fmt.Errorf("Vault cannot be asked about a user named %q; correct username", username)
	}
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.Period <= 0 {
		o.Period = time.Minute
	}
	// Verbatim, because a password may begin or end with a space.
	file := credfile.Options{Verbatim: true, Remove: !o.KeepPasswordFile, FollowSymlinks: o.FollowSymlinks}
	return &Method{mount: o.MountPath, username: username, password: credfile.New("password", passwordFile, log, file), period: o.Period}, nil
}

// Login sends the password, once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	password, err := m.password.Read()
	if err != nil {
		return nil, err
	}
	// The client escapes the path.
	secret, err := c.Logical().WriteWithContext(ctx, m.mount+"/login/"+m.username, map[string]any{"password": password})
	m.password.Settle(err)
	return secret, err
}

// Remedy says what to do about a refused login. Vault answers 400 when the directory does not take the name and password, or does not answer.
func (m *Method) Remedy(status int) string {
	if status != http.StatusBadRequest {
		return fmt.Sprintf("check that an LDAP auth method is mounted at %s in this namespace", m.mount)
	}
	return fmt.Sprintf("write the password of %s to %s, or correct username or the mount's config", m.username, m.password.Path())
}

// Watch calls changed when the file has another password than the last Login has sent, until ctx ends.
func (m *Method) Watch(ctx context.Context, changed func()) { m.password.Watch(ctx, m.period, changed) }
