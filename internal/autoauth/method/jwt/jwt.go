package jwt

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

// DefaultMountPath is where JWT is mounted unless told otherwise.
const DefaultMountPath = "auth/jwt"

// Options tune a Method.
type Options struct {
	MountPath      string        // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	KeepFile       bool          // default: the file is removed once read
	FollowSymlinks bool          // what a link leads to is removed; default: the link itself
	Period         time.Duration // in which Watch looks at the file, besides when the system tells of a change; default 1 min
}

// Method logs in at a JWT mount. It reads the JWT at every login and falls back on what the file held before.
type Method struct {
	mount  string
	role   string
	jwt    *credfile.File
	period time.Duration
}

// New makes the method for a role of Vault; the file need not exist yet.
func New(role, file string, log *slog.Logger, o Options) *Method {
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.Period <= 0 {
		o.Period = credfile.DefaultPeriod
	}
	reading := credfile.Options{Remove: !o.KeepFile, FollowSymlinks: o.FollowSymlinks}
	return &Method{mount: o.MountPath, role: role, jwt: credfile.New("JWT", file, log, reading), period: o.Period}
}

// Login sends the role and the JWT, once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	jwt, err := m.jwt.Read()
	if err != nil {
		return nil, err
	}
	secret, err := c.Logical().WriteWithContext(ctx, m.mount+"/login", map[string]any{"role": m.role, "jwt": jwt})
	m.jwt.Settle(err)
	return secret, err
}

// Remedy says what to do about a refused login. Vault answers 400 to a wrong JWT or role, other codes to a wrong place.
func (m *Method) Remedy(status int) string {
	if status != http.StatusBadRequest {
		return fmt.Sprintf("check that a JWT auth method is mounted at %s in this namespace", m.mount)
	}
	return fmt.Sprintf("write a JWT that is good for the role %q to %s, or correct role", m.role, m.jwt.Path())
}

// Watch calls changed when the file has another JWT than the last Login has sent, until ctx ends.
func (m *Method) Watch(ctx context.Context, changed func()) {
	m.jwt.Watch(ctx, m.period, changed)
}
