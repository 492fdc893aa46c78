package config_test

import (
	"reflect"
	"strings"
	"testing"

	"leasehold/internal/config"
)

const unixListener = "listener \"unix\" {\naddress = \"/run/l.sock\"\ntls_disable = true\n"

func TestRights(t *testing.T) {
	for name, src := range map[string]string{
		"HCL": unixListener + `
  allow_users  = ["app", 1001]
  allow_groups = "web, 7"
  rule {
    path    = "/v1/kv/data/app/*"
    methods = ["get", "LIST"]
    action  = "allow"
    users   = [1001]
  }
  rule "/proxy/v1/quit" { action = "deny" }
}`,
		"JSON": `{"listener": {"unix": {"address": "/run/l.sock", "tls_disable": true, "allow_users": ["app", 1001], "allow_groups": "web, 7",
  "rule": [{"path": "/v1/kv/data/app/*", "methods": ["get", "LIST"], "action": "allow", "users": [1001]}, {"/proxy/v1/quit": {"action": "deny"}}]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := mustParse(t, src).Listeners[0].Rights
			for i := range got.Rules {
				got.Rules[i].Pos = config.Pos{}
			}
			want := config.Rights{
				Callers: config.Callers{Users: []string{"app", "1001"}, Groups: []string{"web", "7"}}, DenyOthers: true,
				Rules: []config.AccessRule{
					{Path: "kv/data/app/*", Methods: []string{"GET", "LIST"}, Callers: config.Callers{Users: []string{"1001"}}},
					{Path: "/proxy/v1/quit", Deny: true},
				},
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("rights = %+v\nwant     %+v", got, want)
			}
		})
	}
}

func TestDefaultAction(t *testing.T) {
	const rule = "rule \"kv/*\" { action = \"deny\" }\n"
	for src, denies := range map[string]bool{"": false, rule: true, rule + "default_action = \"deny\"\n": true, rule + "default_action = \"allow\"\n": false} {
		if got := mustParse(t, unixListener+src+"}").Listeners[0].Rights.DenyOthers; got != denies {
			t.Errorf("%q denies what no rule matches: %t, want %t", src, got, denies)
		}
	}
}

// What could open a listener to more than is meant is an error, never a warning.
func TestBrokenRights(t *testing.T) {
	const tcpListener = "listener \"tcp\" {\naddress = \"127.0.0.1:8200\"\ntls_disable = true\n"
	for name, tc := range map[string]struct{ src, want string }{
		"users on tcp":                  {tcpListener + "allow_users = [\"app\"]", `t.hcl:4: listener: allow_users needs listener "unix"`},
		"groups of a rule on tcp":       {tcpListener + "rule \"kv/*\" {\naction = \"allow\"\ngroups = [\"app\"]\n}", `t.hcl:6: listener: rule.groups needs listener "unix"`},
		"CN without certificates":       {tcpListener + "allow_client_cn = [\"app\"]", "t.hcl:4: listener: allow_client_cn needs client certificates that are verified"},
		"SAN that nobody verifies":      {"listener \"tcp\" {\ntls_cert_file = \"c\"\ntls_key_file = \"k\"\nallow_client_san = [\"app\"]", "t.hcl:4: listener: allow_client_san needs client"},
		"nobody":                        {unixListener + "allow_users = []", "t.hcl:4: listener: allow_users names nothing"},
		"nobody, as text":               {unixListener + "allow_groups = \"\"", "t.hcl:4: listener: allow_groups names nothing"},
		"no method":                     {unixListener + "rule \"kv/*\" {\naction = \"allow\"\nmethods = []\n}", "t.hcl:6: listener: rule.methods names nothing"},
		"a method that Vault lacks":     {unixListener + "rule \"kv/*\" {\naction = \"allow\"\nmethods = [\"READ\"]\n}", `t.hcl:6: listener: rule.methods has "READ"`},
		"no action":                     {unixListener + "rule \"kv/*\" {}", "t.hcl:4: listener: rule.action is required"},
		"another action":                {unixListener + "rule \"kv/*\" {\naction = \"permit\"\n}", `t.hcl:5: listener: rule.action must be "allow" or "deny", not "permit"`},
		"no path":                       {unixListener + "rule {\naction = \"allow\"\n}", "t.hcl:4: listener: a rule needs the path that it is for"},
		"a star in the middle":          {unixListener + "rule \"kv/*/x\" { action = \"deny\" }", `t.hcl:4: listener: rule "kv/*/x": * stands for anything`},
		"a path that nobody can ask":    {unixListener + "rule \"kv//x\" { action = \"deny\" }", `t.hcl:4: listener: rule "kv//x" matches nothing`},
		"an encoded path":               {unixListener + "rule \"kv/a%20b\" { action = \"deny\" }", `t.hcl:4: listener: rule "kv/a%20b": write the path as it is`},
		"a misspelt list":               {unixListener + "alow_users = [\"app\"]", `t.hcl:4: listener: unknown key "alow_users" would leave the listener open to more than is meant; did you mean "allow_users"?`},
		"a misspelt list of a rule":     {unixListener + "rule \"kv/*\" {\naction = \"allow\"\nuser = [\"app\"]\n}", `t.hcl:6: listener: a rule has no key "user"`},
		"a default that decides naught": {unixListener + "default_action = \"deny\"", "t.hcl:4: listener: default_action has nothing to decide"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.src + "\n}\n")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v\nwant %s", err, tc.want)
			}
		})
	}
	const mtls = "listener \"tcp\" {\ntls_cert_file = \"c\"\ntls_key_file = \"k\"\ntls_require_and_verify_client_cert = true\n"
	for _, name := range []string{"a*.example.com", "*", "*.*.com", "*.10.0.0.1", "*.a@b", "spiffe://x/*"} {
		if _, err := parse(mtls + "allow_client_san = [\"" + name + "\"]\n}\n"); err == nil || !strings.Contains(err.Error(), "* stands for the first label") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := parse(mtls + "allow_client_san = [\"*.example.com\", \"spiffe://x/y\", \"10.0.0.1\", \"a@b\"]\n}\n"); err != nil {
		t.Error(err)
	}
}
