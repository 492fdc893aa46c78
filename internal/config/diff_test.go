package config_test

import (
	"slices"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// diff loads two files that a part is added to each, and returns the differences, one a line.
func diff(t *testing.T, old, next string) []string {
	t.Helper()
	var all []string
	for _, c := range config.Diff(reloaded(t, old), reloaded(t, next)) {
		all = append(all, c.Path+": "+c.Old+" -> "+c.New)
	}
	return all
}

func reloaded(t *testing.T, hcl string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.hcl", []byte(hcl), config.Options{LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const (
	diffA = `listener "tcp" {
  address = "127.0.0.1:1"
  tls_disable = true
}
`
	diffB = `listener "tcp" {
  address = "127.0.0.1:2"
  tls_disable = true
}
`
	diffLogin = `auto_auth {
  method "approle" {
    config = { role_id_file_path = "/role", secret_id_file_path = "/secret" }
  }
  sink "file" { config = { path = "/a" } }
}
`
)

func TestDiff(t *testing.T) {
	for name, tc := range map[string]struct {
		old, next string
		want      []string
	}{
		"nothing":                {diffA, diffA, nil},
		"lines moved":            {diffA + "cache { rule \"a/*\" { cache = false } }", "# a comment\n\ncache {\n rule \"a/*\" { cache = false }\n}\n" + diffA, nil},
		"a level":                {diffA, diffA + `log_level = "debug"`, []string{"log_level: INFO -> DEBUG"}},
		"a duration":             {diffA, diffA + `shutdown_timeout = "1m"`, []string{"shutdown_timeout: 10s -> 1m0s"}},
		"a number":               {diffA, diffA + `vault { retry { num_retries = 3 } }`, []string{"vault.retry.num_retries: 12 -> 3"}},
		"an enumeration":         {diffA, diffA + "api_proxy {\n x_forwarded_for = \"append\"\n}", []string{"api_proxy.x_forwarded_for: off -> append"}},
		"an address may be told": {diffA, diffB, []string{"listener[0].address: 127.0.0.1:1 -> 127.0.0.1:2"}},
		"an address may not":     {diffA + `vault { address = "http://a:p@x" }`, diffA + `vault { address = "http://a:q@x" }`, []string{"vault.address:  -> "}},
		"settings of a method":   {diffA + diffLogin, diffA + strings.Replace(diffLogin, "/secret", "/other", 1), []string{"auto_auth[0].method.config:  -> "}},
		"a sink more": {diffA + diffLogin, diffA + strings.Replace(diffLogin, "  sink", "  sink \"file\" { config = { path = \"/b\" } }\n  sink", 1),
			[]string{"auto_auth[0].sink[0]:  -> "}},
		"a listener more":          {diffA, diffB + diffA, []string{"listener[0]:  -> "}},
		"a listener less":          {diffA + diffB, diffB, []string{"listener[0]:  -> "}},
		"listeners exchanged":      {diffA + diffB, diffB + diffA, nil},
		"another, and one changed": {diffA + diffB, strings.Replace(diffB, "tls_disable", "max_request_size = 7\n  tls_disable", 1) + diffA, []string{"listener[0].max_request_size: 33554432 -> 7"}},
		"a cache":                  {diffA, diffA + "cache {}", []string{"cache:  -> "}},
		"rules": {diffA + "cache {}", diffA + "cache { rule \"a/*\" { cache = false } }",
			[]string{"cache.rule:  -> "}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := diff(t, tc.old, tc.next); !slices.Equal(got, tc.want) {
				t.Errorf("Diff = %q, want %q", got, tc.want)
			}
		})
	}
}

// Merge takes what is live and leaves both as they were.
func TestMerge(t *testing.T) {
	old := reloaded(t, diffA+diffB+"cache {}\n")
	next := reloaded(t, strings.Replace(diffB, "tls_disable", "max_request_size = 7\n  tls_disable", 1)+"log_level = \"debug\"\ncache {\n max_size = \"1MiB\"\n}\nvault { address = \"http://x\" }")
	got := config.Merge(old, next, func(key string) bool { return key != "vault.address" })
	if len(got.Listeners) != 2 || got.Listeners[1].MaxRequestSize != 7 || got.Cache.MaxSize != next.Cache.MaxSize || got.Vault.Address != "" || got.LogLevel != next.LogLevel || got.Cache.Pos != next.Cache.Pos {
		t.Errorf("merged: %+v", got)
	}
	if old.Listeners[1].MaxRequestSize == 7 || old.Cache.MaxSize == next.Cache.MaxSize {
		t.Errorf("the old one was changed: %+v", old)
	}
	if again := config.Diff(got, next); len(again) != 2 { // the listener that is gone, and the address
		t.Errorf("what is left to do: %+v", again)
	}
}

func TestKeysAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range config.Keys() {
		if seen[key] || key == "" {
			t.Errorf("key %q stands there twice, or has no name", key)
		}
		seen[key] = true
	}
	if !seen["listener.tls_cert_file"] || !seen["vault.retry.num_retries"] || !seen["vault.health_check_interval"] {
		t.Errorf("keys: %q", config.Keys())
	}
}
