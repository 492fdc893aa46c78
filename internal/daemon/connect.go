package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/listener"
	"leasehold/internal/upstream"
)

// lookAtVault is how long one address of Vault may take to answer.
const lookAtVault = 10 * time.Second

// Connect asks each address of Vault how it is, once, and tries whether the addresses of the listeners are free. Notes are what was found to be well,
// or may be well: a listener's address is also taken when Leasehold is running already.
func Connect(ctx context.Context, cfg *config.Config, version string) (notes []string, found Findings) {
	addresses := cfg.Vault.Addresses
	if len(addresses) == 0 {
		addresses = []string{cfg.Vault.Address} // "" is for upstream to replace
	}
	for _, address := range addresses {
		note, err := lookAt(ctx, cfg.Vault, address, version)
		if err != nil {
			found.Errors = append(found.Errors, config.Problem{Pos: cfg.Vault.Pos, Stanza: "vault", Text: err.Error(),
				Remedy: "check the address, the network and the CA of Vault"})
			continue
		}
		notes = append(notes, note)
	}
	for _, l := range cfg.Listeners {
		if l.Type == "unix" { // opening would replace what a killed process has left
			continue
		}
		ln, err := listener.Open(ctx, listener.Settings{Address: l.Address})
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		_ = ln.Close() // nothing was accepted on it
	}
	return notes, found
}

// lookAt asks one address of Vault for its health.
func lookAt(ctx context.Context, v config.Vault, address, version string) (string, error) {
	up, err := upstream.New(upstream.Settings{
		Address: address, CACert: v.CACert, CAPath: v.CAPath, ClientCert: v.ClientCert, ClientKey: v.ClientKey, TLSServerName: v.TLSServerName,
		TLSSkipVerify: v.TLSSkipVerify, NumRetries: -1, Log: slog.New(slog.DiscardHandler), IgnoreEnv: config.VaultVariables, Product: "Leasehold/" + version,
	})
	if err != nil {
		return "", err
	}
	client, err := up.API()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, lookAtVault)
	defer cancel()
	h, err := client.Sys().HealthWithContext(ctx)
	if err != nil {
		return "", fmt.Errorf("Vault at %s does not answer: %w", up.Address(), err)
	}
	state := "active"
	switch {
	case !h.Initialized:
		state = "not initialized"
	case h.Sealed:
		state = "sealed"
	case h.Standby:
		state = "a standby"
	}
	return fmt.Sprintf("Vault %s at %s is %s", h.Version, up.Address(), state), nil
}
