package config_test

import (
	"slices"
	"testing"
	"time"

	"leasehold/internal/config"
)

func TestAddressesOfSeveralServers(t *testing.T) {
	for written, want := range map[string][]string{
		`["https://a:1", "https://[2001:DB8::1]:2", "unix:///run/vault.sock"]`: {"https://a:1", "https://[2001:db8::1]:2", "unix:///run/vault.sock"},
		`"https://a:1, https://b:2"`: {"https://a:1", "https://b:2"},
		`[]`:                         nil,
	} {
		t.Run(written, func(t *testing.T) {
			v := mustParse(t, "vault {\naddresses = "+written+"\n}\n"+tcp).Vault
			if !slices.Equal(v.Addresses, want) || v.Address != "" {
				t.Errorf("got %q and %q, want %q", v.Addresses, v.Address, want)
			}
		})
	}
}

func TestBrokenVaultAndAPIProxy(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"address and addresses": {
			"vault {\n  address = \"https://a:1\"\n  addresses = [\"https://b:1\"]\n}\n" + tcp,
			"t.hcl:3: vault: address and addresses are both set; put them all into addresses, in the order of preference",
		},
		"an address that is none": {
			"vault {\n  addresses = [\"https://me:pw@a:1\", \"me:pw@b\"]\n}\n" + tcp,
			"t.hcl:2: vault: address 2 of addresses must begin with http://, https:// or unix:/// and name a host or a socket; " +
				`write for example addresses = ["https://vault-0.example:8200", "https://vault-1.example:8200"]`,
		},
		"an address twice": {
			"vault {\n  addresses = [\"https://a:1\", \"https://a:1\"]\n}\n" + tcp,
			"t.hcl:2: vault: address 2 of addresses stands there twice; remove it",
		},
		"addresses that are no texts": {
			"vault {\n  addresses = [1]\n}\n" + tcp,
			"t.hcl:2: vault: addresses must be a list of texts, not a list; " +
				`write for example addresses = ["https://vault-0.example:8200", "https://vault-1.example:8200"]`,
		},
		"a host with a path": {
			"vault {\n  redirect_hosts = [\"https://a:1\", \"*.example\", \"a.*\"]\n}\n" + tcp,
			`t.hcl:2: vault: redirect_hosts holds "https://a:1", which is not a host; write for example redirect_hosts = ["vault-0.internal:8200", "*.vault.internal"]` + "\n" +
				`t.hcl:2: vault: redirect_hosts holds "a.*", which is not a host; write for example redirect_hosts = ["vault-0.internal:8200", "*.vault.internal"]`,
		},
		"retry": {
			"vault {\n  retry {\n    safe_only = \"yes\"\n    max_wait = -1\n    max_replay_size = \"big\"\n  }\n}\n" + tcp,
			`t.hcl:3: vault: retry.safe_only must be true or false, not "yes"; write for example safe_only = true` + "\n" +
				`t.hcl:4: vault: retry.max_wait must be a duration of zero or more, not -1; write for example max_wait = "30s"` + "\n" +
				`t.hcl:5: vault: retry.max_replay_size must be a number of bytes, or -1 for no limit, not "big"; write for example max_replay_size = "32MiB"`,
		},
		"forwarded": {
			"api_proxy {\n  x_forwarded_for = true\n}\n" + tcp,
			`t.hcl:2: api_proxy: x_forwarded_for must be "off" or "append" or "replace", not true; write for example x_forwarded_for = "off"`,
		},
		"limits": {
			"listener \"tcp\" {\n  tls_disable = true\n  max_header_size = -1\n  max_concurrent_requests = \"many\"\n}\n",
			`t.hcl:3: listener: max_header_size must be a number of bytes, not -1; write for example max_header_size = "1MiB"` + "\n" +
				`t.hcl:4: listener: max_concurrent_requests must be a whole number, not "many"; write for example max_concurrent_requests = 5`,
		},
	} {
		t.Run(name, func(t *testing.T) { wantProblems(t, tc.src, tc.want) })
	}
}

