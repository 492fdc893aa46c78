package config_test

import (
	"testing"

	"leasehold/internal/config"
)

// persist is a file with a login and the block, which begins at line 6.
func persist(block string) string {
	return "auto_auth {\n" + approle + tokenSink + "}\ncache {\n" + block + "}\n" + tcp
}

func TestTypesOfPersist(t *testing.T) {
	for name, tc := range map[string]struct {
		block string
		want  config.Persist
	}{
		"kubernetes, defaults": {
			`persist "kubernetes" { path = "p" }`,
			config.Persist{Type: "kubernetes", Path: "p", ServiceAccountTokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token"},
		},
		"kubernetes": {
			`persist "kubernetes" { path = "p", keep_after_import = true, exit_on_err = true, service_account_token_file = "t" }`,
			config.Persist{Type: "kubernetes", Path: "p", KeepAfterImport: true, ExitOnErr: true, ServiceAccountTokenFile: "t"},
		},
		"kubernetes, empty": {
			`persist "kubernetes" { path = "p", service_account_token_file = "" }`,
			config.Persist{Type: "kubernetes", Path: "p", ServiceAccountTokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token"},
		},
		"file": {
			`persist "file" { path = "p", key_file = "k", exit_on_err = true }`,
			config.Persist{Type: "file", Path: "p", KeyFile: "k", ExitOnErr: true},
		},
		"systemd, defaults": {
			`persist "systemd" { path = "p" }`, config.Persist{Type: "systemd", Path: "p", Credential: "leasehold-state-key"},
		},
		"systemd": {
			`persist "systemd" { path = "p", credential = "state.key" }`, config.Persist{Type: "systemd", Path: "p", Credential: "state.key"},
		},
		"systemd, empty": {
			`persist "systemd" { path = "p", credential = "" }`, config.Persist{Type: "systemd", Path: "p", Credential: "leasehold-state-key"},
		},
		"env, defaults": {
			`persist "env" { path = "p" }`, config.Persist{Type: "env", Path: "p", KeyEnv: "LEASEHOLD_STATE_KEY"},
		},
		"env": {
			`persist "env" { path = "p", key_env = "_Key2" }`, config.Persist{Type: "env", Path: "p", KeyEnv: "_Key2"},
		},
		"env, empty": {
			`persist "env" { path = "p", key_env = "" }`, config.Persist{Type: "env", Path: "p", KeyEnv: "LEASEHOLD_STATE_KEY"},
		},
		"transit, defaults": {
			`persist "transit" { path = "p", transit_key = "app" }`, config.Persist{Type: "transit", Path: "p", TransitKey: "app", TransitMount: "transit"},
		},
		"transit": {
			`persist "transit" { path = "p", transit_key = "app-1.state_key", transit_mount = "//team/transit/" }`,
			config.Persist{Type: "transit", Path: "p", TransitKey: "app-1.state_key", TransitMount: "team/transit"},
		},
		"transit, only slashes": {
			`persist "transit" { path = "p", transit_key = "a", transit_mount = "/" }`,
			config.Persist{Type: "transit", Path: "p", TransitKey: "a", TransitMount: "transit"},
		},
		"auto, defaults": {
			`persist "auto" { path = "p", key_file = "k" }`, config.Persist{Type: "auto", Path: "p", KeyFile: "k", Credential: "leasehold-state-key"},
		},
		"auto": {
			`persist "auto" { path = "p", key_file = "k", credential = "c" }`, config.Persist{Type: "auto", Path: "p", KeyFile: "k", Credential: "c"},
		},
		"type key": {
			`persist { type = "Systemd", path = "p" }`, config.Persist{Type: "systemd", Path: "p", Credential: "leasehold-state-key"},
		},
		"inner block": {
			`persist { transit { path = "p", transit_key = "app" } }`, config.Persist{Type: "transit", Path: "p", TransitKey: "app", TransitMount: "transit"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, persist(tc.block+"\n"))
			tc.want.Pos = cfg.Cache.Persist.Pos
			if got := *cfg.Cache.Persist; got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
			if len(cfg.Warnings) > 0 {
				t.Errorf("warnings:\n%s", lines(cfg.Warnings))
			}
		})
	}
}

// Each key in a block of each type: it is the type's own, or a warning says that it has no effect.
func TestKeysOfAnotherTypeOfPersistHaveNoEffect(t *testing.T) {
	owners := map[string][]string{
		"service_account_token_file": {"kubernetes"}, "key_file": {"file", "auto"}, "credential": {"systemd", "auto"}, "key_env": {"env"},
		"transit_key": {"transit"}, "transit_mount": {"transit"}, "keep_after_import": {"kubernetes"},
	}
	required := map[string]string{"file": "key_file = \"k\"\n", "auto": "key_file = \"k\"\n", "transit": "transit_key = \"k\"\n"}
	for _, typ := range []string{"kubernetes", "file", "systemd", "env", "transit", "auto"} {
		for key, types := range owners {
			t.Run(typ+" with "+key, func(t *testing.T) {
				want := `t.hcl:7: cache: persist.` + key + ` has no effect with type "` + typ + `"; remove it`
				value := `"x"`
				if key == "keep_after_import" {
					want = `t.hcl:7: cache: persist.keep_after_import has no effect with type "` + typ + `": the state file stays in use; remove it`
					value = "true"
				}
				rest := required[typ]
				for _, owner := range types {
					if owner == typ {
						want, rest = "", ""
						if key != "key_file" && key != "transit_key" {
							rest = required[typ]
						}
					}
				}
				cfg := mustParse(t, persist("persist \""+typ+"\" {\n"+key+" = "+value+"\npath = \"p\"\n"+rest+"}\n"))
				if got := lines(cfg.Warnings); got != want {
					t.Errorf("warnings: %s\nwant: %s", got, want)
				}
				if p := cfg.Cache.Persist; p.KeepAfterImport != (key == "keep_after_import" && typ == "kubernetes") {
					t.Errorf("persist = %+v", p)
				}
			})
		}
	}
}

func TestBrokenPersist(t *testing.T) {
	const types = "the types are auto, env, file, kubernetes, systemd and transit"
	for name, tc := range map[string]struct{ block, want string }{
		"no type": {
			"persist { path = \"p\" }",
			`t.hcl:6: cache: persist type must be specified; write for example persist "file" { ... }: ` + types,
		},
		"a misspelt type": {
			"persist \"sytemd\" { path = \"p\" }",
			`t.hcl:6: cache: unknown persist type "sytemd"; did you mean "systemd"? The types are auto, env, file, kubernetes, systemd and transit`,
		},
		"a type like no other": {
			"persist \"awskms-symmetric\" { path = \"p\" }",
			`t.hcl:6: cache: unknown persist type "awskms-symmetric"; ` + types,
		},
		"a file without a key": {
			"persist \"file\" { path = \"p\" }",
			`t.hcl:6: cache: persist.key_file is required with type "file"; write for example key_file = "/etc/leasehold/cache.key"`,
		},
		"auto without a key file": {
			"persist \"auto\" { path = \"p\" }",
			`t.hcl:6: cache: persist.key_file is required with type "auto"; write for example key_file = "/etc/leasehold/cache.key"`,
		},
		"transit without a key": {
			"persist \"transit\" { path = \"p\" }",
			`t.hcl:6: cache: persist.transit_key is required with type "transit"; write for example transit_key = "leasehold"`,
		},
		"no directory": {
			"persist \"systemd\" {}",
			`t.hcl:6: cache: persist.path is required; write for example path = "/vault/agent-cache"`,
		},
		"an empty key file": {
			"persist \"file\" {\npath = \"p\"\nkey_file = \"\"\n}",
			`t.hcl:8: cache: persist.key_file must be the path of a file, not ""; write for example key_file = "/etc/leasehold/cache.key"`,
		},
		"a credential in a directory": {
			"persist \"systemd\" {\npath = \"p\"\ncredential = \"a/key\"\n}",
			`t.hcl:8: cache: persist.credential must be the name of a file, without a directory, not "a/key"; write for example credential = "leasehold-state-key"`,
		},
		"a credential that is the directory above": {
			"persist \"auto\" {\npath = \"p\"\nkey_file = \"k\"\ncredential = \"..\"\n}",
			`t.hcl:9: cache: persist.credential must be the name of a file, without a directory, not ".."; write for example credential = "leasehold-state-key"`,
		},
		"the key in the place of its variable": {
			"persist \"env\" {\npath = \"p\"\nkey_env = \"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=\"\n}",
			`t.hcl:8: cache: persist.key_env must be the name of an environment variable, not text; write for example key_env = "LEASEHOLD_STATE_KEY"`,
		},
		"a transit key that is a path": {
			"persist \"transit\" {\npath = \"p\"\ntransit_key = \"transit/keys/app\"\n}",
			`t.hcl:8: cache: persist.transit_key must be the name of a key (letters, digits, _, - and .), not "transit/keys/app"; write for example transit_key = "leasehold"`,
		},
		"an empty transit key": {
			"persist \"transit\" {\npath = \"p\"\ntransit_key = \"\"\n}",
			`t.hcl:8: cache: persist.transit_key must be the name of a key (letters, digits, _, - and .), not ""; write for example transit_key = "leasehold"`,
		},
		"a mount that is a number": {
			"persist \"transit\" {\npath = \"p\"\ntransit_key = \"k\"\ntransit_mount = 5\n}",
			`t.hcl:9: cache: persist.transit_mount must be text, not 5; write for example transit_mount = "transit"`,
		},
	} {
		t.Run(name, func(t *testing.T) { wantProblems(t, persist(tc.block+"\n"), tc.want) })
	}
}

func TestTransitNeedsALogin(t *testing.T) {
	wantProblems(t, "cache {\n  persist \"transit\" {\n    path = \"p\"\n    transit_key = \"app\"\n  }\n}\n"+tcp,
		`t.hcl:2: cache: persist type "transit" needs a token of Vault, and auto_auth is not configured; add an auto_auth stanza, or use persist "file" { ... }`)
	for _, block := range []string{`persist "systemd" { path = "p" }`, `persist "kubernetes" { path = "p" }`} {
		mustParse(t, "cache {\n"+block+"\n}\n"+tcp)
	}
}
