package gcp

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// DefaultMountPath is where the method is mounted unless told otherwise.
const DefaultMountPath = "auth/gcp"

// The two types of login, as Vault's roles have them.
const (
	GCE = "gce" // for the machine: its metadata service gives an identity token
	IAM = "iam" // for a service account: the IAM Credentials API signs a JWT
)

// Options tune a Method.
type Options struct {
	MountPath string // with its auth/ prefix and without a slash at the end; default DefaultMountPath

	// ServiceAccount is who logs in. The default is the machine's default account for GCE, and for IAM that of the credentials.
	ServiceAccount string

	Credentials string        // of IAM: JSON, or the path of a file that has it; default: Application Default Credentials
	Lifetime    time.Duration // of the JWT of IAM, in whole seconds; default 15 min, which is also the most that a role allows by default

	Metadata  string              // address of the metadata service; default http://metadata, or what GCE_METADATA_HOST says
	IAM       string              // address of the IAM Credentials API; default https://iamcredentials.googleapis.com
	Transport http.RoundTripper   // of requests to Google's APIs; default: a transport of its own
	Now       func() time.Time    // default time.Now
	Getenv    func(string) string // the environment in which IAM looks for credentials; default os.Getenv
}

// Method logs in at a Google Cloud mount. It keeps nothing between logins, and its methods may be called from any goroutine.
type Method struct {
	mount string
	role  string
	kind  string
	token func(ctx context.Context, vault string) (string, error) // vault is the address of Vault
}

// New makes a method of the type GCE or IAM. An error names the option that cannot be used.
func New(kind, role string, o Options) (*Method, error) {
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.Lifetime == 0 {
		o.Lifetime = 15 * time.Minute
	}
	if o.Lifetime < time.Second {
		return nil, fmt.Errorf("auth method gcp: a JWT that lives for %v is of no use; set jwt_exp to a number of minutes such as 15", o.Lifetime)
	}
	if o.IAM == "" {
		o.IAM = "https://iamcredentials.googleapis.com"
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	m := &Method{mount: o.MountPath, role: role, kind: kind}
	meta := newMetadata(o.Metadata)
	switch kind {
	case GCE:
		m.token = machine{metadata: meta, role: role, account: o.ServiceAccount}.token
	case IAM:
		m.token = (&signer{metadata: meta, role: role, opts: o}).token
	default:
		return nil, fmt.Errorf("auth method gcp: there is no type %q; set type to %q or %q", kind, GCE, IAM)
	}
	return m, nil
}

// Login obtains a JWT and asks Vault once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	token, err := m.token(ctx, strings.TrimSuffix(c.Address(), "/"))
	if err != nil {
		return nil, err
	}
	return c.Logical().WriteWithContext(ctx, m.mount+"/login", map[string]any{"role": m.role, "jwt": token})
}

// Remedy says what to do about a refused login.
func (m *Method) Remedy(status int) string {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden:
		return fmt.Sprintf("check that the role %q exists at %s, is of type %s, and is bound to this service account and project", m.role, m.mount, m.kind)
	default:
		return fmt.Sprintf("check that a gcp auth method is mounted at %s in this namespace", m.mount)
	}
}

// isJWT reports whether s has the shape of a signed JWT, which an error page has not (AUT-16).
func isJWT(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return false
	}
	for _, part := range parts {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}