func TestConsistency(t *testing.T) {
	for name, tc := range map[string]struct {
		src  string
		want config.Consistency
		warn string
	}{
		"default":       {"", config.ConsistencyNever, ""},
		"never":         {"api_proxy { enforce_consistency = \"never\" }\n", config.ConsistencyNever, ""},
		"always":        {"api_proxy { enforce_consistency = \"always\" }\n", config.ConsistencyFail, ""},
		"retry":         {"api_proxy {\nenforce_consistency = \"always\"\nwhen_inconsistent = \"retry\"\n}\n", config.ConsistencyRetry, ""},
		"forward":       {"api_proxy {\nenforce_consistency = \"always\"\nwhen_inconsistent = \"forward\"\n}\n", config.ConsistencyForward, ""},
		"legacy":        {"cache {\nenforce_consistency = \"always\"\nwhen_inconsistent = \"retry\"\n}\n", config.ConsistencyRetry, ""},
		"half a legacy": {"api_proxy {\nenforce_consistency = \"always\"\n}\ncache {\nwhen_inconsistent = \"forward\"\n}\n", config.ConsistencyForward, ""},
		"without enforcement": {
			"api_proxy { when_inconsistent = \"retry\" }\n", config.ConsistencyNever,
			`t.hcl:1: api_proxy: when_inconsistent has no effect without enforce_consistency = "always"; remove it, or set enforce_consistency`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, tc.src+tcp)
			if got := cfg.APIProxy.Consistency; got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if got := lines(cfg.Warnings); got != tc.warn {
				t.Errorf("warnings: %s\nwant: %s", got, tc.warn)
			}
		})
	}
}

// The environment's namespace is used for everything; without it vault.namespace is for requests, and the method's for logins.
func TestNamespaces(t *testing.T) {
	const method = "auto_auth {\nmethod \"approle\" {\nnamespace = \"m\"\nconfig = { role_id_file_path = \"r\" }\n}\n" + tokenSink + "}\n"
	const inVault = "vault { namespace = \"/v\" }\n"
	const nothing = "t.hcl:1: api_proxy: prepend_configured_namespace has no effect: no namespace is configured; set vault.namespace or VAULT_NAMESPACE"
	for name, tc := range map[string]struct {
		src                       string
		env                       env
		vault, method, prep, warn string
	}{
		"none":                {"", nil, "", "", "", nothing},
		"vault":               {inVault, nil, "/v", "", "v/", ""},
		"method":              {method, nil, "", "m/", "m/", ""},
		"both":                {inVault + method, nil, "/v", "m/", "v/", ""},
		"environment":         {inVault + method, env{"VAULT_NAMESPACE": "e/f"}, "e/f", "", "e/f/", ""},
		"environment, empty":  {inVault + method, env{"VAULT_NAMESPACE": ""}, "/v", "m/", "v/", ""},
		"environment, no key": {"", env{"VAULT_NAMESPACE": "e"}, "e", "", "e/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("t.hcl", []byte("api_proxy { prepend_configured_namespace = true }\n"+tc.src+tcp), config.Options{LookupEnv: tc.env.lookup})
			if err != nil {
				t.Fatal(err)
			}
			var inMethod string
			if cfg.AutoAuths != nil {
				inMethod = cfg.AutoAuths[0].Method.Namespace
			}
			if cfg.Vault.Namespace != tc.vault || inMethod != tc.method || cfg.APIProxy.PrependNamespace != tc.prep {
				t.Errorf("got %q, %q and %q", cfg.Vault.Namespace, inMethod, cfg.APIProxy.PrependNamespace)
			}
			if got := lines(cfg.Warnings); got != tc.warn {
				t.Errorf("warnings: %s\nwant: %s", got, tc.warn)
			}
			if got := mustParse(t, inVault+tcp).APIProxy.PrependNamespace; got != "" {
				t.Errorf("%q is prepended without being asked", got)
			}
		})
	}
}

func TestProxyDefaults(t *testing.T) {
	for name, src := range map[string]string{
		"nothing said": tcp,
		"zeros": "vault {\nhealth_check_interval = 0\nretry { max_wait = 0 }\n}\nlistener \"tcp\" {\ntls_disable = true\n" +
			"max_header_size = 0\nmax_concurrent_requests = 0\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, src)
			if v := cfg.Vault; v.HealthInterval != 5*time.Second || v.PassRedirects || v.Retry.MaxWait != 10*time.Second || v.Retry.SafeOnly {
				t.Errorf("vault = %+v", v)
			}
			if l := cfg.Listeners[0]; l.MaxHeaderSize != 1<<20 || l.MaxConcurrent != 4096 {
				t.Errorf("listener = %+v", l)
			}
		})
	}
	if got := mustParse(t, tcp).Vault.Retry.MaxReplaySize; got != 32<<20 {
		t.Errorf("max_replay_size = %d", got)
	}
	if got := mustParse(t, "listener \"tcp\" {\ntls_disable = true\nmax_concurrent_requests = -7\n}\n").Listeners[0].MaxConcurrent; got != -1 {
		t.Errorf("max_concurrent_requests = %d, want no limit", got)
	}
}
