package config_test

import (
	"strings"
	"testing"
	"time"

	"leasehold/internal/config"
)

func TestLogFile(t *testing.T) {
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		file  string
		flags config.LogFileFlags
		want  *config.LogFile
	}{
		"none":             {"", config.LogFileFlags{}, nil},
		"rotation of none": {"log_rotate_bytes = 5\n", config.LogFileFlags{RotateMaxFiles: "3"}, nil},
		"defaults":         {"log_file = \"x\"\n", config.LogFileFlags{}, &config.LogFile{Path: "x", RotateBytes: -1, RotateDuration: day}},
		"all": {
			"log_file = \"x\"\nlog_rotate_bytes = 1000\nlog_rotate_duration = \"1h\"\nlog_rotate_max_files = 7\n", config.LogFileFlags{},
			&config.LogFile{Path: "x", RotateBytes: 1000, RotateDuration: time.Hour, RotateMaxFiles: 7},
		},
		"units": {
			"log_file = \"x\"\nlog_rotate_bytes = \"1MiB\"\nlog_rotate_duration = \"2d\"\n", config.LogFileFlags{},
			&config.LogFile{Path: "x", RotateBytes: 1 << 20, RotateDuration: 2 * day},
		},
		"zeros": {
			"log_file = \"x\"\nlog_rotate_bytes = 0\nlog_rotate_duration = 0\nlog_rotate_max_files = 0\n", config.LogFileFlags{},
			&config.LogFile{Path: "x", RotateBytes: -1, RotateDuration: day},
		},
		"none of them": {
			"log_file = \"x\"\nlog_rotate_bytes = -5\nlog_rotate_duration = -1\nlog_rotate_max_files = -2\n", config.LogFileFlags{},
			&config.LogFile{Path: "x", RotateBytes: -1, RotateDuration: -1, RotateMaxFiles: -1},
		},
		"flags before the file": {
			"log_file = \"x\"\nlog_rotate_bytes = 1000\nlog_rotate_duration = \"1h\"\nlog_rotate_max_files = 7\n",
			config.LogFileFlags{Path: "y", RotateBytes: "2000", RotateDuration: "30m", RotateMaxFiles: "-1"},
			&config.LogFile{Path: "y", RotateBytes: 2000, RotateDuration: 30 * time.Minute, RotateMaxFiles: -1},
		},
		"flags alone": {"", config.LogFileFlags{Path: "y"}, &config.LogFile{Path: "y", RotateBytes: -1, RotateDuration: day}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("t.hcl", []byte(tc.file+tcp), config.Options{LookupEnv: env{}.lookup, LogFile: tc.flags})
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.LogFile; (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestProblemsOfLogFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		file  string
		flags config.LogFileFlags
		want  string
	}{
		"a pattern":           {tcp + "log_file = \"/var/log/*.log\"\n", config.LogFileFlags{}, `t.hcl:2: log_file: the path may not contain *, ? or [; name one file`},
		"a pattern in a flag": {tcp, config.LogFileFlags{Path: "a[b"}, `-log-file: the path may not contain *, ? or [; name one file`},
		"bytes":               {tcp + "log_rotate_bytes = \"much\"\n", config.LogFileFlags{}, `t.hcl:2: log_rotate_bytes must be a number of bytes, or -1 for no limit, not "much"; write for example log_rotate_bytes = "100MiB"`},
		"duration":            {tcp + "log_rotate_duration = \"soon\"\n", config.LogFileFlags{}, `t.hcl:2: log_rotate_duration must be a duration, or -1 for no limit, not "soon"; write for example log_rotate_duration = "24h"`},
		"files":               {tcp + "log_rotate_max_files = 1.5\n", config.LogFileFlags{}, `t.hcl:2: log_rotate_max_files must be a whole number, not 1.5; write for example log_rotate_max_files = 5`},
		"flags": {tcp, config.LogFileFlags{RotateBytes: "x", RotateDuration: "x", RotateMaxFiles: "x"}, `-log-rotate-bytes: must be a number of bytes, or -1 for no limit; write for example -log-rotate-bytes=32MiB
-log-rotate-duration: must be a duration, or -1 for no limit; write for example -log-rotate-duration=24h
-log-rotate-max-files: must be a whole number; write for example -log-rotate-max-files=5`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("t.hcl", []byte(tc.file), config.Options{LookupEnv: env{}.lookup, LogFile: tc.flags})
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestConnections(t *testing.T) {
	idle, keep := config.ConnectionUse{DisableIdle: true}, config.ConnectionUse{DisableKeepAlives: true}
	for name, tc := range map[string]struct {
		file string
		env  env
		want config.Connections
	}{
		"none":            {"", nil, config.Connections{}},
		"idle":            {"disable_idle_connections = [\"auto-auth\"]\n", nil, config.Connections{AutoAuth: idle}},
		"keep-alives":     {"disable_keep_alives = [\"proxying\"]\n", nil, config.Connections{Proxying: keep}},
		"caching":         {"disable_keep_alives = [\"caching\"]\n", nil, config.Connections{Proxying: keep}},
		"all":             {"disable_idle_connections = [\"auto-auth\", \"caching\", \"templating\", \"proxying\", \"\"]\n", nil, config.Connections{AutoAuth: idle, Proxying: idle}},
		"of the Proxy":    {"disable_idle_connections = [\"auto-auth\"]\n", env{"VAULT_PROXY_DISABLE_IDLE_CONNECTIONS": "Caching, "}, config.Connections{Proxying: idle}},
		"of the Agent":    {"disable_keep_alives = [\"proxying\"]\n", env{"VAULT_AGENT_DISABLE_KEEP_ALIVES": "auto-auth,templating"}, config.Connections{AutoAuth: keep}},
		"the Proxy first": {"", env{"VAULT_AGENT_DISABLE_KEEP_ALIVES": "auto-auth", "VAULT_PROXY_DISABLE_KEEP_ALIVES": "proxying"}, config.Connections{Proxying: keep}},
		"empty is unset":  {"disable_keep_alives = [\"proxying\"]\n", env{"VAULT_PROXY_DISABLE_KEEP_ALIVES": ""}, config.Connections{Proxying: keep}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("t.hcl", []byte(tc.file+tcp), config.Options{LookupEnv: tc.env.lookup})
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Connections != tc.want || len(cfg.Warnings) > 0 {
				t.Errorf("got %+v, want %+v; warnings: %v", cfg.Connections, tc.want, cfg.Warnings)
			}
		})
	}
	for name, tc := range map[string]struct {
		file string
		env  env
		want string
	}{
		"a word":       {"disable_idle_connections = [\"auto-auth\", \"login\"]\n", nil, "t.hcl:1: disable_idle_connections: unknown value in a list; write for example disable_idle_connections = [\"auto-auth\"]"},
		"capitals":     {"disable_keep_alives = \"Caching\"\n", nil, "t.hcl:1: disable_keep_alives: unknown value in \"Caching\""},
		"a number":     {"disable_keep_alives = 5\n", nil, "t.hcl:1: disable_keep_alives"},
		"the variable": {"", env{"VAULT_AGENT_DISABLE_KEEP_ALIVES": "auto"}, "environment variable VAULT_AGENT_DISABLE_KEEP_ALIVES: unknown disable_keep_alives value in \"auto\"; write auto-auth, proxying or caching"},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			_, err := config.Parse("t.hcl", []byte(tc.file+tcp), config.Options{LookupEnv: tc.env.lookup})
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}
