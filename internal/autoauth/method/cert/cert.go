package cert

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

// DefaultMountPath is where the TLS certificate method is mounted unless told otherwise.
const DefaultMountPath = "auth/cert"

// Options tune a Method.
type Options struct {
	MountPath string        // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	Name      string        // of the certificate role at Vault; default: Vault tries them all
	Period    time.Duration // in which Watch looks at the files, besides when the system tells of a change; default 1 min
}

// Method logs in with the certificate that a connection to Vault is made with. It reads the files at every login, and keeps to what they held for what Through's
// clients send until the next one. Its methods may be called from any goroutine.
type Method struct {
	files  Files
	open   func() (http.RoundTripper, error)
	log    *slog.Logger
	mount  string
	name   string
	period time.Duration

	mu   sync.Mutex // guards the rest; released before any call to Vault
	conn http.RoundTripper
	used stamp // of the files that conn was made with
}

// New makes the method. Open reads the files, which need not exist yet, for a transport that makes a connection per request, and never reads them again.
func New(files Files, open func() (http.RoundTripper, error), log *slog.Logger, o Options) *Method {
	if o.Period <= 0 {
		o.Period = credfile.DefaultPeriod
	}
	return &Method{files: files, open: open, log: log, mount: cmp.Or(o.MountPath, DefaultMountPath), name: o.Name, period: o.Period}
}

// Login reads the files and asks Vault for a token over a new connection, once. Files that cannot be used are an error only the first time.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	if err := m.reopen(); err != nil {
		return nil, err
	}
	c, err := m.Through(c)
	if err != nil {
		return nil, err
	}
	body := map[string]any{}
	if m.name != "" {
		body["name"] = m.name
	}
	return c.Logical().WriteWithContext(ctx, m.mount+"/login", body)
}

// Through returns a client like c whose requests present the certificate of the last login, or c itself if they do already. Vault renews a token only for the
// certificate that it was given for. What c sets on answers (response callbacks) is lost on the way.
func (m *Method) Through(c *api.Client) (*api.Client, error) {
	cfg := c.CloneConfig()
	if own, ok := cfg.HttpClient.Transport.(*Method); ok && own == m {
		return c, nil
	}
	cfg.HttpClient.Transport = m
	through, err := api.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("client for the certificate: %w", err)
	}
	through.SetHeaders(c.Headers()) // the namespace is one of them
	through.SetToken(c.Token())
	through.SetWrappingLookupFunc(c.CurrentWrappingLookupFunc())
	return through, nil
}

// RoundTrip implements http.RoundTripper for the clients of Through: over a connection with the certificate of the last login. When there was none, or the last
// request got no answer, it is the certificate of now.
func (m *Method) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	conn := m.conn
	m.mu.Unlock()
	if conn == nil {
		var err error
		if conn, err = m.open(); err != nil {
			if r.Body != nil {
				_ = r.Body.Close() // as a RoundTripper does
			}
			return nil, err
		}
	}
	resp, err := conn.RoundTrip(r)
	if err != nil && r.Context().Err() == nil {
		m.replace(conn)
	}
	return resp, err
}

// replace has the next request use another transport than one that has failed: it may have given Vault up for good.
func (m *Method) replace(failed http.RoundTripper) {
	fresh, err := m.open()
	if err != nil {
		return // what has failed once may work again
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == failed {
		m.conn = fresh
	}
}

// reopen has the coming connections present what the files hold now.
func (m *Method) reopen() error {
	now, err := m.files.stamp() // before they are read for use: what changes meanwhile counts as new
	var conn http.RoundTripper
	if err == nil {
		conn, err = m.open()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.conn, m.used = conn, now
	case m.conn == nil:
		return err
	default:
		m.log.Warn("the certificate files cannot be used; using what they held before", "error", err)
	}
	return nil
}

// Remedy says what to do about a refused login. Vault answers 400 to a certificate that it does not want, other codes to a wrong place.
func (m *Method) Remedy(status int) string {
	switch {
	case status != http.StatusBadRequest:
		return fmt.Sprintf("check that a TLS certificate auth method is mounted at %s in this namespace", m.mount)
	case m.files.Cert == "":
		return "set client_cert and client_key, there or in the vault stanza"
	default:
		return fmt.Sprintf("write a certificate that a role at %s takes to %s, and its key to %s, and check that nothing between Leasehold and Vault ends the TLS connection",
			m.mount, m.files.Cert, m.files.Key)
	}
}

// Watch calls changed when the files can be used and hold something else than the last Login has used, until ctx ends.
func (m *Method) Watch(ctx context.Context, changed func()) {
	if now, err := m.files.stamp(); err == nil { // with no login yet, what is there counts as used: the last run's token was got with it
		m.mu.Lock()
		if m.conn == nil {
			m.used = now
		}
		m.mu.Unlock()
	}
	credfile.Watch(ctx, m.period, m.changed, changed, m.files.list()...)
}

func (m *Method) changed() bool {
	now, err := m.files.stamp()
	m.mu.Lock()
	defer m.mu.Unlock()
	return err == nil && now != m.used
}
