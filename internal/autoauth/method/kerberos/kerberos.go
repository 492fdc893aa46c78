package kerberos

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

// DefaultMountPath is where Kerberos is mounted unless told otherwise.
const DefaultMountPath = "auth/kerberos"

// Principal is who logs in.
type Principal struct {
	Username string // as in the keytab, with its instance if it has one: "app" or "app/host"
	Realm    string
	Keytab   string // path
}

// Options tune a Method.
type Options struct {
	MountPath   string        // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	DisableFAST bool          // for KDCs that do not answer who offers FAST negotiation (RFC 6806)
	Timeout     time.Duration // for all that is asked of the KDCs in one login; default 1 min
	Period      time.Duration // in which Watch looks at the keytab, besides when the system tells of a change; default 1 min
}

// Method logs in at a Kerberos mount. It reads its files at every login.
type Method struct {
	principal Principal
	service   string
	krb5Conf  string
	opts      Options

	asking chan struct{} // capacity 1: held by who talks to the KDCs

	mu   sync.Mutex
	used [sha256.Size]byte // of the keytab that the last Login has used
}

// New makes the method; the files need not exist yet. Service is the principal that Vault has a key of, HTTP/vault.example:8200 for
// example, and krb5Conf the path of a krb5.conf, which says where the KDCs are.
func New(p Principal, service, krb5Conf string, o Options) *Method {
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Period <= 0 {
		o.Period = time.Minute
	}
	return &Method{principal: p, service: service, krb5Conf: krb5Conf, opts: o, asking: make(chan struct{}, 1)}
}

// Login asks the KDC for a ticket for Vault, and sends that, once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	t, err := m.prepare()
	if err != nil {
		return nil, err
	}
	negotiation, err := m.ask(ctx, t)
	if err != nil {
		return nil, err
	}
	headers := c.Headers()
	headers.Set("Authorization", "Negotiate "+negotiation)
	c.SetHeaders(headers)
	return c.Logical().WriteWithContext(ctx, m.opts.MountPath+"/login", map[string]any{})
}

// ask runs the conversation with the KDCs. It cannot be cancelled, but ends by its own timeouts: 5 s for each connection and each answer.
// When ctx ends before, it is left to itself, and nobody begins another one until it is over.
func (m *Method) ask(ctx context.Context, t ticket) (negotiation string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, m.opts.Timeout, fmt.Errorf("no answer within %v", m.opts.Timeout))
	defer cancel()
	type answer struct {
		negotiation string
		err         error
	}
	answers := make(chan answer, 1) // nobody may be there to take it
	select {
	case m.asking <- struct{}{}:
		go func() {
			defer func() { <-m.asking }()
			var a answer
			a.negotiation, a.err = t.negotiate(ctx)
			answers <- a
		}()
	case <-ctx.Done():
		return "", m.explain(context.Cause(ctx))
	}
	select {
	case a := <-answers:
		if a.err != nil {
			return "", m.explain(a.err)
		}
		return a.negotiation, nil
	case <-ctx.Done():
		return "", m.explain(context.Cause(ctx))
	}
}

// Remedy says what to do about a refused login. Vault answers 401 when the ticket did not reach the plugin or is not for its key, 400 when the
// directory has the user in another realm.
func (m *Method) Remedy(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return fmt.Sprintf("check that %s is tuned with passthrough_request_headers=Authorization, and has a current keytab with the key of %s", m.opts.MountPath, m.service)
	case http.StatusBadRequest:
		return fmt.Sprintf("check the LDAP configuration in %s/config/ldap", m.opts.MountPath)
	}
	return fmt.Sprintf("check that a Kerberos auth method is mounted at %s in this namespace", m.opts.MountPath)
}

// Watch calls changed when the keytab is another than the last Login has used, until ctx ends.
func (m *Method) Watch(ctx context.Context, changed func()) {
	if keys, err := m.readKeytab(); err == nil { // with no login yet, what is there counts as used: the last run's token was got with it
		m.mu.Lock()
		if m.used == ([sha256.Size]byte{}) {
			m.used = keys.sum
		}
		m.mu.Unlock()
	}
	credfile.Watch(ctx, m.opts.Period, m.differs, changed, m.principal.Keytab)
}

// differs reports whether there is another keytab, whole and with a key of ours.
func (m *Method) differs() bool {
	keys, err := m.readKeytab()
	if err != nil || len(keys.types) == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return keys.sum != m.used
}

// uses remembers which keytab a login is made with.
func (m *Method) uses(sum [sha256.Size]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used = sum
}
