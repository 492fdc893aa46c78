package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/vault"
)

// QuickAddress is where Leasehold listens when it is started without a configuration file.
const QuickAddress = "127.0.0.1:8100"

// Quick is the configuration of a start without a file: the Vault of the environment, on QuickAddress, with the cache on and the user's own
// token injected.
func Quick(level slog.Level) *config.Config {
	return &config.Config{
		Vault:    config.Vault{NumRetries: 12},
		APIProxy: config.APIProxy{UseAutoAuthToken: config.WhenAbsent},
		Cache:    &config.Cache{ReportRemainingTTL: true},
		Listeners: []config.Listener{{
			Address: QuickAddress, TLSDisable: true, EnableQuit: true,
			ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute, MaxRequestSize: 32 << 20,
		}},
		LogLevel:        level,
		ShutdownTimeout: 10 * time.Second,
	}
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
