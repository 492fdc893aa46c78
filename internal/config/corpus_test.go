package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// A user's file of Vault Proxy or Vault Agent, and what must hold once it is loaded.
type realFile struct {
	facts    []string // lines of effective
	warnings string   // all of them; "" means that it loads without a word
}

const tokenAt = "sink /run/vault/token 0640" // of most logins below

var corpus = map[string]realFile{
	"kubernetes-sidecar.json": {facts: []string{
		"vault https://vault.vault.svc:8200 ca /vault/tls/ca.crt", "method kubernetes at auth/kubernetes, 1s to 5m0s, exit true",
		"role web", "token_path /var/run/secrets/kubernetes.io/serviceaccount/token", "sink /home/vault/.vault-token 0640",
		"persist kubernetes /vault/agent-cache keep false exit true", "lends true", "listener 127.0.0.1:8200 tls false", "auto-auth without idle true keep-alive off true",
	}},
	"kubernetes-init.json": {facts: []string{"method kubernetes at auth/kubernetes/prod, 1s to 5m0s, exit false", "namespace team-a/", "exit after auth true", "no cache"}},
	"kubernetes-legacy-agent.hcl": {
		facts:    []string{"lends true", "persist kubernetes /vault/agent-cache keep false exit false", "method kubernetes at auth/kubernetes, 1s to 5m0s, exit false"},
		warnings: "kubernetes-legacy-agent.hcl:15: cache: use_auto_auth_token is deprecated; write it in an api_proxy stanza",
	},
	"vm-approle.hcl": {facts: []string{
		"vault https://vault.example:8200 ca /etc/vault.d/ca.pem", "retries 5", "method approle at auth/approle, 1s to 5m0s, exit false",
		"remove_secret_id_file_after_reading false", "sink /run/vault-proxy/token 0600", "cache", "listener 127.0.0.1:8100 tls false",
	}},
	"vm-approle-wrapped-secret-id.hcl": {facts: []string{
		"vault https://192.0.2.10:8200 ca ", "namespace ops/apps/", "secret_id_response_wrapping_path auth/approle/role/app/secret-id",
		"remove_secret_id_file_after_reading true", "owner 1000 group app",
	}},
	"nomad-workload-identity.hcl": {facts: []string{"method jwt at auth/jwt-nomad, 1s to 5m0s, exit false", "path /secrets/nomad_vault.jwt", "jwt_read_period 30s", "lends force"}},
	"aws-iam.hcl":                 {facts: []string{"method aws at auth/aws, 1s to 2m0s, exit false", "type iam", "role dev-role-iam", "region eu-central-1", "sink /tmp/file-foo 0640"}},
	"aws-ec2.json":                {facts: []string{"method aws at auth/aws-ec2, 1s to 5m0s, exit false", "type ec2", "credential_poll_interval 2m0s", "sink /run/a 0640", "sink /run/b 0640"}},
	"azure-msi.hcl":               {facts: []string{"method azure at auth/azure, 1s to 5m0s, exit false", "resource https://management.azure.com/", tokenAt}},
	"gcp-gce.hcl":                 {facts: []string{"method gcp at auth/gcp, 1s to 5m0s, exit false", "type gce", "service_account default", tokenAt}},
	"gcp-iam.hcl":                 {facts: []string{"type iam", "jwt_exp 30", "project project", tokenAt}},
	"cert-mtls.hcl":               {facts: []string{"method cert at auth/cert, 1s to 5m0s, exit false", "reload true", "reload_period 5m0s", "client certificate /etc/pki/host.pem /etc/pki/host-key.pem"}},
	"ldap.hcl":                    {facts: []string{"method ldap at auth/ldap, 1s to 5m0s, exit false", "remove_password_after_reading false", "password_read_period 1m0s"}},
	"kerberos.hcl":                {facts: []string{"realm EXAMPLE", "disable_fast_negotiation true", tokenAt}},
	"oci.hcl":                     {facts: []string{"type instance", "role vm", tokenAt}},
	"alicloud.hcl":                {facts: []string{"region eu-central-1", "credential_poll_interval 2m0s"}},
	"cf.hcl":                      {facts: []string{"method cf at auth/pcf, 1s to 5m0s, exit false", "role app"}},
	"dev-token-file.hcl":          {facts: []string{"token_file_path /home/dev/.vault-token", "listener localhost:8100 tls false", "lends true"}},
	"sinks-wrapped-encrypted.hcl": {facts: []string{"sink /run/wrapped 0640", "wrapped 5m0s", "sink /run/encrypted 0640", "encrypted /run/dh-pub.json derive true aad app-1"}},
	"login-wrapped.hcl":           {facts: []string{"login wrapped 5m0s", "sink /run/wrapped 0640"}},
	"listeners-several.hcl": {facts: []string{
		"vault https://[2001:db8::1]:8200 ca ", "listener 127.0.0.1:8100 tls false", "header required", "listener 0.0.0.0:8443 tls true", "read 1m0s size 1048576",
		"listener [::1]:8101 tls false", "metrics only", "read 30s size 33554432",
	}},
	"listener-tls-mtls.hcl": {facts: []string{"listener 0.0.0.0:8443 tls true"}},
	"listener-unix.hcl":     {facts: []string{"vault unix:///run/vault.sock ca ", "listener /run/proxy.sock tls false", "quit"}},
	"cache-persist-force.hcl": {facts: []string{
		"reauth true", "lends force", "persist kubernetes /vault/agent-cache keep true exit true", "consistency 2", "listener 127.0.0.1:8200 tls false",
	}},
	"telemetry.hcl": {facts: []string{"listener 127.0.0.1:8200 tls false"}},
	"connections.hcl": {facts: []string{
		"auto-auth without idle true keep-alive off false", "proxying without idle true keep-alive off true",
	}},
	"log-rotation.hcl": {facts: []string{"log DEBUG json", "log file /var/log/vault/proxy.log 1048576 168h0m0s 5"}},
	"upper-case.hcl":   {facts: []string{"vault https://vault.example:8200 ca ", "retries 0", "listener 127.0.0.1:8100 tls false", "pid file /run/pid"}},
	"heredoc.hcl":      {facts: []string{"pid file /run/pid\n", "listener 127.0.0.1:8080 tls false"}},
	"retry-numbers.json": {facts: []string{
		"retries 7", "listener 127.0.0.1:8100 tls false", "listener 127.0.0.1:8101 tls false", "cache", "exit after auth false",
	}},
	"windows.hcl": {facts: []string{`pid file C:\ProgramData\vault\pid`, "listener 127.0.0.1:8100 tls false"}},
	"server-leftovers.hcl": {
		facts: []string{"listener 127.0.0.1:8100 tls false"},
		warnings: `server-leftovers.hcl:1: ui has no effect: only a Vault server reads it; remove it
server-leftovers.hcl:2: disable_mlock has no effect: it has none in Vault Proxy either; remove it
server-leftovers.hcl:3: api_addr has no effect: only a Vault server reads it; remove it
server-leftovers.hcl:5: storage has no effect: only a Vault server reads it; remove it
server-leftovers.hcl:10: seal has no effect: only a Vault server reads it; remove it
server-leftovers.hcl:16: listener: cluster_address has no effect: only a Vault server reads it; remove it
server-leftovers.hcl:18: listener: telemetry has no effect: only a Vault server reads it; remove it`,
	},
	"agent-templates.hcl": {
		facts: []string{tokenAt},
		warnings: "agent-templates.hcl:13: template_config has no effect: there are no templates yet; remove it\n" +
			"agent-templates.hcl:18: template is ignored: it is not built yet; remove it, or keep Vault Agent for it",
	},
	"directory": {facts: []string{"vault https://vault.example:8200 ca ", "log WARN standard", "lends true", "listener 127.0.0.1:8100 tls false", "listener 127.0.0.1:8101 tls false"}},
}

