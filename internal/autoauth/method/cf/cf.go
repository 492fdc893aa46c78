package cf

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

// DefaultMountPath is where the method is mounted unless told otherwise.
const DefaultMountPath = "auth/cf"

// signingTime is how Vault reads the time of a signature; the time is UTC.
const signingTime = "2006-01-02T15:04:05Z"

// Options tune a Method.
type Options struct {
	MountPath string           // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	Period    time.Duration    // in which Watch looks at the files when nothing else makes it look; default 1 min
	Now       func() time.Time // default time.Now
}

// Method logs in at a Cloud Foundry mount. It reads certificate and key at every login: the platform replaces them about once a day.
// Its methods may be called from any goroutine.
type Method struct {
	mount  string
	role   string
	cert   *credfile.File
	key    *credfile.File
	period time.Duration
	now    func() time.Time
}

// New makes the method; certFile and keyFile are what CF_INSTANCE_CERT and CF_INSTANCE_KEY say, and need not exist yet. An error says which
// of the two is not set.
func New(role, certFile, keyFile string, log *slog.Logger, o Options) (*Method, error) {
	for _, v := range []struct{ name, path string }{{"CF_INSTANCE_CERT", certFile}, {"CF_INSTANCE_KEY", keyFile}} {
		if v.path == "" {
			return nil, fmt.Errorf("auth method cf: %s is not set; run Leasehold in an application of Cloud Foundry, or set it to the file's path", v.name)
		}
	}
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.Period <= 0 {
		o.Period = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Method{
		mount:  o.MountPath,
		role:   role,
		cert:   credfile.New("instance certificate", certFile, log, credfile.Options{}),
		key:    credfile.New("instance key", keyFile, log, credfile.Options{}),
		period: o.Period,
		now:    o.Now,
	}, nil
}

// Login sends the certificate and a signature made with its key, once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	cert, err := m.cert.Read()
	if err != nil {
		return nil, err
	}
	key, err := m.key.Read()
	if err != nil {
		return nil, err
	}
	signer, err := pair(tls.X509KeyPair([]byte(cert), []byte(key)))
	if err != nil {
		return nil, fmt.Errorf("use the instance certificate %s with the key %s: %w; write the two of them anew", m.cert.Path(), m.key.Path(), err)
	}
	at := m.now().UTC().Format(signingTime)
	signature, err := sign(signer, at+cert+m.role)
	if err != nil {
		return nil, fmt.Errorf("sign with the key %s: %w; write an RSA key of at least 1024 bits to it", m.key.Path(), err)
	}
	return c.Logical().WriteWithContext(ctx, m.mount+"/login", map[string]any{
		"role":             m.role,
		"cf_instance_cert": cert,
		"signing_time":     at,
		"signature":        signature,
	})
}

// Watch implements autoauth.Watcher. One file that is new while the other is not yet is no change.
func (m *Method) Watch(ctx context.Context, changed func()) {
	m.cert.Note()
	m.key.Note()
	credfile.Watch(ctx, m.period, m.differs, changed, m.cert.Path(), m.key.Path())
}

// Remedy says what to do about a refused login.
func (m *Method) Remedy(status int) string {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden:
		return fmt.Sprintf("check that the role %q exists at %s and is bound to this application, space and organization, that Vault trusts the issuer of %s,"+
			" and that the clocks agree", m.role, m.mount, m.cert.Path())
	default:
		return fmt.Sprintf("check that a cf auth method is mounted at %s in this namespace", m.mount)
	}
}

func (m *Method) differs() bool {
	if !m.cert.Changed() && !m.key.Changed() {
		return false
	}
	_, err := pair(tls.LoadX509KeyPair(m.cert.Path(), m.key.Path()))
	return err == nil
}

// pair takes the result of reading a certificate and its key. Vault verifies RSA signatures only.
func pair(c tls.Certificate, err error) (*rsa.PrivateKey, error) {
	if err != nil {
		return nil, err
	}
	key, ok := c.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return key, nil
}

// sign makes the signature of Vault's scheme v1: RSA-PSS with SHA-256 and the longest salt that fits.
func sign(key *rsa.PrivateKey, text string) (string, error) {
	digest := sha256.Sum256([]byte(text))
	b, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], nil)
	if err != nil {
		return "", err
	}
	return "v1:" + base64.StdEncoding.EncodeToString(b), nil
}
