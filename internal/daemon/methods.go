package daemon

import (
	"fmt"
	"log/slog"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/approle"
	"leasehold/internal/autoauth/method/tokenfile"
	"leasehold/internal/config"
	"leasehold/internal/upstream"
)

// methods makes each auth method of a stanza that the loader has checked. Those in files of their own can be left out of a build by a tag no_<name>.
var methods = map[string]func(methodParts) (autoauth.Method, error){
	"approle":    newAppRole,
	"token_file": newTokenFile,
}

// methodParts is what methods are made of.
type methodParts struct {
	config.Method
	log   *slog.Logger
	vault upstream.Settings // for a method with a TLS client of its own
}

// method builds the auth method.
func (p *parts) method(m config.Method) (autoauth.Method, error) {
	make, ok := methods[m.Type]
	if !ok {
		return nil, fmt.Errorf("auth method %q was left out of this build; use a build of Leasehold without the tag no_%s", m.Type, m.Type)
	}
	return make(methodParts{Method: m, log: p.failures, vault: p.vaultSettings})
}

func newAppRole(p methodParts) (autoauth.Method, error) {
	return approle.New(p.Settings.String("role_id_file_path"), p.log, approle.Options{
		MountPath:        p.MountPath,
		SecretIDFile:     p.Settings.String("secret_id_file_path"),
		KeepSecretIDFile: !p.Settings.Bool("remove_secret_id_file_after_reading"),
		WrappingPath:     p.Settings.String("secret_id_response_wrapping_path"),
	}), nil
}

func newTokenFile(p methodParts) (autoauth.Method, error) {
	return tokenfile.New(p.Settings.String("token_file_path"), p.log), nil
}
