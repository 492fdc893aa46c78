package config_test

import (
	"testing"

	"leasehold/internal/config"
)

// Every setting of the vault stanza that may also come from outside: flag before variable before file before default.
func TestFlagBeforeVariableBeforeFileBeforeDefault(t *testing.T) {
	for key, tc := range map[string]struct {
		variable string
		flag     func(*config.VaultFlags, string)
		got      func(config.Vault) string
	}{
		"address":         {"VAULT_ADDR", func(f *config.VaultFlags, s string) { f.Address = s }, func(v config.Vault) string { return v.Address }},
		"ca_cert":         {"VAULT_CACERT", func(f *config.VaultFlags, s string) { f.CACert = s }, func(v config.Vault) string { return v.CACert }},
		"ca_path":         {"VAULT_CAPATH", func(f *config.VaultFlags, s string) { f.CAPath = s }, func(v config.Vault) string { return v.CAPath }},
		"client_cert":     {"VAULT_CLIENT_CERT", func(f *config.VaultFlags, s string) { f.ClientCert = s }, func(v config.Vault) string { return v.ClientCert }},
		"client_key":      {"VAULT_CLIENT_KEY", func(f *config.VaultFlags, s string) { f.ClientKey = s }, func(v config.Vault) string { return v.ClientKey }},
		"tls_server_name": {"VAULT_TLS_SERVER_NAME", func(f *config.VaultFlags, s string) { f.TLSServerName = s }, func(v config.Vault) string { return v.TLSServerName }},
		"namespace":       {"VAULT_NAMESPACE", func(f *config.VaultFlags, s string) { f.Namespace = s }, func(v config.Vault) string { return v.Namespace }},
	} {
		t.Run(key, func(t *testing.T) {
			file, variable, flag := "http://file.test", "http://variable.test", "http://flag.test"
			stanza := "vault {\n" + key + " = \"" + file + "\"\n}\n"
			pair := env{"VAULT_CLIENT_CERT": "c", "VAULT_CLIENT_KEY": "k"} // neither may stand alone
			check := func(where, src string, e env, o config.Options, want string) {
				t.Helper()
				all := env{}
				for name, v := range pair {
					if name != tc.variable {
						all[name] = v
					}
				}
				for name, v := range e {
					all[name] = v
				}
				o.LookupEnv = all.lookup
				cfg, err := config.Parse("t.hcl", []byte(src+tcp), o)
				if err != nil {
					t.Fatal(err)
				}
				if got := tc.got(cfg.Vault); got != want {
					t.Errorf("%s: got %q, want %q", where, got, want)
				}
			}
			given := config.Options{}
			tc.flag(&given.Vault, flag)
			check("default", "", nil, config.Options{}, "")
			check("file", stanza, nil, config.Options{}, file)
			check("empty variable", stanza, env{tc.variable: ""}, config.Options{}, file)
			check("variable", stanza, env{tc.variable: variable}, config.Options{}, variable)
			check("flag", stanza, env{tc.variable: variable}, given, flag)
		})
	}
}

func TestVerifyingMayBeTurnedOnFromOutside(t *testing.T) {
	yes, no := true, false
	for name, tc := range map[string]struct {
		file string
		env  env
		flag *bool
		want bool
	}{
		"default":            {"", nil, nil, false},
		"file":               {"vault { tls_skip_verify = true }\n", nil, nil, true},
		"empty variable":     {"vault { tls_skip_verify = true }\n", env{"VAULT_SKIP_VERIFY": ""}, nil, true},
		"variable says no":   {"vault { tls_skip_verify = true }\n", env{"VAULT_SKIP_VERIFY": "false"}, nil, false},
		"flag says no":       {"vault { tls_skip_verify = true }\n", env{"VAULT_SKIP_VERIFY": "true"}, &no, false},
		"flag over variable": {"", env{"VAULT_SKIP_VERIFY": "0"}, &yes, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("t.hcl", []byte(tc.file+tcp), config.Options{LookupEnv: tc.env.lookup, Vault: config.VaultFlags{TLSSkipVerify: tc.flag}})
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Vault.TLSSkipVerify != tc.want {
				t.Errorf("got %v, want %v", cfg.Vault.TLSSkipVerify, tc.want)
			}
		})
	}
}

func TestBadVariablesOfVaultAreReportedWithTheFile(t *testing.T) {
	_, err := config.Parse("t.hcl", []byte("pid_file = 5\n"+tcp), config.Options{LookupEnv: env{"VAULT_SKIP_VERIFY": "perhaps", "VAULT_ADDR": "ftp://me:hunter2@v"}.lookup})
	const want = `environment variable VAULT_ADDR: the address of Vault cannot be used; write it like https://vault.example:8200 or unix:///run/vault.sock
environment variable VAULT_SKIP_VERIFY: must be true or false; set true or false, or unset it
t.hcl:1: pid_file must be text, not 5; write for example pid_file = "..."`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestTheAddressOfItsClientsIsNotThatOfVault(t *testing.T) {
	cfg, err := config.Parse("t.hcl", []byte(tcp), config.Options{LookupEnv: env{"VAULT_AGENT_ADDR": "http://127.0.0.1:8200"}.lookup, Idle: []string{"-mfa"}})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Vault.Address != "" || len(cfg.Warnings) != 2 {
		t.Errorf("got the address %q and %v, want none and two warnings", cfg.Vault.Address, cfg.Warnings)
	}
}
