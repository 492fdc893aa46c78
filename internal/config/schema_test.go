package config_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"leasehold/internal/config"
)

// schema is that of the tables as they are now.
func schema(t testing.TB) (text []byte, compile func(at string) *jsonschema.Schema) {
	t.Helper()
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("configuration.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	return text, func(at string) *jsonschema.Schema {
		s, err := c.Compile("configuration.schema.json" + at)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// judge is what the schema says of a text in JSON.
func judge(t testing.TB, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

// The file is the schema of the tables as they are now. -update writes it anew.
func TestSchemaIsUpToDate(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.schema.json")
	want, _ := schema(t)
	if *update {
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/configuration.schema.json is stale; run go test ./internal/config -run TestSchema -update, and read the difference")
	}
}

// formOf returns a file in JSON, its own or what its HCL is in that form; nil for one that cannot be read.
func formOf(t *testing.T, path string) []byte {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".json") {
		if _, err := jsonschema.UnmarshalJSON(bytes.NewReader(src)); err != nil {
			return nil
		}
		return src
	}
	text, err := config.AsJSON(src)
	if err != nil {
		return nil
	}
	return text
}

// Every configuration that loads is one for the schema as well: users' files, the examples, and in HCL their JSON form.
func TestSchemaTakesWhatLoads(t *testing.T) {
	_, compile := schema(t)
	s := compile("")
	ignored := []string{ // what they hold is deprecated or unknown to the schema on purpose
		"agent-templates.hcl", // loads with -ignore-unsupported
		"upper-case.hcl",
	}
	files := 0
	for _, root := range []string{"examples", filepath.Join("testdata", "config", "corpus"), filepath.Join("testdata", "config", "full.hcl"), filepath.Join("testdata", "config", "vault-agent.json"), "packaging"} {
		err := filepath.WalkDir(filepath.Join("..", "..", root), func(path string, entry fs.DirEntry, err error) error {
			if ext := filepath.Ext(path); err != nil || entry.IsDir() || ext != ".hcl" && ext != ".json" {
				return err
			}
			files++
			t.Run(filepath.Base(path), func(t *testing.T) {
				err := judge(t, s, formOf(t, path))
				if known := slices.Contains(ignored, filepath.Base(path)); known != (err != nil) {
					t.Errorf("%v", err)
				}
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Errorf("only %d files", files)
	}
}

// The schema sees these mistakes. What it cannot see is what one key means for another, what is given twice, and what stands outside the file.
func TestSchemaRefusesWhatIsBroken(t *testing.T) {
	_, compile := schema(t)
	s := compile("")
	for _, name := range []string{
		"json-wrong-types.json", "json-list-at-top.json",
		"auth-alicloud.hcl", "auth-approle.hcl", "auth-aws.hcl", "auth-aws-secret.hcl", "auth-azure.hcl", "auth-bad-name.hcl", "auth-cert.hcl", "auth-cf.hcl", "auth-gcp.hcl", "auth-jwt.hcl",
		"auth-kerberos.hcl", "auth-kubernetes.hcl", "auth-ldap.hcl", "auth-method-no-type.hcl", "auth-method-type.hcl", "auth-method-types.hcl", "auth-no-method.hcl",
		"auth-oci.hcl", "auth-token-file.hcl", "auth-two-methods.hcl", "cache-behavior.hcl", "cache-sizes.hcl", "listener-duration-negative.hcl",
		"listener-no-type.hcl", "listener-role.hcl", "listener-type.hcl", "listener-types.hcl", "persist-key-in-place-of-name.hcl",
		"persist-key-missing.hcl", "persist-no-path.hcl", "persist-no-type.hcl", "persist-two-types.hcl", "persist-type.hcl", "sink-mode.hcl", "sink-mode-text.hcl",
		"sink-no-path.hcl", "sink-no-type.hcl", "sink-type.hcl", "strict-unknown.hcl", "telemetry-misspelt.hcl", "telemetry-types.hcl", "top-block-as-text.hcl",
		"top-durations.hcl", "top-lists.hcl", "top-misspelt.hcl", "top-template.hcl", "top-types.hcl", "vault-types.hcl",
	} {
		t.Run(name, func(t *testing.T) {
			text := formOf(t, filepath.Join("..", "..", "testdata", "config", "broken", name))
			if text == nil {
				t.Fatal("it cannot be read")
			}
			if _, ok := errors.AsType[*jsonschema.ValidationError](judge(t, s, text)); !ok {
				t.Errorf("the schema takes it:\n%s", text)
			}
		})
	}
}

// What a key takes and refuses in a file, the schema takes and refuses.
func TestSchemaKnowsEveryKey(t *testing.T) {
	_, compile := schema(t)
	unseen := []string{ // wrong for what is in the text
		"listener.x_forwarded_for_authorized_addrs", "listener.proxy_protocol_authorized_addrs",
	}
	for path, o := range allOptions() {
		stanza, key := "", path
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			stanza, key = path[:i], path[i+1:]
		}
		at := "#/properties/" + key
		if stanza != "" {
			at = "#/$defs/" + stanza + "/properties/" + key
		}
		s := compile(at)
		of := func(written string) error {
			t.Helper()
			text, err := config.AsJSON([]byte("x = " + written))
			if err != nil {
				t.Fatal(err)
			}
			return judge(t, s, bytes.TrimSuffix(bytes.TrimPrefix(text, []byte(`{"x":`)), []byte("}")))
		}
		if o.good != "{}" {
			if err := of(o.good); err != nil {
				t.Errorf("%s = %s: %v", path, o.good, err)
			}
		}
		if o.bad == "" {
			continue
		}
		if seen := of(o.bad) != nil; seen == slices.Contains(unseen, path) {
			t.Errorf("%s = %s: the schema sees the mistake: %v", path, o.bad, seen)
		}
	}
}

// Every way to write listeners, logins, sinks and rules in JSON, and mistakes in them: the schema takes what loads.
func TestSchemaKnowsTheShapesOfLabels(t *testing.T) {
	_, compile := schema(t)
	s := compile("")
	const plain = `{"tls_disable": true}`
	login := func(path string) string {
		return `"method": {"cf": {"config": {"role": "r"}}}, "sink": {"file": {"config": {"path": "` + path + `"}}}`
	}
	method := func(m string) string {
		return `{"auto_auth": {"method": ` + m + `, "sink": {"file": {"config": {"path": "p"}}}}}`
	}
	sinks := func(s string) string {
		return `{"auto_auth": {"method": {"cf": {"config": {"role": "r"}}}, ` + s + `}}`
	}
	const jwt, cf = `{"path": "p", "role": "r"}`, `{"role": "r"}`
	for text, good := range map[string]bool{
		`{"listener": {"tcp": ` + plain + `}}`: true,
		`{"listener": {"tcp": [` + plain + `, ` + plain + `], "unix": {"address": "/s", "tls_disable": true}}}`: true,
		`{"listener": {"type": "TCP", "tls_disable": true}}`:                                                    true,
		`{"listener": [{"tcp": ` + plain + `}, {"type": "tcp", "tls_disable": 1}]}`:                             true,
		`{"listener": []}`: true, `{"listener": null}`: true,
		`{"listener": {}}`: false, `{"listener": {"udp": ` + plain + `}}`: false, `{"listener": {"type": "udp", "tls_disable": true}}`: false,
		`{"listener": {"tcp": {"tls_disable": true, "addrss": "a:1"}}}`: false, `{"listener": {"tcp": 5}}`: false, `{"listener": {"tcp": null}}`: false,

		`{"auto_auth": {` + login("a") + `}}`: true, `{"auto_auth": [{` + login("a") + `}, {"name": "a", ` + login("b") + `}]}`: true,
		`{"auto_auth": {"a": {` + login("a") + `}, "b": [{` + login("b") + `}]}}`: true,
		`{"auto_auth": {"a b": {` + login("a") + `}}}`:                            false, `{"auto_auth": {"metod": {"cf": {}}}}`: false, `{"auto_auth": {}}`: false,

		method(`{"jwt": {"config": ` + jwt + `}}`): true, method(`[{"type": "JWT", "config": [` + jwt + `]}]`): true, method(`{"cert": {}}`): true,
		method(`{"jwt": {"type": "cf", "config": ` + cf + `}}`): true, method(`{"cf": {"type": "jwt", "config": ` + cf + `}}`): false,
		method(`{"jwt": {}}`): false, method(`{"type": "jwt"}`): false, method(`{"type": "jwt", "config": {"path": "p"}}`): false, method(`{"jwt": {"config": null}}`): false,
		method(`{"cf": {"config": ` + cf + `}, "cert": {}}`): false, method(`[]`): false, method(`null`): false, method(`[{"cert": {}}, {"cert": {}}]`): false,

		sinks(`"sink": {"file": [{"config": {"path": "a"}}, {"config": {"path": "b"}}]}`):                                        true,
		sinks(`"sinks": [{"sink": {"type": "file", "config": {"path": "a"}}}, {"sink": [{"file": {"config": {"path": "b"}}}]}]`): true,
		sinks(`"sink": {"file": {"config": {}}}`):                                                                                false, sinks(`"sink": {"file": {"config": {"path": ""}}}`): false, sinks(`"sink": {"config": {"path": "a"}}`): false,

		`{"cache": {}}`: true, `{"cache": [{}]}`: true, `{"cache": [{}, {}]}`: false,
		`{"cache": {"rule": {"a/*": {}, "b": [{"cache": false}]}}}`: true, `{"cache": {"rule": [{"path": "a"}, {"b": {}}]}}`: true,
		`{"cache": {"rule": {}}}`: false, `{"cache": {"rule": {"cache": false}}}`: false, `{"cache": {"rule": {"a": {"cach": false}}}}`: false,
		`{"cache": {"persist": {"file": {"path": "p", "key_file": "k"}}}}`: true, `{"cache": {"persist": {"type": "File", "path": "p", "key_file": "k"}}}`: true,
		`{"cache": {"persist": {"file": {"path": "p"}}}}`: false, `{"cache": {"persist": {"type": "file", "path": "p"}}}`: false,
		`{"cache": {"persist": {"env": {"path": "p"}, "systemd": {"path": "p"}}}}`: false,

		`{"template": {}}`: false, `{"storage": {"any": 5}}`: true, `{"pid_fiel": "p"}`: false, `{"pid_file": null}`: true,
	} {
		if err := judge(t, s, []byte(text)); (err == nil) != good {
			t.Errorf("%s: the schema says %v", text, err)
		}
		dir := t.TempDir()
		for name, src := range map[string]string{"1.hcl": tcp, "2.json": text} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(src), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := config.Load(config.Options{Paths: []string{dir}, LookupEnv: env{}.lookup, Strict: true}); (err == nil) != good {
			t.Errorf("%s: the loader says %v", text, err)
		}
	}
}

// Whatever loads without a warning in lower case is a configuration for the schema.
func FuzzSchema(f *testing.F) {
	addSeeds(f, ".json")
	_, compile := schema(f)
	s := compile("")
	for _, src := range []string{
		`{"listener":[{"type":"tcp","tls_disable":1,"http_read_timeout":"-1s","max_request_size":" 5 kib","max_concurrent_requests":"0x10"}],"cache":{"renew_at":"50%","renew_rate":1e2}}`,
		`{"auto_auth":{"a":{"method":{"jwt":{"min_backoff":1.5,"config":{"path":"x","role":"y","jwt_read_period":"1.5h"}}},"sinks":[{"sink":{"file":{"config":{"path":"x","mode":416}}}}]}}}`,
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		src = strings.ToLower(src)
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(src))
		if _, isObject := doc.(map[string]any); err != nil || !isObject || len(src) > maxFuzzInput || strings.Contains(src, "null") { // null makes even an unknown key one that is not there
			return
		}
		cfg, err := config.Parse("f", []byte(src), config.Options{LookupEnv: env{}.lookup, Strict: true})
		if err != nil || len(cfg.Warnings) > 0 {
			return
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("it loads, but: %v\n%s", err, src)
		}
	})
}
