package config_test

import (
	"crypto/tls"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"leasehold/internal/config"
)

// Every way to write the same method and the same two sinks.
func TestShapesOfAutoAuth(t *testing.T) {
	const roleID = `config = { role_id_file_path = "role" }`
	for name, src := range map[string]string{
		"labels":           `auto_auth { method "approle" { ` + roleID + ` } sink "file" { config = { path = "a" } } sink "file" { config = { path = "b" } } }`,
		"type keys":        `auto_auth { method { type = "approle" ` + "\n" + roleID + ` } sink { type = "file", config { path = "a" } } sink { type = "file", config { path = "b" } } }`,
		"type beats label": `auto_auth { method "ldap" { type = "AppRole"` + "\n" + roleID + ` } sink "x" { type = "file", config { path = "a" } } sink "file" { config { path = "b" } } }`,
		"upper case":       `AUTO_AUTH { Method "AppRole" { Config = { Role_Id_File_Path = "role" } } SINK "File" { config { PATH = "a" } } sink "file" { config { path = "b" } } }`,
		"wrapped sinks":    `auto_auth { method "approle" { ` + roleID + ` } sinks { sink "file" { config = { path = "a" } } sink { type = "file", config = { path = "b" } } } }`,
		"assigned":         `auto_auth = { method = { type = "approle", ` + roleID + ` }, sink = [{ type = "file", config = { path = "a" } }, { type = "file", config = { path = "b" } }] }`,
		"quoted keys":      `"auto_auth" { "method" "approle" { "config" = { "role_id_file_path" = "role" } } sink "file" { config = { path = "a" } } sink "file" { config = { path = "b" } } }`,
		"JSON types": `{"auto_auth": {"method": {"type": "approle", "config": {"role_id_file_path": "role"}},
			"sink": [{"type": "file", "config": {"path": "a"}}, {"type": "file", "config": {"path": "b"}}]}}`,
		"JSON labels": `{"auto_auth": {"method": {"approle": {"config": {"role_id_file_path": "role"}}},
			"sink": [{"file": {"config": {"path": "a"}}}, {"file": {"config": {"path": "b"}}}]}}`,
		"JSON lists": `{"auto_auth": [{"method": [{"approle": [{"config": [{"role_id_file_path": "role"}]}]}],
			"sink": {"file": [{"config": {"path": "a"}}, {"config": {"path": "b"}}]}}]}`,
		"JSON sinks": `{"auto_auth": {"method": [{"type": "approle", "config": {"role_id_file_path": "role"}}],
			"sinks": [{"sink": {"type": "file", "config": {"path": "a"}}}, {"sink": {"file": {"config": {"path": "b"}}}}]}}`,
		"JSON with nulls": `  {"cache": null, "auto_auth": {"method": {"type": "approle", "wrap_ttl": null, "config": {"role_id_file_path": "role"}},
			"sink": [{"type": "file", "config": {"path": "a"}}, {"type": "file", "config": {"path": "b", "owner": null}}]}}`,
		"byte order mark": "\ufeff" + `auto_auth { method "approle" { ` + roleID + ` } sink "file" { config = { path = "a" } } sink "file" { config = { path = "b" } } }`,
		"CR LF":           "auto_auth {\r\n method \"approle\" {\r\n config = {\r\n role_id_file_path = \"role\" } }\r\n sinks { sink \"file\" { config { path = \"a\" } }\r\n sink \"file\" { config { path = \"b\" } } } }\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, src)
			a := cfg.AutoAuths[0]
			if a.Method.Type != "approle" || a.Method.MountPath != "auth/approle" || a.Method.Settings.String("role_id_file_path") != "role" {
				t.Errorf("method = %+v", a.Method)
			}
			if !a.Method.Settings.Bool("remove_secret_id_file_after_reading") {
				t.Error("the secret id file is kept by default")
			}
			if len(a.Sinks) != 2 || a.Sinks[0].Path != "a" || a.Sinks[1].Path != "b" || a.Sinks[1].Mode != 0o640 {
				t.Errorf("sinks = %+v", a.Sinks)
			}
			if len(cfg.Warnings) > 0 {
				t.Errorf("warnings:\n%s", lines(cfg.Warnings))
			}
		})
	}
}

