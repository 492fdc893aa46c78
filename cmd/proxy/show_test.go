package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shownFile = `pid_fiel = "x"
vault {
  address   = "http://file.example:1"
  namespace = "file"
  ca_cert   = "file.pem"
}
auto_auth {
  method "aws" {
    config = { type = "iam", role = "reader", secret_key = "hunter2" }
  }
  sink "file" { config = { path = "/run/token" } }
}
listener "tcp" {
  tls_disable = true
}
`

// row is what config show -json prints of each value.
type row struct {
	Path   string
	Value  any
	Secret bool
	Source struct {
		Kind, Name, File string
		Line             int
	}
}

func TestConfigShowSaysWhereValuesComeFrom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proxy.hcl")
	if err := os.WriteFile(file, []byte(shownFile), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VAULT_NAMESPACE", "outside")
	show := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		code := run(context.Background(), append([]string{"config", "show", "-config", file, "-ca-cert=flag.pem", "-header=X-Tenant=hunter2"}, args...), &out, &errs)
		if code != exitOK || !strings.Contains(errs.String(), `warning: `+file+`:1: unknown key "pid_fiel"`) {
			t.Errorf("exit code %d, and %s", code, errs.String())
		}
		if strings.Contains(out.String()+errs.String(), "hunter2") {
			t.Errorf("a secret is shown:\n%s", out.String())
		}
		return out.String()
	}
	text := show()
	for _, want := range []string{
		`address = "http://file.example:1" # ` + file + ":3", `namespace = "outside" # VAULT_NAMESPACE`, `ca_cert = "flag.pem" # -ca-cert`, `max_wait = "10s" # default`,
		`secret_key = (secret) # ` + file + ":9", `role = "reader" # ` + file + ":9", `# -header X-Tenant = (secret) # -header`,
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	var rows []row
	if err := json.Unmarshal([]byte(show("-json")), &rows); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, r := range rows {
		kinds[r.Path] = r.Source.Kind
		if r.Path == "auto_auth[0].method.config.secret_key" && (r.Value != "(secret)" || !r.Secret || r.Source.File != file || r.Source.Line != 9) {
			t.Errorf("%+v", r)
		}
	}
	for path, want := range map[string]string{
		"vault.address": "file", "vault.namespace": "environment", "vault.ca_cert": "flag", "vault.retry.max_wait": "default", "listener[0].type": "file", "-header X-Tenant": "flag",
	} {
		if kinds[path] != want {
			t.Errorf("%s is of kind %q, want %q", path, kinds[path], want)
		}
	}
}

// What the daemon refuses, show refuses in the same words.
func TestConfigShowRefusesWhatTheDaemonRefuses(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.hcl")
	if err := os.WriteFile(broken, []byte("pid_fiel = 1\npid_file = 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-config=" + broken}, {"-config=" + broken, "-strict"}, {"-config=" + broken + ".none"}} {
		var out, said, dry, saidDry bytes.Buffer
		code := run(context.Background(), append([]string{"config", "show"}, args...), &out, &said)
		want := run(context.Background(), append([]string{"-test-verify-only"}, args...), &dry, &saidDry)
		if code != want || code != exitFailure || said.String() != saidDry.String() || out.Len() > 0 {
			t.Errorf("%v: %d and %d\n%s\n%s", args, code, want, said.String(), saidDry.String())
		}
	}
	for _, args := range []string{"config", "config frob", "config show -frob", "config show"} {
		var out, said bytes.Buffer
		if code := run(context.Background(), strings.Fields(args), &out, &said); code != exitFailure || said.Len() == 0 {
			t.Errorf("%s: %d, %q", args, code, said.String())
		}
	}
}

// The page names the variables that have no key in a file. Each is shown when it is set.
func TestVariablesWithoutAKeyAreShown(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, names, _ := strings.Cut(string(page), "\nAlso read: ")
	names, _, ok := strings.Cut(names, "\n\n")
	file := filepath.Join(t.TempDir(), "proxy.hcl")
	if err := os.WriteFile(file, []byte("listener \"tcp\" { tls_disable = true }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var variables []string
	for i, name := range strings.Split(names, "`") {
		if i%2 == 1 && name != "VAULT_AGENT_ADDR" { // ignored
			variables = append(variables, name)
			t.Setenv(name, "1")
			if strings.HasSuffix(name, "PROXY") || strings.HasSuffix(name, "PROXY_ADDR") {
				t.Setenv(name, "http://127.0.0.1:1")
			}
		}
	}
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"config", "show", "-config=" + file}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d, %s", code, errs.String())
	}
	for _, name := range variables {
		if !strings.Contains(out.String(), "# "+name+" = ") {
			t.Errorf("%s is not shown", name)
		}
	}
	if !ok || len(variables) < 6 {
		t.Errorf("the page names only %v", variables)
	}
}