func TestUsersFilesLoadWithoutAWord(t *testing.T) {
	t.Chdir(filepath.Join("..", "..", "testdata", "config", "corpus"))
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 24 || len(entries) != len(corpus) {
		t.Errorf("%d files, and expectations for %d", len(entries), len(corpus))
	}
	for name, tc := range corpus {
		t.Run(name, func(t *testing.T) {
			cfg, err := loadNamed(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(cfg.Warnings); got != tc.warnings {
				t.Errorf("warnings:\n%s\nwant:\n%s", got, tc.warnings)
			}
			got := effective(cfg)
			for _, fact := range tc.facts {
				if !slices.Contains(got, fact) {
					t.Errorf("%q does not hold. What does:\n%s", fact, strings.Join(got, "\n"))
				}
			}
		})
	}
}

// What is written in HCL means the same in Vault's JSON form.
func TestUsersFilesMeanTheSameInJSON(t *testing.T) {
	compared := 0
	for name := range corpus {
		if filepath.Ext(name) != ".hcl" {
			continue
		}
		src := fixture(t, filepath.Join("corpus", name))
		cfg, err := config.Parse(name, src, config.Options{LookupEnv: env{}.lookup})
		if err != nil {
			continue // TestUsersFilesLoadWithoutAWord tells
		}
		asJSON, err := config.AsJSON(src)
		if err != nil {
			t.Fatal(err)
		}
		again, err := config.Parse(name, asJSON, config.Options{LookupEnv: env{}.lookup})
		if err != nil {
			t.Errorf("%s: %v\nin %s", name, err, asJSON)
			continue
		}
		if a, b := strings.Join(effective(cfg), "\n"), strings.Join(effective(again), "\n"); a != b {
			t.Errorf("%s means\n%s\n\nand in JSON\n%s", name, a, b)
		}
		compared++
	}
	if compared < 20 {
		t.Errorf("%d files compared", compared)
	}
}

// effective says what a configuration means, one fact a line.
func effective(c *config.Config) (facts []string) {
	add := func(format string, args ...any) { facts = append(facts, fmt.Sprintf(format, args...)) }
	add("vault %s ca %s", c.Vault.Address, c.Vault.CACert)
	add("client certificate %s %s", c.Vault.ClientCert, c.Vault.ClientKey)
	add("retries %d", c.Vault.Retry.NumRetries)
	add("pid file %s", c.PIDFile)
	add("exit after auth %v", c.ExitAfterAuth)
	add("lends %v", c.APIProxy.UseAutoAuthToken)
	add("consistency %d", c.APIProxy.Consistency)
	add("log %v %s", c.LogLevel, c.LogFormat)
	if f := c.LogFile; f != nil {
		add("log file %s %d %v %d", f.Path, f.RotateBytes, f.RotateDuration, f.RotateMaxFiles)
	}
	add("auto-auth without idle %v keep-alive off %v", c.Connections.AutoAuth.DisableIdle, c.Connections.AutoAuth.DisableKeepAlives)
	add("proxying without idle %v keep-alive off %v", c.Connections.Proxying.DisableIdle, c.Connections.Proxying.DisableKeepAlives)
	for _, a := range c.AutoAuths {
		facts = append(facts, effectiveLogin(a)...)
	}
	if c.Cache == nil {
		add("no cache")
	} else {
		add("cache")
		if p := c.Cache.Persist; p != nil {
			add("persist %s %s keep %v exit %v", p.Type, p.Path, p.KeepAfterImport, p.ExitOnErr)
		}
	}
	for _, l := range c.Listeners {
		add("listener %s tls %v", l.Address, !l.TLSDisable)
		add("read %v size %d", l.ReadTimeout, l.MaxRequestSize)
		for _, role := range []struct {
			holds bool
			name  string
		}{{l.Role == config.RoleMetricsOnly, "metrics only"}, {l.Role == config.RoleAdmin, "admin"}, {l.EnableStatus, "status"}, {l.RequireRequestHeader, "header required"}, {l.EnableQuit, "quit"}} {
			if role.holds {
				add("%s", role.name)
			}
		}
	}
	return facts
}

func effectiveLogin(a config.AutoAuth) (facts []string) {
	add := func(format string, args ...any) { facts = append(facts, fmt.Sprintf(format, args...)) }
	m := a.Method
	add("reauth %v", a.ReauthOnNewCredentials)
	add("method %s at %s, %v to %v, exit %v", m.Type, m.MountPath, m.MinBackoff, m.MaxBackoff, m.ExitOnErr)
	add("namespace %s", m.Namespace)
	add("login wrapped %v", m.WrapTTL)
	for _, key := range []string{
		"role", "type", "region", "path", "token_path", "resource", "service_account", "project", "realm", "token_file_path", "secret_id_response_wrapping_path",
	} {
		add("%s %s", key, m.Settings.String(key))
	}
	for _, key := range []string{"reload", "disable_fast_negotiation", "remove_secret_id_file_after_reading", "remove_password_after_reading"} {
		add("%s %v", key, m.Settings.Bool(key))
	}
	for _, key := range []string{"credential_poll_interval", "jwt_read_period", "password_read_period", "reload_period"} {
		add("%s %v", key, m.Settings.Duration(key))
	}
	add("jwt_exp %d", m.Settings.Int("jwt_exp"))
	for _, s := range a.Sinks {
		add("sink %s %#o", s.Path, s.Mode)
		add("owner %s group %s", s.Owner, s.Group)
		add("wrapped %v", s.WrapTTL)
		add("encrypted %s derive %v aad %s", s.DHPath, s.DeriveKey, s.AAD)
	}
	return facts
}
