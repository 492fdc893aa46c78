package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/internal/config"
)

// write makes a directory of files. A name that ends in a slash is a directory in it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, src := range files {
		path := filepath.Join(dir, name)
		below := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			below = path
		}
		if err := os.MkdirAll(below, 0o700); err != nil {
			t.Fatal(err)
		}
		if below == path {
			continue
		}
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLaterFilesOverEarlierOnes(t *testing.T) {
	named := func(name, path string) string {
		return "auto_auth \"" + name + "\" {\n" + approle + "sink \"file\" { config = { path = \"" + path + "\" } }\n}\n"
	}
	for name, tc := range map[string]struct {
		first, second string
		holds         func(*config.Config) bool
	}{
		"listeners add up": {tcp, `listener "tcp" { tls_disable = true, address = "127.0.0.1:1" }`, func(c *config.Config) bool { return len(c.Listeners) == 2 && c.Listeners[1].Address == "127.0.0.1:1" }},
		"a block replaces the whole": {tcp + `vault { address = "http://a", namespace = "n" }`, `vault { ca_cert = "c" }`, func(c *config.Config) bool {
			return c.Vault.Address == "" && c.Vault.Namespace == "" && c.Vault.CACert == "c"
		}},
		"a default does not": {tcp + "shutdown_timeout = \"3s\"\nvault { retry { num_retries = 2 } }", "", func(c *config.Config) bool {
			return c.ShutdownTimeout == 3*time.Second && c.Vault.Retry.NumRetries == 2
		}},
		"one block in each file is no more": {tcp + "cache { max_entries = 1 }", "cache { max_size = 9 }", func(c *config.Config) bool { return c.Cache.MaxEntries == 0 && c.Cache.MaxSize == 9 }},
		"booleans: or":                      {tcp + "exit_after_auth = true", "exit_after_auth = false", func(c *config.Config) bool { return c.ExitAfterAuth }},
		"booleans: or, the other way":       {tcp + "exit_after_auth = false", "exit_after_auth = true", func(c *config.Config) bool { return c.ExitAfterAuth }},
		"texts: the last":                   {tcp + `pid_file = "a"`, `PID_FILE = "b"`, func(c *config.Config) bool { return c.PIDFile == "b" }},
		"texts: not the empty one":          {tcp + `pid_file = "a"`, `pid_file = ""`, func(c *config.Config) bool { return c.PIDFile == "a" }},
		"auto_auth of another name":         {tcp + named("a", "1"), named("b", "2"), func(c *config.Config) bool { return len(c.AutoAuths) == 2 }},
		"auto_auth of the same name": {tcp + named("a", "1") + named("c", "3"), named("a", "2"), func(c *config.Config) bool {
			return len(c.AutoAuths) == 2 && c.AutoAuthNamed("a").Sinks[0].Path == "2" && c.AutoAuthNamed("c") != nil
		}},
		"auto_auth of the same name, in JSON": {tcp + named("a", "1"), `{"auto_auth": {"a": {"method": {"approle": {"config": {"role_id_file_path": "r"}}}, "sink": {"file": {"config": {"path": "2"}}}}}}`, func(c *config.Config) bool {
			return len(c.AutoAuths) == 1 && c.AutoAuths[0].Sinks[0].Path == "2"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"1.hcl": tc.first, "2.json.hcl": tc.second})
			one, two := filepath.Join(dir, "1.hcl"), filepath.Join(dir, "2.json.hcl")
			for shape, paths := range map[string][]string{"a directory": {dir}, "two files": {one, two}} {
				cfg, err := config.Load(config.Options{Paths: paths, LookupEnv: env{}.lookup})
				if err != nil {
					t.Fatalf("%s: %v", shape, err)
				}
				if !tc.holds(cfg) {
					t.Errorf("%s: got %+v", shape, cfg)
				}
			}
		})
	}
}

