package main

import (
	"os"

	"leasehold/internal/config"
)

// dropOverridden takes variables whose place a flag has taken out of the environment. Vault's library opens the files that they name whenever it makes a
// client, and would fail for one that is meant for somebody else.
func dropOverridden(f config.VaultFlags) {
	for _, o := range []struct {
		flag      string
		variables []string
	}{
		{f.CACert, []string{"VAULT_CACERT", "VAULT_CACERT_BYTES", "VAULT_CAPATH"}}, // a file wins over both others
		{f.CAPath, []string{"VAULT_CAPATH"}},
		{f.ClientCert, []string{"VAULT_CLIENT_CERT"}},
		{f.ClientKey, []string{"VAULT_CLIENT_KEY"}},
	} {
		if o.flag == "" {
			continue
		}
		for _, name := range o.variables {
			_ = os.Unsetenv(name) // fails for names alone that no variable can have
		}
	}
}
