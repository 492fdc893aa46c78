package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/test/e2e/realvault"
)

// validate runs the command on a file, and returns all that it prints and its exit code.
func validate(t *testing.T, hcl string, args ...string) (output string, code int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proxy.hcl")
	if err := os.WriteFile(path, []byte(hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, append([]string{"validate", "-config=" + path}, args...)...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

func TestValidate(t *testing.T) {
	t.Parallel()
	v, err := startVault(realvault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	remember(v.RootToken)
	const port, secret = "listener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}\n", "do-not-show-this"
	up := "vault { address = \"" + v.Address + "\" }\n" + port
	aws := "auto_auth {\n  method \"aws\" {\n    config = {\n      type = \"iam\"\n      role = \"r\"\n      access_key = \"" + secret + "\"\n      secret_key = [\"" + secret + "\"]\n    }\n  }\n}\n"
	check := func(hcl, want string, code int, args ...string) {
		t.Helper()
		out, got := validate(t, hcl, args...)
		if got != code || !strings.Contains(out, want) || strings.Contains(out, secret) {
			t.Errorf("exit code %d, want %d and %q:\n%s", got, code, want, out)
		}
	}
	check(up, "the configuration is good", 0)
	check(up+"pid_fiel = \"x\"\n", `unknown key "pid_fiel"; did you mean "pid_file"?`, 1)
	check(up+"pid_file = \"/nowhere/at/all\"\n", "proxy.hcl:6:1: the directory of pid_file", 1)
	check(up+"pid_file = \"/nowhere/at/all\"\n", `"valid":false`, 1, "-json")
	check(up, `{"valid":true,"errors":[],"warnings":[]}`, 0, "-json")
	check(up+aws, "secret_key must be text", 1)
	check(up, "is active", 0, "-connect")
	if err := v.Client().Sys().Seal(); err != nil {
		t.Fatal(err)
	}
	check(up, "is sealed", 0, "-connect")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	check(up, "does not answer", 1, "-connect")
}
