package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"leasehold/internal/config"
	"leasehold/internal/vault"
)

// quickFile is the configuration of a start without a file: the Vault of the environment on an address of its own, with the cache on. The log
// is quiet, because what there is to say is printed for the user.
const quickFile = `
log_level = "warn"
cache {}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
  proxy_api { enable_quit = true }
}`

// Quick returns the configuration of a start without a file, with the user's own token injected. Of o only the log settings count.
func Quick(o config.Options) (*config.Config, error) {
	cfg, err := config.Parse("", []byte(quickFile), o)
	if err != nil {
		return nil, err
	}
	cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent // the file has no auto_auth for it: the token comes from QuickToken
	cfg.Listeners[0].Pos = config.Pos{}
	return cfg, nil
}

// QuickToken is the token that a start without a file injects: VAULT_TOKEN, else what `vault login` left in the home directory.
func QuickToken() (vault.Token, error) {
	const remedy = "set VAULT_TOKEN, run `vault login`, or give a configuration with -config=FILE"
	if t := os.Getenv("VAULT_TOKEN"); t != "" {
		return vault.NewToken(t), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return vault.Token{}, fmt.Errorf("no token to inject: VAULT_TOKEN is not set and there is no home directory; %s", remedy)
	}
	text, err := os.ReadFile(filepath.Join(home, ".vault-token"))
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(strings.TrimSpace(string(text))) == 0) {
		return vault.Token{}, fmt.Errorf("no token to inject: neither VAULT_TOKEN nor ~/.vault-token is set; %s", remedy)
	}
	if err != nil {
		return vault.Token{}, fmt.Errorf("no token to inject: %w; %s", err, remedy)
	}
	return vault.NewToken(strings.TrimSpace(string(text))), nil
}
