package oci

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/oracle/oci-go-sdk/v65/common"
)

// DefaultMountPath is where the method is mounted unless told otherwise.
const DefaultMountPath = "auth/oci"

// Options tune a Method.
type Options struct {
	MountPath    string           // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	PollInterval time.Duration    // in which Watch looks at the key ID; default 1 min
	Now          func() time.Time // default time.Now
}

// Source is where the key of a login comes from: an APIKey or an Instance.
type Source interface {
	// identity returns the key and the name that Oracle knows it by. The name of an instance's key is a secret.
	identity(ctx context.Context) (identity, error)
	// who says whose requests are signed, for a remedy.
	who() string
}

// identity is what the SDK calls a key provider: one that is what it is.
type identity struct {
	id  string
	key *rsa.PrivateKey
}

// PrivateRSAKey implements common.KeyProvider.
func (i identity) PrivateRSAKey() (*rsa.PrivateKey, error) { return i.key, nil }

// KeyID implements common.KeyProvider.
func (i identity) KeyID() (string, error) { return i.id, nil }

// Method logs in at an OCI mount. Its methods may be called from any goroutine.
type Method struct {
	mount  string
	role   string
	source Source
	poll   time.Duration
	now    func() time.Time

	mu   sync.Mutex // guards used; held for no longer than it takes to read or write it (AUT-11)
	used [sha256.Size]byte
}

// New makes the method. Vault compares a role in lower case with the path that was signed, so that is how it is signed.
func New(role string, source Source, o Options) *Method {
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.PollInterval <= 0 {
		o.PollInterval = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Method{mount: o.MountPath, role: strings.ToLower(role), source: source, poll: o.PollInterval, now: o.Now}
}

// Login signs a request that is never sent, and sends its headers to Vault, once. Vault has Oracle verify them.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	who, err := m.source.identity(ctx)
	if err != nil {
		return nil, err
	}
	path := m.mount + "/login/" + m.role
	headers, err := m.sign(who, strings.TrimSuffix(c.Address(), "/")+"/v1/"+m.mount+"/login/"+url.PathEscape(m.role))
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.used = sha256.Sum256([]byte(who.id))
	m.mu.Unlock()
	return c.Logical().WriteWithContext(ctx, path, map[string]any{"request_headers": headers})
}

// Watch implements autoauth.Watcher: other credentials have another key ID.
func (m *Method) Watch(ctx context.Context, changed func()) {
	ticker := time.NewTicker(m.poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if m.differs(ctx) {
				changed()
			}
		}
	}
}

// Remedy says what to do about a refused login.
func (m *Method) Remedy(status int) string {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden:
		return fmt.Sprintf("check that the role %q exists at %s and lists a group or dynamic group of %s, that the mount's home_tenancy_id is theirs, and that the clocks agree",
			m.role, m.mount, m.source.who())
	default:
		return fmt.Sprintf("check that an oci auth method is mounted at %s in this namespace", m.mount)
	}
}

func (m *Method) differs(ctx context.Context) bool {
	who, err := m.source.identity(ctx)
	if err != nil {
		return false // missing or half written: not new credentials
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := sha256.Sum256([]byte(who.id))
	if m.used == ([sha256.Size]byte{}) { // no login yet: the last run's token was got with it
		m.used = now
	}
	return m.used != now
}

// sign signs a GET of address as Oracle's APIs want it. The headers say as well what else was signed, for Vault to repeat it.
func (m *Method) sign(who identity, address string) (http.Header, error) {
	r, err := http.NewRequest(http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("sign a request for the login: %w; correct vault.address or VAULT_ADDR", err)
	}
	r.Header.Set("Date", m.now().UTC().Format(http.TimeFormat))
	if err := common.DefaultRequestSigner(who).Sign(r); err != nil {
		return nil, fmt.Errorf("sign a request for the login: %w; use an RSA key of 2048 bits", err)
	}
	r.Header.Set("Host", r.URL.Host)
	r.Header["(request-target)"] = []string{"get " + r.URL.RequestURI()}
	return r.Header, nil
}
