//go:build !no_cert

package daemon

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"slices"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/cert"
	"leasehold/internal/upstream"
)

func init() { methods["cert"] = newCert }

// newCert gives the method connections of its own, for the vault stanza's are kept, and shared with the clients. What the method does not set, it has from
// the stanza (AUT-17). Its setting reload means nothing here: the files are read at every login, and watched whenever new credentials are to be used at once.
func newCert(p methodParts) (autoauth.Method, error) {
	if (p.Settings.String("client_cert") == "") != (p.Settings.String("client_key") == "") {
		return nil, errors.New("method cert: client_cert and client_key belong together; set both, or neither for those of the vault stanza")
	}
	s := p.vault
	s.AutoAuth.DisableKeepAlives = true // a connection that is kept would go on with the old certificate
	files := cert.Files{
		CA:   p.overridden(&s, &s.CACert, "ca_cert", api.EnvVaultCACert),
		Cert: p.overridden(&s, &s.ClientCert, "client_cert", api.EnvVaultClientCert),
		Key:  p.overridden(&s, &s.ClientKey, "client_key", api.EnvVaultClientKey),
	}
	open := func() (http.RoundTripper, error) {
		up, err := upstream.New(s)
		if err != nil {
			return nil, err
		}
		c, err := up.API()
		if err != nil {
			return nil, err
		}
		return c.CloneConfig().HttpClient.Transport, nil
	}
	return cert.New(files, open, p.log, cert.Options{
		MountPath: p.MountPath,
		Name:      p.Settings.String("name"),
		Period:    p.Settings.Duration("reload_period"),
	}), nil
}

// overridden puts the method's own file, if it has one, in place of the stanza's in s, and before the environment's. It returns the file that counts.
func (p methodParts) overridden(s *upstream.Settings, in *string, key, variable string) string {
	if own := p.Settings.String(key); own != "" {
		*in, s.IgnoreEnv = own, append(slices.Clone(s.IgnoreEnv), variable)
	}
	if slices.Contains(s.IgnoreEnv, variable) {
		return *in
	}
	return cmp.Or(os.Getenv(variable), *in)
}
