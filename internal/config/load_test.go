package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/config"
)

func TestLoadReadsOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "proxy.conf") // any extension
	if err := os.WriteFile(path, []byte(tcp), 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large.hcl")
	if err := os.WriteFile(large, []byte(strings.Repeat("# comment\n", 200_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Options{Paths: []string{" " + path + " "}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Listeners[0].Pos.String(), path+":1"; got != want {
		t.Errorf("the listener is at %s, want %s", got, want)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"none":      {"", "-config: no configuration file was given; write for example -config=proxy.hcl"},
		"missing":   {"missing.hcl", "missing.hcl: no such file or directory; give -config a file or a directory that this user may read"},
		"too large": {large, large + ": the file is larger than 1048576 bytes; is it a configuration file?"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Load(config.Options{Paths: []string{tc.path}})
			if cfg != nil || err == nil || err.Error() != tc.want {
				t.Errorf("got %v, %v; want %s", cfg, err, tc.want)
			}
			if _, ok := errors.AsType[*config.Problems](err); !ok {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

func TestLogSettingsFlagBeforeVariableBeforeFile(t *testing.T) {
	for name, tc := range map[string]struct {
		file   string
		env    env
		flags  config.Options
		level  slog.Level
		format string
	}{
		"nothing":          {"", nil, config.Options{}, slog.LevelInfo, "standard"},
		"file":             {"log_level = \"warn\"\nlog_format = \"json\"\n", nil, config.Options{}, slog.LevelWarn, "json"},
		"variable":         {"log_level = \"warn\"\nlog_format = \"json\"\n", env{"VAULT_LOG_LEVEL": "err", "VAULT_LOG_FORMAT": "standard"}, config.Options{}, slog.LevelError, "standard"},
		"empty variable":   {"log_level = \"WARNING\"\n", env{"VAULT_LOG_LEVEL": ""}, config.Options{}, slog.LevelWarn, "standard"},
		"flag":             {"log_level = \"warn\"\n", env{"VAULT_LOG_LEVEL": "err"}, config.Options{LogLevel: "trace", LogFormat: "JSON"}, config.LevelTrace, "json"},
		"notice is info":   {"log_level = \"notice\"\n", nil, config.Options{}, slog.LevelInfo, "standard"},
		"empty is default": {"log_level = \"\"\nlog_format = \"\"\n", nil, config.Options{}, slog.LevelInfo, "standard"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.flags.LookupEnv = tc.env.lookup
			cfg, err := config.Parse("t.hcl", []byte(tc.file+tcp), tc.flags)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.LogLevel != tc.level || cfg.LogFormat != tc.format {
				t.Errorf("got %v and %s, want %v and %s", cfg.LogLevel, cfg.LogFormat, tc.level, tc.format)
			}
		})
	}
}

func TestBadFlagsAndVariablesAreReportedWithTheFile(t *testing.T) {
	_, err := config.Parse("t.hcl", []byte("log_level = \"x\"\n"+tcp), config.Options{
		LogLevel: "y",
		LookupEnv: env{
			"VAULT_LOG_LEVEL":  "z",
			"VAULT_LOG_FORMAT": "xml",
			"VAULT_ALLOW_PENDING_REMOVAL_DUPLICATE_HCL_ATTRIBUTES": "maybe",
		}.lookup,
	})
	const want = `environment variable VAULT_ALLOW_PENDING_REMOVAL_DUPLICATE_HCL_ATTRIBUTES: must be true or false; unset it
-log-level: unknown log level: y; write trace, debug, info, warn or error
environment variable VAULT_LOG_LEVEL: unknown log level: z; write trace, debug, info, warn or error
environment variable VAULT_LOG_FORMAT: unknown log format: xml; write standard, json or logfmt
t.hcl:1: log_level: unknown log level: x; write trace, debug, info, warn or error`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestExitAfterAuthOfTheCommandLineWins(t *testing.T) {
	yes, no := true, false
	for name, tc := range map[string]struct {
		file string
		flag *bool
		want bool
	}{
		"file":         {"exit_after_auth = true\n", nil, true},
		"flag":         {"", &yes, true},
		"flag says no": {"exit_after_auth = true\n", &no, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("t.hcl", []byte(tc.file+tcp), config.Options{ExitAfterAuth: tc.flag})
			if err != nil {
				t.Fatal(err)
			}
			if cfg.ExitAfterAuth != tc.want {
				t.Errorf("got %v, want %v", cfg.ExitAfterAuth, tc.want)
			}
		})
	}
}

func TestVaultsSwitchForRepeatedArguments(t *testing.T) {
	allow := config.Options{LookupEnv: env{"VAULT_ALLOW_PENDING_REMOVAL_DUPLICATE_HCL_ATTRIBUTES": "true"}.lookup}
	cfg, err := config.Parse("t.hcl", []byte("pid_file = \"a\"\npid_file = \"b\"\n"+tcp), allow)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.PIDFile != "b" {
		t.Errorf("pid_file = %q, want the last one", cfg.PIDFile)
	}
	const want = `t.hcl:2: the argument "pid_file" was already set at line 1. Each argument can only be defined once; remove one of the two`
	if got := lines(cfg.Warnings); got != want {
		t.Errorf("warnings: %s\nwant: %s", got, want)
	}
	cfg, err = config.Parse("t.json", []byte(`{"pid_file": "a", "pid_file": "b", "listener": {"tcp": {"tls_disable": true}}}`), allow)
	if err != nil || cfg.PIDFile != "b" || len(cfg.Warnings) != 1 {
		t.Errorf("in JSON: got %+v, %v; want one warning", cfg, err)
	}
}

func TestClientKeyMayComeFromTheEnvironment(t *testing.T) {
	src := []byte("vault { client_cert = \"c.pem\" }\n" + tcp)
	if _, err := config.Parse("t.hcl", src, config.Options{LookupEnv: env{"VAULT_CLIENT_KEY": "k.pem"}.lookup}); err != nil {
		t.Error(err)
	}
}

func TestWarnings(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"unknown stanza": {tcp + "listner \"tcp\" {}\n", `t.hcl:2: unknown stanza "listner" is ignored; did you mean "listener"?`},
		"unknown key":    {tcp + "pidfile = \"x\"\n", `t.hcl:2: unknown key "pidfile" is ignored; did you mean "pid_file"?`},
		"unknown inner key": {
			"vault { retry { num_retry = 5 } }\n" + tcp, `t.hcl:1: vault: unknown key "retry.num_retry" is ignored; did you mean "num_retries"?`,
		},
		"key like no other": {tcp + "zzzzzz = 1\n", `t.hcl:2: unknown key "zzzzzz" is ignored; remove it`},
		"very long key":     {tcp + strings.Repeat("a", 100) + " = 1\n", `t.hcl:2: unknown key "` + strings.Repeat("a", 60) + `..." is ignored; remove it`},
		"key of the server": {tcp + "storage \"file\" {}\n", `t.hcl:2: storage has no effect: only a Vault server reads it; remove it`},
		"Circonus": {
			tcp + "telemetry {\ncirconus_check_id = \"1\"\ncirconus_api_token = \"s3cret\"\n}\n",
			`t.hcl:3: telemetry: circonus_api_token, circonus_check_id have no effect: metrics are not sent to Circonus; remove them, and use dogstatsd_addr, statsd_address or otlp`,
		},
		"Stackdriver": {
			tcp + "telemetry {\nstackdriver_location = \"x\"\n}\n",
			`t.hcl:3: telemetry: stackdriver_location has no effect: metrics are not sent to Stackdriver; remove it, and use dogstatsd_addr, statsd_address or otlp`,
		},
		"telemetry of a server": {
			tcp + "telemetry { maximum_gauge_cardinality = 7 }\n", `t.hcl:2: telemetry: maximum_gauge_cardinality has no effect: only a Vault server reads it; remove it`,
		},
		"no effect in Vault": {tcp + "disable_mlock = true\n", `t.hcl:2: disable_mlock has no effect: it has none in Vault Proxy either; remove it`},
		"CORS": {
			"listener \"tcp\" {\ntls_disable = true\ncors_enabled = true\n}\n", `t.hcl:3: listener: cors_enabled has no effect: only a Vault server reads it; remove it`,
		},
		"socket mode": {
			"listener \"tcp\" {\ntls_disable = true\nsocket_mode = \"0600\"\n}\n",
			`t.hcl:3: listener: socket_mode has no effect: only unix listeners have it; remove it`,
		},
		"labels": {
			"vault \"main\" {}\nlistener \"tcp\" \"two\" { tls_disable = true }\n",
			`t.hcl:1: the label "main" has no effect; remove it` + "\n" + `t.hcl:2: listener: the label "two" has no effect; remove it`,
		},
		"mount path without auth/": {
			"auto_auth {\nmethod \"approle\" {\nmount_path = \"approle\"\nconfig { role_id_file_path = \"r\" }\n}\n" + tokenSink + "}\n",
			`t.hcl:3: auto_auth: method.mount_path "approle" does not begin with auth/; did you mean "auth/approle"?`,
		},
		"key file of kubernetes": {
			"cache {\npersist \"kubernetes\" {\npath = \"p\"\nkey_file = \"k\"\n}\n}\n" + tcp,
			`t.hcl:4: cache: persist.key_file has no effect with type "kubernetes"; remove it`,
		},
		"what is refused may say what it does anyway": {
			"api_proxy {\nenforce_consistency = \"never\"\nprepend_configured_namespace = false\n}\n" +
				"cache {\ncache_static_secrets = false\n}\n" +
				"listener \"tcp\" {\ntls_disable = true\ntls_require_and_verify_client_cert = false\ntls_min_version = \"tls12\"\n}\n", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := parse(tc.src)
			if err != nil {
				t.Fatal(err)
			}
			if got := warnings(cfg, err); got != tc.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}

// The misspelt key next to the missing one is what explains the error.
func TestErrorsCarryTheWarnings(t *testing.T) {
	cfg, err := parse("auto_auth {\n" + approle + "sink \"file\" { config = { pth = \"t\" } }\n}\n")
	if err == nil {
		t.Fatal("no problem")
	}
	const want = `t.hcl:3: auto_auth: unknown key "sink.config.pth" is ignored; did you mean "path"?`
	if got := warnings(cfg, err); got != want {
		t.Errorf("warnings: %s\nwant: %s", got, want)
	}
}

func TestSettingsDoNotPrintTheirValues(t *testing.T) {
	settings := mustParse(t, "auto_auth {\n"+approle+tokenSink+"}\n").AutoAuths[0].Method.Settings
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		if got := fmt.Sprintf(verb, settings); got != "[settings]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if settings.String("no such key") != "" || settings.Bool("role_id_file_path") || settings.Duration("role_id_file_path") != 0 {
		t.Error("a key that does not exist, or has another type, is not the zero value")
	}
}
