package config_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// sourcesOf loads a text with everything that flags and variables say, and returns path → value and source as people read them.
func sourcesOf(t *testing.T, src string, o config.Options) (*config.Config, map[string]string) {
	t.Helper()
	if o.LookupEnv == nil {
		o.LookupEnv = env{}.lookup
	}
	o.Sources = true
	cfg, err := config.Parse("t.hcl", []byte(src), o)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, s := range cfg.Settings {
		if _, twice := all[s.Path]; twice {
			t.Errorf("%s is there twice", s.Path)
		}
		from := s.Source.Name
		if from == "" {
			from = s.Source.Pos.String()
		}
		if from == "" && s.Source.Kind == config.SourceDefault {
			from = "default"
		}
		value := fmt.Sprint(s.Value)
		if s.Secret {
			value = "(secret)"
		}
		all[s.Path] = value + " " + from
	}
	return cfg, all
}

// logIn is a login and what it needs to be of use. It adds five lines.
const logIn = "auto_auth {\n" + approle + tokenSink + "}\n" + tcp

func TestWhereValuesComeFrom(t *testing.T) {
	yes := true
	for name, tc := range map[string]struct {
		file string
		env  env
		o    config.Options
		want []string // path, value and source
	}{
		"defaults": {"", nil, config.Options{}, []string{
			"log_level info default", "log_format standard default", "shutdown_timeout 10s default", "vault.address https://127.0.0.1:8200 default",
			"vault.retry.num_retries 12 default", "auto_auth[0].method.mount_path auth/approle default", "listener[0].max_request_size 33554432 default",
			"listener[0].agent_api.enable_quit false default", "api_proxy.use_auto_auth_token false default",
		}},
		"file": {"log_level = \"DEBUG\"\nvault {\naddress = \"http://[2001:DB8::1]:1\"\n}\n", nil, config.Options{}, []string{
			"log_level DEBUG t.hcl:1", "vault.address http://[2001:db8::1]:1 t.hcl:3", "auto_auth[0].method.type approle t.hcl:6",
			"auto_auth[0].method.config.role_id_file_path role t.hcl:6", "auto_auth[0].sink[0].type file t.hcl:7",
			"auto_auth[0].sink[0].config.path token t.hcl:7", "listener[0].type tcp t.hcl:9", "listener[0].tls_disable true t.hcl:9",
		}},
		"variables": {
			"vault {\naddresses = [\"http://a:1\", \"http://b:1\"]\nca_cert = \"f\"\nnamespace = \"f\"\n}\ndisable_keep_alives = [\"proxying\"]\nlog_level = \"warn\"\n",
			env{
				"VAULT_ADDR": "http://v:1", "VAULT_CACERT": "v", "VAULT_NAMESPACE": "v", "VAULT_PROXY_DISABLE_KEEP_ALIVES": "auto-auth", "VAULT_LOG_LEVEL": "ERROR",
				"VAULT_SKIP_VERIFY": "true", "VAULT_MAX_RETRIES": "0", "VAULT_DISABLE_REDIRECTS": "1", "VAULT_CLIENT_TIMEOUT": "30s", "VAULT_LOG_FORMAT": "",
			}, config.Options{}, []string{
				"vault.address http://v:1 VAULT_ADDR", "vault.addresses [] VAULT_ADDR", "vault.ca_cert v VAULT_CACERT", "vault.namespace v VAULT_NAMESPACE",
				"disable_keep_alives [auto-auth] VAULT_PROXY_DISABLE_KEEP_ALIVES", "log_level error VAULT_LOG_LEVEL", "vault.tls_skip_verify true VAULT_SKIP_VERIFY",
				"vault.retry.num_retries -1 VAULT_MAX_RETRIES", "vault.pass_redirects true VAULT_DISABLE_REDIRECTS", "VAULT_CLIENT_TIMEOUT 30s VAULT_CLIENT_TIMEOUT",
				"auto_auth[0].method.namespace v VAULT_NAMESPACE", "log_format standard default",
			},
		},
		"flags": {
			"exit_after_auth = false\nlog_file = \"f\"\n",
			env{"VAULT_ADDR": "http://v:1", "VAULT_CLIENT_CERT": "v", "VAULT_LOG_FORMAT": "json", "VAULT_SKIP_VERIFY": "false"},
			config.Options{
				LogLevel: "trace", LogFormat: "logfmt", ExitAfterAuth: &yes,
				LogFile: config.LogFileFlags{Path: "l", RotateBytes: "7", RotateDuration: "2h", RotateMaxFiles: "3"},
				Vault: config.VaultFlags{
					Address: "http://f:1", CACert: "f", CAPath: "f", ClientCert: "f", ClientKey: "f", TLSServerName: "f", Namespace: "f",
					TLSSkipVerify: &yes, DisableRedirects: true, Headers: []string{"x-tenant=hunter2"},
				},
			}, []string{
				"log_level trace -log-level", "log_format logfmt -log-format", "exit_after_auth true -exit-after-auth", "log_file l -log-file", "log_rotate_bytes 7 -log-rotate-bytes",
				"log_rotate_duration 2h0m0s -log-rotate-duration", "log_rotate_max_files 3 -log-rotate-max-files",
				"vault.address http://f:1 -address", "vault.ca_cert f -ca-cert", "vault.ca_path f -ca-path", "vault.client_cert f -client-cert", "vault.client_key f -client-key",
				"vault.tls_server_name f -tls-server-name", "vault.namespace f -namespace", "vault.tls_skip_verify true -tls-skip-verify",
				"vault.pass_redirects true -disable-redirects", "auto_auth[0].method.namespace f -namespace", "-header X-Tenant (secret) -header",
			},
		},
		"zero that means the default": {"vault {\nretry { num_retries = 0 }\n}\ncache { max_size = 0 }\nlog_rotate_duration = 0\n" + `listener "tcp" {
			tls_disable = true, max_request_size = 0, max_concurrent_requests = 0, http_read_timeout = 0 }` + "\n", nil, config.Options{}, []string{
			"vault.retry.num_retries 12 default", "cache.max_size 536870912 default", "log_rotate_duration 24h0m0s default", "listener[0].max_request_size 33554432 default",
			"listener[0].max_concurrent_requests 4096 default", "listener[0].http_read_timeout 30s default",
		}},
		"former places": {"cache {\nuse_auto_auth_token = \"force\"\nenforce_consistency = \"always\"\n}\n", nil, config.Options{}, []string{
			"api_proxy.use_auto_auth_token force t.hcl:2", "api_proxy.enforce_consistency always t.hcl:3", "api_proxy.when_inconsistent fail default",
		}},
		"numbers and names": {"auto_auth \"a\" {\n" + approle + "sink \"file\" { config = { path = \"b\" } }\nsink \"file\" { config = { path = \"c\" } }\n}\ncache {\nrule \"v1/x/*\" {}\n}\n", nil, config.Options{}, []string{
			"auto_auth[0].name a t.hcl:1", "auto_auth[0].sink[1].config.path c t.hcl:4", "auto_auth[1].sink[0].config.path token t.hcl:11", "cache.rule[0].path x/* t.hcl:7",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.o.LookupEnv = tc.env.lookup
			_, got := sourcesOf(t, tc.file+logIn, tc.o)
			for _, line := range tc.want {
				path, want, _ := strings.Cut(line, " ")
				if path == "-header" {
					path, want = "-header X-Tenant", strings.TrimPrefix(want, "X-Tenant ")
				}
				if got[path] != want {
					t.Errorf("%s is %q, want %q", path, got[path], want)
				}
			}
		})
	}
}