func TestDirectoriesHoldWhatLooksLikeAConfiguration(t *testing.T) {
	const wrong = "pid_file = 5"
	dir := write(t, map[string]string{
		"b.hcl": tcp + `pid_file = "b"`, "a.hcl": `pid_file = "a"`, "a.json": `{"log_level": "warn"}`, "empty/": "",
		"c.hcl~": wrong, ".#c.hcl": wrong, "#c.hcl#": wrong, "c.conf": wrong, "below.hcl/d.hcl": wrong,
	})
	cfg, err := config.Load(config.Options{Paths: []string{filepath.Join(dir, "empty"), dir}, LookupEnv: env{}.lookup})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.PIDFile != "b" || cfg.LogLevel.String() != "WARN" {
		t.Errorf("got %q and %v, want the last in the order of the names", cfg.PIDFile, cfg.LogLevel)
	}
	if _, err = config.Load(config.Options{Paths: []string{filepath.Join(dir, "empty")}, LookupEnv: env{}.lookup}); err == nil || !strings.Contains(err.Error(), "no auto_auth, cache, or listener block") {
		t.Errorf("an empty directory is an empty configuration, not %v", err)
	}
}

func TestAllProblemsOfAllFilesComeAtOnce(t *testing.T) {
	dir := write(t, map[string]string{
		"1.hcl": "vault {\n  retry { num_retries = \"many\" }\n}\nvualt {}\n",
		"2.hcl": "vault {\n",
		"3.hcl": "vault {}\nlog_level = \"loud\"\n",
	})
	paths := []string{dir, filepath.Join(dir, "missing.hcl")}
	_, err := config.Load(config.Options{Paths: paths, LookupEnv: env{}.lookup, Strict: true})
	want := strings.ReplaceAll(`DIR/missing.hcl: no such file or directory; give -config a file or a directory that this user may read
DIR/1.hcl:2: vault: retry.num_retries must be a whole number, not "many"; write for example num_retries = 5
DIR/1.hcl:4: unknown stanza "vualt"; did you mean "vault"?
DIR/2.hcl:2: a block does not end; close it with a brace
DIR/3.hcl:2: log_level: unknown log level: loud; write trace, debug, info, warn or error`, "DIR", dir)
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestTemplatesAreIgnoredOnlyWhenThatIsAsked(t *testing.T) {
	src := []byte(tcp + "template {}\nexec {}\n")
	if _, err := config.Parse("t.hcl", src, config.Options{LookupEnv: env{}.lookup}); err == nil {
		t.Error("templates were accepted")
	}
	cfg, err := config.Parse("t.hcl", src, config.Options{LookupEnv: env{}.lookup, IgnoreUnsupported: true})
	if err != nil || len(cfg.Warnings) != 2 {
		t.Errorf("got %v, %v; want two warnings", cfg, err)
	}
}

func TestDevicesAreNotRead(t *testing.T) {
	_, err := config.Load(config.Options{Paths: []string{os.DevNull}})
	if _, ok := errors.AsType[*config.Problems](err); !ok || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("got %v", err)
	}
}

// Whatever the texts of two files: an answer, and every problem complete.
func FuzzMerge(f *testing.F) {
	f.Add(tcp, `vault {}`)
	f.Add(`auto_auth "a" {}`, `{"auto_auth": [{"a": {"method": {}}}, 5]}`)
	f.Add(`disable_keep_alives = "a"`, `disable_keep_alives = [1, {}]`)
	f.Add(`exit_after_auth {}`, `exit_after_auth = [[]]`)
	f.Fuzz(func(t *testing.T, one, two string) {
		dir := write(t, map[string]string{"1.hcl": one, "2.hcl": two})
		_, err := config.Load(config.Options{Paths: []string{dir}, LookupEnv: env{}.lookup})
		if problems, ok := errors.AsType[*config.Problems](err); ok {
			for _, p := range problems.Errors {
				if p.Text == "" || p.Remedy == "" {
					t.Errorf("incomplete: %q", p)
				}
			}
		} else if err != nil {
			t.Errorf("the error is a %T", err)
		}
	})
}