func TestShapesOfListener(t *testing.T) {
	for name, src := range map[string]string{
		"labels":          "listener \"tcp\" { address = \"a:1\", tls_disable = true }\nlistener \"TCP\" { address = \"b:2\", tls_disable = 1 }",
		"type keys":       "listener { type = \"tcp\", address = \"a:1\", tls_disable = true }\nlistener { type = \"tcp\", address = \"b:2\", tls_disable = \"1\" }",
		"JSON labels":     `{"listener": [{"tcp": {"address": "a:1", "tls_disable": true}}, {"tcp": {"address": "b:2", "tls_disable": true}}]}`,
		"JSON one label":  `{"listener": {"tcp": [{"address": "a:1", "tls_disable": true}, {"address": "b:2", "tls_disable": true}]}}`,
		"JSON type keys":  `{"listener": [{"type": "tcp", "address": "a:1", "tls_disable": true}, {"type": "tcp", "address": "b:2", "tls_disable": "true"}]}`,
		"inner blocks":    "listener \"tcp\" { address = \"a:1\", tls_disable = true\nagent_api {} }\nlistener \"tcp\" { address = \"b:2\", tls_disable = true\nproxy_api = {} }",
		"comments, CR LF": "# one\r\nlistener \"tcp\" { // two\r\naddress = \"a:1\"\r\ntls_disable = true /* three */ }\r\nlistener \"tcp\" { address = \"b:2\", tls_disable = true }",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, src)
			if len(cfg.Listeners) != 2 || cfg.Listeners[0].Address != "a:1" || cfg.Listeners[1].Address != "b:2" || !cfg.Listeners[1].TLSDisable {
				t.Errorf("listeners = %+v", cfg.Listeners)
			}
		})
	}
}

func TestEitherStanzaEnablesQuit(t *testing.T) {
	for _, stanza := range []string{"agent_api", "proxy_api"} {
		cfg := mustParse(t, "listener \"tcp\" {\ntls_disable = true\n"+stanza+" { enable_quit = true }\n}")
		if !cfg.Listeners[0].EnableQuit {
			t.Errorf("%s does not enable quit", stanza)
		}
	}
}

