package config_test

import (
	"strings"
	"testing"

	"leasehold/internal/config"
)

// What holds wherever a key stands is said of its first place alone; what is misspelt, of each.
func TestWarningsAreSaidOnce(t *testing.T) {
	for title, tc := range map[string]struct{ hcl, want string }{
		"keys of listeners": {
			strings.Repeat("listener \"tcp\" {\n  tls_disable = true\n  cors_enabled = true\n  redact_version = \"1\"\n  x_forwarded_for_hop_skips = 1\n}\n", 3),
			"t.hcl:3: listener: cors_enabled has no effect: only a Vault server reads it; remove it\n" +
				"t.hcl:4: listener: redact_version has no effect: only a Vault server reads it; remove it\n" +
				"t.hcl:5: listener: x_forwarded_for_hop_skips has no effect: it has none in Vault Proxy either; api_proxy.x_forwarded_for says what Vault is told of clients' addresses; remove it",
		},
		"blocks of a listener": {
			tcp + "listener \"unix\" {\n  address = \"/x\"\n  tls_disable = true\n  telemetry { unauthenticated_metrics_access = true }\n" +
				"  custom_response_headers { default = { A = [\"b\"] } }\n  custom_response_headers { \"2xx\" = { A = [\"b\"] } }\n}\n",
			"t.hcl:5: listener: telemetry has no effect: only a Vault server reads it; remove it\n" +
				"t.hcl:6: listener: custom_response_headers has no effect: only a Vault server reads it; remove it",
		},
		"templates": {
			strings.Repeat("template {\n  contents = \"a\"\n  destination = \"b\"\n}\n", 4) + tcp,
			"t.hcl:1: template is ignored: it is not built yet; remove it, or keep Vault Agent for it",
		},
		"stanzas of a server": {
			"storage \"raft\" {}\nseal \"a\" {}\nseal \"b\" {}\n" + tcp,
			"t.hcl:1: storage has no effect: only a Vault server reads it; remove it\nt.hcl:2: seal has no effect: only a Vault server reads it; remove it",
		},
		"unknown keys": {
			"pidfile = \"a\"\npidfiles = \"b\"\n" + tcp,
			"t.hcl:1: unknown key \"pidfile\" is ignored; did you mean \"pid_file\"?\nt.hcl:2: unknown key \"pidfiles\" is ignored; did you mean \"pid_file\"?",
		},
	} {
		t.Run(title, func(t *testing.T) {
			cfg, err := config.Parse("t.hcl", []byte(tc.hcl), config.Options{LookupEnv: env{}.lookup, IgnoreUnsupported: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(cfg.Warnings); got != tc.want {
				t.Errorf("warnings:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}
