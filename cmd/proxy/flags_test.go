package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// Every flag of `vault proxy` and `vault agent` is taken, and means what it means there.
func TestFlagsOfVault(t *testing.T) {
	yes, no := true, false
	for given, want := range map[string]config.Options{
		"-config=a -config b":               {Paths: []string{"a", "b"}},
		"--exit-after-auth":                 {ExitAfterAuth: &yes},
		"-exit-after-auth=false":            {ExitAfterAuth: &no},
		"-log-level=debug":                  {LogLevel: "debug"},
		"-log-format=json":                  {LogFormat: "json"},
		"-log-file=/l":                      {LogFile: config.LogFileFlags{Path: "/l"}},
		"-log-rotate-bytes=5":               {LogFile: config.LogFileFlags{RotateBytes: "5"}},
		"-log-rotate-duration=1h":           {LogFile: config.LogFileFlags{RotateDuration: "1h"}},
		"-log-rotate-max-files=-1":          {LogFile: config.LogFileFlags{RotateMaxFiles: "-1"}},
		"-combine-logs -disable-gated-logs": {},
		"-strict":                           {Strict: true},
		"-strict-config":                    {Strict: true},
		"-ignore-unsupported":               {IgnoreUnsupported: true},
		"-address=http://v":                 {Vault: config.VaultFlags{Address: "http://v"}},
		"-ca-cert=a -ca-path=b":             {Vault: config.VaultFlags{CACert: "a", CAPath: "b"}},
		"-client-cert=a -client-key=b":      {Vault: config.VaultFlags{ClientCert: "a", ClientKey: "b"}},
		"-tls-server-name=v":                {Vault: config.VaultFlags{TLSServerName: "v"}},
		"-tls-skip-verify":                  {Vault: config.VaultFlags{TLSSkipVerify: &yes}},
		"-tls-skip-verify=false":            {Vault: config.VaultFlags{TLSSkipVerify: &no}},
		"-namespace=a":                      {Vault: config.VaultFlags{Namespace: "a"}},
		"-ns=b -namespace=a":                {Vault: config.VaultFlags{Namespace: "b"}},
		"-disable-redirects":                {Vault: config.VaultFlags{DisableRedirects: true}},
		"-header X-A=1 -header=X-B=2":       {Vault: config.VaultFlags{Headers: []string{"X-A=1", "X-B=2"}}},
		"-agent-address=http://x":           {Idle: []string{"-agent-address"}},
		"-mfa=a -wrap-ttl=1s -unlock-key=k": {Idle: []string{"-mfa", "-unlock-key", "-wrap-ttl"}},
		"-policy-override -non-interactive -output-curl-string -output-policy": {
			Idle: []string{"-non-interactive", "-output-curl-string", "-output-policy", "-policy-override"},
		},
	} {
		f, err := parseFlags(strings.Fields(given), io.Discard)
		if got := f.options(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", given, got, err, want)
		}
	}
}

func TestRunEnds(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.hcl")
	if err := os.WriteFile(good, []byte("listener \"tcp\" { tls_disable = true }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	misspelt := filepath.Join(t.TempDir(), "misspelt.hcl")
	if err := os.WriteFile(misspelt, []byte("listener \"tcp\" {\n  tls_disable = true\n  tls_cert_fil = \"x\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]struct {
		code int
		says string
	}{
		"-test-verify-only -config=" + good:                           {exitOK, ""},
		"proxy -test-verify-only -config=" + good:                     {exitOK, ""},
		"agent -test-verify-only -config=" + good:                     {exitOK, ""},
		"-test-verify-only -config=" + misspelt:                       {exitOK, "did you mean"},
		"-test-verify-only -strict -config=" + misspelt:               {exitFailure, "misspelt.hcl:3:3: listener: unknown key \"tls_cert_fil\""},
		"-test-verify-only -header=X-Vault-Token=hvs -config=" + good: {exitFailure, "X-Vault-Token is a header of Vault's own"},
		"-test-verify-only -header=hvs -config=" + good:               {exitFailure, "-header: this is no header"},
		"-test-verify-only -mfa=x -config=" + good:                    {exitOK, "-mfa have no effect"},
		"-frob":                  {exitFailure, "-frob"},
		"server -config=" + good: {exitFailure, `"server" is neither a flag nor a command`},
	} {
		var out, errs bytes.Buffer
		code := run(context.Background(), strings.Fields(given), &out, &errs)
		if said := errs.String(); code != want.code || !strings.Contains(said, want.says) || strings.Contains(said, "hvs") || out.Len() > 0 {
			t.Errorf("%s: %d, %q and %q", given, code, out.String(), said)
		}
	}
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"-combine-logs", "-test-verify-only", "-config=" + misspelt}, &out, &errs); code != exitOK || errs.Len() > 0 || !strings.Contains(out.String(), "tls_cert_fil") {
		t.Errorf("-combine-logs: %d, %q and %q", code, out.String(), errs.String())
	}
}