// Vault's documented examples are read as a whole: what is not built yet is all that is wrong with them.
func TestExamplesOfVaultFailOnlyForWhatIsNotBuilt(t *testing.T) {
	for name, want := range map[string]string{
		"vault-proxy.hcl":  "",
		"vault-agent.hcl":  `vault-agent.hcl:19: template is not built yet; remove the stanza, or keep Vault Agent for it`,
		"vault-agent.json": "",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse(name, fixture(t, name), config.Options{LookupEnv: env{}.lookup})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestEveryKeyThatWorksArrives(t *testing.T) {
	cfg, err := config.Parse("full.hcl", fixture(t, "full.hcl"), config.Options{LookupEnv: env{}.lookup})
	if err != nil {
		t.Fatal(err)
	}
	settings := cfg.AutoAuths[0].Method.Settings
	if settings.String("role_id_file_path") != "/etc/leasehold/role-id" || settings.String("secret_id_file_path") != "/etc/leasehold/secret-id" ||
		settings.Bool("remove_secret_id_file_after_reading") {
		t.Error("the settings of approle did not arrive")
	}
	cfg.AutoAuths[0].Method.Settings = config.Settings{}
	at := func(line, column int) config.Pos { return config.Pos{File: "full.hcl", Line: line, Column: column} }
	want := &config.Config{
		Vault: config.Vault{
			Pos: at(8, 1), Address: "https://[2001:db8::1]:8200/base", CACert: "/etc/vault/ca.pem", CAPath: "/etc/vault/ca.d",
			ClientCert: "/etc/vault/client.pem", ClientKey: "/etc/vault/client.key", TLSServerName: "vault.example", TLSSkipVerify: true,
			Namespace: "team", Retry: config.Retry{NumRetries: 5, SafeOnly: true, MaxWait: 4 * time.Second, MaxReplaySize: 1 << 20},
			HealthInterval: 3 * time.Second, PassRedirects: true, RedirectHosts: []string{"vault-0.internal:8200", "*.vault.internal"},
		},
		AutoAuths: []config.AutoAuth{{
			Pos: at(30, 1),
			Method: config.Method{
				Pos: at(33, 3), Type: "approle", MountPath: "auth/apps", Namespace: "team/a/",
				MinBackoff: 2 * time.Second, MaxBackoff: 90 * time.Second, ExitOnErr: true,
			},
			Sinks:                  []config.Sink{{Pos: at(47, 3), Type: "file", Path: "/run/leasehold/token", Mode: 0o600, Owner: "app", Group: "1000"}},
			ReauthOnNewCredentials: true,
		}},
		APIProxy: config.APIProxy{
			Pos: at(57, 1), UseAutoAuthToken: config.Force, PrependNamespace: "team/",
			Consistency: config.ConsistencyForward, XForwardedFor: config.ForwardedForAppend,
		},
		Cache: &config.Cache{
			Pos: at(65, 1), MaxEntrySize: 512 << 10, RenewAt: 0.67, RenewRate: 500, ReplaceBefore: 0.1, MaxSize: 512 << 20,
			Persist: &config.Persist{
				Pos: at(69, 3), Type: "kubernetes", Path: "/vault/agent-cache", KeepAfterImport: true, ExitOnErr: true,
				ServiceAccountTokenFile: "/var/run/token",
			},
		},
		Listeners: []config.Listener{
			{
				Pos: at(77, 1), Type: "tcp", TLSMinVersion: tls.VersionTLS12, TLSMaxVersion: tls.VersionTLS13, Address: "[::]:8100", TLSCertFile: "/etc/leasehold/tls.pem", TLSKeyFile: "/etc/leasehold/tls.key",
				RequireRequestHeader: true, EnableQuit: true, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute,
				WriteTimeout: 2 * time.Minute, IdleTimeout: 3 * time.Minute, MaxRequestSize: 1 << 20, MaxHeaderSize: 64 << 10, MaxConcurrent: 100,
			},
			{
				Pos: at(95, 1), Type: "tcp", TLSMinVersion: tls.VersionTLS12, TLSMaxVersion: tls.VersionTLS13, Address: "127.0.0.1:9100", TLSDisable: true, Role: config.RoleMetricsOnly,
				ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute, MaxRequestSize: 32 << 20,
				MaxHeaderSize: 1 << 20, MaxConcurrent: 4096,
			},
		},
		PIDFile: "/run/leasehold.pid", LogLevel: slog.LevelDebug, LogFormat: "json", ExitAfterAuth: true, ShutdownTimeout: 25 * time.Second, Files: []string{"full.hcl"},
		Telemetry: config.Telemetry{MetricsPrefix: "vault", PrometheusRetentionTime: 24 * time.Hour, FilterDefault: true},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got:\n%+v\nwant:\n%+v", cfg, want)
	}
}

func TestDefaults(t *testing.T) {
	cfg := mustParse(t, "auto_auth {\nmethod \"token_file\" { config = { token_file_path = \"t\" } }\n"+tokenSink+"}\n"+
		"cache {\npersist \"file\" { path = \"p\", key_file = \"k\" }\n}\n"+tcp)
	if cfg.LogLevel != slog.LevelInfo || cfg.LogFormat != "standard" || cfg.ShutdownTimeout != 10*time.Second || cfg.Vault.Address != "" {
		t.Errorf("top level = %+v", cfg)
	}
	m := cfg.AutoAuths[0].Method
	if m.MountPath != "auth/token_file" || m.MinBackoff != time.Second || m.MaxBackoff != 5*time.Minute || m.ExitOnErr {
		t.Errorf("method = %+v", m)
	}
	if !cfg.Cache.ReportRemainingTTL || cfg.Cache.Persist.KeyFile != "k" || cfg.Cache.Persist.KeepAfterImport {
		t.Errorf("cache = %+v, persist = %+v", cfg.Cache, cfg.Cache.Persist)
	}
	if l := cfg.Listeners[0]; l.Address != "127.0.0.1:8200" || l.WriteTimeout != 0 || l.IdleTimeout != 5*time.Minute {
		t.Errorf("listener = %+v", l)
	}
	if mustParse(t, tcp).Cache != nil || mustParse(t, tcp).AutoAuths != nil {
		t.Error("absent stanzas are not nil")
	}
}

func TestZeroAndNegativeTimesMeanTheDefault(t *testing.T) {
	cfg := mustParse(t, "auto_auth {\nmethod \"approle\" {\nmin_backoff = 0\nmax_backoff = \"-1s\"\nconfig { role_id_file_path = \"r\" }\n}\n"+tokenSink+"}\n"+
		"listener \"tcp\" {\ntls_disable = true\nhttp_read_timeout = 0\nhttp_idle_timeout = -1\nhttp_write_timeout = \"-1s\"\n}")
	if m := cfg.AutoAuths[0].Method; m.MinBackoff != time.Second || m.MaxBackoff != 5*time.Minute {
		t.Errorf("back-off from %v to %v", m.MinBackoff, m.MaxBackoff)
	}
	if l := cfg.Listeners[0]; l.ReadTimeout != 30*time.Second || l.IdleTimeout != 5*time.Minute || l.WriteTimeout != 0 {
		t.Errorf("listener = %+v", l)
	}
}

func TestDeepNestingIsAProblemAndNotACrash(t *testing.T) {
	for name, src := range map[string]string{
		"HCL lists":   "a = " + strings.Repeat("[", 500_000),
		"HCL blocks":  strings.Repeat("a {", 300_000),
		"JSON lists":  `{"a": ` + strings.Repeat("[", 500_000),
		"JSON blocks": strings.Repeat(`{"a":`, 200_000),
	} {
		t.Run(name, func(t *testing.T) {
			wantProblems(t, src, "t.hcl:1: blocks and lists nest more than 64 levels deep; check the braces and brackets")
		})
	}
}

func TestPlacesInJSON(t *testing.T) {
	cfg := mustParse(t, "{\"pid_file\": \"é\",\n  \"listener\": [\n    {\"tcp\": {\"tls_disable\": true}}, {\"type\": \"tcp\", \"tls_disable\": true}],\n  \"é\": 1}")
	at := func(line, column int) config.Pos { return config.Pos{File: "t.hcl", Line: line, Column: column} }
	got := []config.Pos{cfg.Listeners[0].Pos, cfg.Listeners[1].Pos, cfg.Warnings[0].Pos}
	if want := []config.Pos{at(3, 6), at(3, 37), at(4, 3)}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}