func TestFormerPlacesAreShownOnce(t *testing.T) {
	for _, file := range []string{"cache {}\n", "cache { use_auto_auth_token = true }\n", "api_proxy { use_auto_auth_token = true }\ncache {}\n"} {
		_, got := sourcesOf(t, file+logIn, config.Options{})
		for path := range got {
			if key, ok := strings.CutPrefix(path, "cache."); ok && got["api_proxy."+key] != "" {
				t.Errorf("%s is shown in both stanzas of %q", key, file)
			}
		}
	}
}

// What is given comes first, as it stands in the file: the type that a label names before the keys, and a key that a variable decides before all.
func TestSettingsStandAsInTheFile(t *testing.T) {
	cfg, _ := sourcesOf(t, "vault {\ntls_server_name = \"s\"\naddress = \"http://a:1\"\n}\nlistener \"unix\" {\nsocket_group = \"g\"\naddress = \"/s\"\ntls_disable = true\n}\n",
		config.Options{LookupEnv: env{"VAULT_CAPATH": "c"}.lookup})
	var got []string
	for _, s := range cfg.Settings {
		if s.Source.Kind != config.SourceDefault {
			got = append(got, s.Path)
		}
	}
	want := []string{"vault.ca_path", "vault.tls_server_name", "vault.address", "listener[0].type", "listener[0].socket_group", "listener[0].address", "listener[0].tls_disable"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// No secret in what is shown, wherever it was given.
func TestSecretsAreNotShown(t *testing.T) {
	const src = `vault { address = "https://me:hunter2@v:1" }
storage "consul" { token = "hunter2" }
seal "awskms" { secret_key = "hunter2" }
cache { persist "env" { path = "p", key_env = "hunter2" } }
telemetry { circonus_api_token = "hunter2", circonus_api_url = "https://me:hunter2@c" }
auto_auth {
  method "aws" {
    config = { type = "iam", role = "r", access_key = "hunter2", secret_key = "hunter2", session_token = "hunter2", header_value = "hunter2", nonce = "hunter2" }
  }
  sink "file" { dh_type = "curve25519", dh_path = "d", aad = "hunter2", config = { path = "a" } }
  sink "file" { dh_type = "curve25519", dh_path = "d", aad_env_var = "AAD", config = { path = "b" } }
}
auto_auth "b" {
  method "alicloud" { config = { role = "r", region = "r", access_secret = "hunter2", access_token = "hunter2", private_key = "hunter2" } }
  sink "file" { config = { path = "c" } }
}
auto_auth "c" {
  method "gcp" { config = { type = "iam", role = "r", credentials = "hunter2" } }
  sink "file" { config = { path = "e" } }
}
`
	cfg, got := sourcesOf(t, src+tcp, config.Options{
		LookupEnv: env{
			"AAD": "hunter2", "VAULT_HEADERS": `{"X-A": "hunter2"}`, "VAULT_PROXY_ADDR": "http://me:hunter2@proxy", "HTTPS_PROXY": "http://hunter2@proxy",
			"VAULT_CACERT_BYTES": "hunter2", "VAULT_CACERT": "ca", "VAULT_TOKEN": "hunter2",
		}.lookup,
		Vault: config.VaultFlags{Headers: []string{"X-Tenant=hunter2"}},
	})
	text := config.Show(cfg.Settings)
	asJSON, err := json.Marshal(cfg.Settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{text, string(asJSON), fmt.Sprintf("%+v", cfg.Settings)} {
		if strings.Contains(shown, secretMark) {
			t.Errorf("the secret is shown:\n%s", shown)
		}
	}
	for path, want := range map[string]string{
		"vault.address": "(secret) t.hcl:1", "storage": "(secret) t.hcl:2", "auto_auth[0].method.config.secret_key": "(secret) t.hcl:8", "auto_auth[0].sink[0].aad": "(secret) t.hcl:10",
		"auto_auth[0].sink[1].aad": "(secret) AAD", "auto_auth[0].sink[1].aad_env_var": "AAD t.hcl:11", "-header X-Tenant": "(secret) -header", "VAULT_HEADERS": "(secret) VAULT_HEADERS",
		"auto_auth[1].method.config.role": "r t.hcl:14",
	} {
		if got[path] != want {
			t.Errorf("%s is %q, want %q", path, got[path], want)
		}
	}
	if _, err := parse(text); err == nil {
		t.Error("what is shown loads, with a word in place of each secret")
	}
}

var numbers = regexp.MustCompile(`\[\d+\]`)

// everything are texts that together have every stanza, every type and every method.
func everything() []string {
	all := []string{
		"access_log {}\ntelemetry {\notlp { endpoint = \"https://c\" }\ntraces {}\n}\ncache {\nreplace_before = 0.2\nrule \"a\" {}\nrule \"b\" { cache = false }\n}\n" + `listener "unix" { tls_disable = true, address = "/s", rule "a" { action = "allow" } }` + "\n" + logIn,
	}
	for _, kind := range []string{
		`"kubernetes" { path = "p" }`, `"file" { path = "p", key_file = "k" }`, `"systemd" { path = "p" }`, `"env" { path = "p" }`,
		`"transit" { path = "p", transit_key = "k" }`, `"auto" { path = "p", key_file = "k" }`,
	} {
		all = append(all, "cache {\npersist "+kind+"\n}\n"+logIn)
	}
	for method, required := range map[string]string{
		"alicloud": "role region", "aws": "role type=iam", "azure": "role resource", "cert": "", "cf": "role", "gcp": "role type=gce", "jwt": "path role",
		"kerberos": "username service realm keytab_path krb5conf_path", "kubernetes": "role", "ldap": "username password_file_path", "oci": "role type=instance",
		"token_file": "token_file_path", "pcf": "role",
	} {
		src := "auto_auth {\nmethod \"" + method + "\" {\nconfig = {\n"
		for _, key := range strings.Fields(required) {
			key, word, _ := strings.Cut(key, "=")
			src += fmt.Sprintf("%s = %q\n", key, cmp.Or(word, "x"))
		}
		all = append(all, src+"}\n}\n"+tokenSink+"}\n"+tcp)
	}
	return all
}

// Every key that works is shown when its stanza is there, whether given or not. A new key is, by its row in a table.
func TestEveryKeyIsShown(t *testing.T) {
	shown := map[string]bool{}
	for _, src := range everything() {
		_, got := sourcesOf(t, src, config.Options{})
		method := regexp.MustCompile(`method "(\w+)"`).FindStringSubmatch(src)[1]
		for path := range got {
			path = numbers.ReplaceAllString(path, "")
			if key, ok := strings.CutPrefix(path, "auto_auth.method.config."); ok {
				path = "auto_auth.method.config." + strings.Replace(method, "pcf", "cf", 1) + "." + key
			}
			shown[path] = true
		}
	}
	former := []string{"cache.use_auto_auth_token", "cache.enforce_consistency", "cache.when_inconsistent", "auto_auth.method.config.pcf.role"}
	working := config.Working()
	for _, path := range working {
		if !shown[path] && !slices.Contains(former, path) {
			t.Errorf("%s is not shown", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(shown)) {
		if !slices.Contains(working, path) {
			t.Errorf("%s is shown, and is no key that works", path)
		}
	}
}

// What is shown is what is in force: read as a file, without flags and variables, it is the same configuration.
func TestWhatIsShownMeansTheSame(t *testing.T) {
	check := func(name string, cfg *config.Config) {
		t.Run(name, func(t *testing.T) {
			text := config.Show(cfg.Settings)
			again, err := parse(text)
			if err != nil {
				t.Fatalf("what is shown does not load: %v\n%s", err, text)
			}
			want := *cfg
			if want.Vault.Address == "" && len(want.Vault.Addresses) == 0 {
				want.Vault.Address = "https://127.0.0.1:8200"
			}
			for _, change := range config.Diff(&want, again) {
				t.Errorf("%s is %q, shown as %q\n%s", change.Path, change.Old, change.New, text)
			}
		})
	}
	for i, src := range everything() {
		cfg, _ := sourcesOf(t, src, config.Options{})
		check(fmt.Sprint("defaults ", i), cfg)
	}
	paths, err := filepath.Glob(filepath.Join("..", "..", "testdata", "config", "corpus", "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, filepath.Join("..", "..", "testdata", "config", "full.hcl")) {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		o := config.Options{LookupEnv: env{}.lookup, IgnoreUnsupported: true, Sources: true}
		cfg, err := config.Parse(path, src, o)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(cfg.Settings, func(s config.Setting) bool { return s.Secret }) {
			continue // it does not load, on purpose
		}
		check(filepath.Base(path), cfg)
	}
	yes := true
	cfg, _ := sourcesOf(t, "cache { use_auto_auth_token = true }\nvault {\naddresses = [\"http://a:1\"]\nretry { num_retries = -5 }\n}\n"+logIn, config.Options{
		LookupEnv: env{"VAULT_NAMESPACE": "n", "VAULT_LOG_LEVEL": "notice", "VAULT_AGENT_DISABLE_IDLE_CONNECTIONS": "caching"}.lookup,
		LogFile:   config.LogFileFlags{Path: "l", RotateBytes: "1024", RotateDuration: "-1", RotateMaxFiles: "-3"},
		Vault:     config.VaultFlags{TLSSkipVerify: &yes, DisableRedirects: true, ClientCert: "c", ClientKey: "k"},
	})
	cfg.AutoAuths[0].Method.Namespace = "n/" // the one for everything, which is Vault.Namespace
	check("flags and variables", cfg)
}

// Whatever loads without a word is shown as a configuration that means the same.
func FuzzShow(f *testing.F) {
	addSeeds(f, ".hcl")
	addSeeds(f, ".json")
	f.Add("pid_file = \"a${b}\\n\\u00e9\"\nlog_rotate_duration = \"-3s\"\n" + tcp)
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > maxFuzzInput {
			t.Skip("bounded, so that a slow reading is a defect and not a large file")
		}
		cfg, err := config.Parse("f", []byte(src), config.Options{LookupEnv: env{}.lookup, Sources: true})
		if err != nil || slices.ContainsFunc(cfg.Settings, func(s config.Setting) bool { return s.Secret }) {
			return
		}
		text := config.Show(cfg.Settings)
		again, err := parse(text)
		if err != nil {
			t.Fatalf("what is shown does not load: %v\n%s\nfrom:\n%s", err, text, src)
		}
		if cfg.Vault.Address == "" && len(cfg.Vault.Addresses) == 0 {
			cfg.Vault.Address = again.Vault.Address
		}
		for _, change := range config.Diff(cfg, again) {
			t.Errorf("%s is %q, shown as %q\n%s", change.Path, change.Old, change.New, text)
		}
	})
}

// Nobody pays for sources who does not ask for them.
func TestSourcesAreForThoseWhoAsk(t *testing.T) {
	if cfg := mustParse(t, logIn); cfg.Settings != nil {
		t.Errorf("%d settings", len(cfg.Settings))
	}
}

func TestSettingsAsJSON(t *testing.T) {
	cfg, _ := sourcesOf(t, "pid_file = \"p\"\n"+logIn, config.Options{LookupEnv: env{"VAULT_ADDR": "http://v:1"}.lookup})
	got := map[string]string{}
	for _, s := range cfg.Settings {
		line, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got[s.Path] = string(line)
	}
	for path, want := range map[string]string{
		"pid_file":                         `{"path":"pid_file","value":"p","source":{"kind":"file","file":"t.hcl","line":1}}`,
		"vault.address":                    `{"path":"vault.address","value":"http://v:1","source":{"kind":"environment","name":"VAULT_ADDR"}}`,
		"vault.ca_cert":                    `{"path":"vault.ca_cert","value":"","source":{"kind":"default"},"note":"system roots"}`,
		"vault.addresses":                  `{"path":"vault.addresses","value":[],"source":{"kind":"environment","name":"VAULT_ADDR"}}`,
		"shutdown_timeout":                 `{"path":"shutdown_timeout","value":"10s","source":{"kind":"default"}}`,
		"listener[0].max_request_size":     `{"path":"listener[0].max_request_size","value":33554432,"source":{"kind":"default"}}`,
		"auto_auth[0].sink[0].config.mode": `{"path":"auto_auth[0].sink[0].config.mode","value":"0640","source":{"kind":"default"}}`,
	} {
		if got[path] != want {
			t.Errorf("got %s, want %s", got[path], want)
		}
	}
}
