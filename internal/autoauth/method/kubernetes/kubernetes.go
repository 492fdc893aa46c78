package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

// DefaultMountPath is where the Kubernetes method is mounted unless told otherwise.
const DefaultMountPath = "auth/kubernetes"

// DefaultTokenFile is where Kubernetes mounts the service account token of a pod.
const DefaultTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Options tune a Method.
type Options struct {
	MountPath string // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	TokenFile string // default DefaultTokenFile
}

// Method logs in at a Kubernetes mount. It reads the token at every login, since Kubernetes replaces it long before it expires, and never removes it.
type Method struct {
	mount string
	role  string
	token *credfile.File
}

// New makes the method for a role of Vault; the file need not exist yet.
func New(role string, log *slog.Logger, o Options) *Method {
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.TokenFile == "" {
		o.TokenFile = DefaultTokenFile
	}
	reading := credfile.Options{Remedy: "have Kubernetes mount it there (automountServiceAccountToken, or a projected volume), or set token_path"}
	return &Method{mount: o.MountPath, role: role, token: credfile.New("service account token", o.TokenFile, log, reading)}
}

// Login sends the role and the token, once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	token, err := m.token.Read()
	if err != nil {
		return nil, err
	}
	return c.Logical().WriteWithContext(ctx, m.mount+"/login", map[string]any{"role": m.role, "jwt": token})
}

// Remedy says what to do about a refused login. Vault answers 400 to a role that it does not have, and 403 to a token that Kubernetes or the role does not accept,
// in so many words.
func (m *Method) Remedy(status int) string {
	if status == http.StatusBadRequest {
		return fmt.Sprintf("make the role %q at %s, or correct role", m.role, m.mount)
	}
	return fmt.Sprintf("check that the role %q takes this service account, its namespace and the token's audience, that the config of %s lets Vault ask Kubernetes for a TokenReview, "+
		"and that a Kubernetes auth method is mounted there in this namespace of Vault", m.role, m.mount)
}

// Watch calls changed when the file has another token than the last Login has sent, until ctx ends.
func (m *Method) Watch(ctx context.Context, changed func()) {
	m.token.Watch(ctx, credfile.DefaultPeriod, changed)
}
