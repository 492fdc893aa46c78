package config_test

import (
	"strings"
	"testing"

	"leasehold/internal/vault"
)

// one is a stanza's inside without problems, whose sink writes to path.
func one(path string) string {
	return approle + `sink "file" { config = { path = "` + path + `" } }` + "\n"
}

const lends = "api_proxy { use_auto_auth_token = true }\n"

func TestNamesOfAutoAuth(t *testing.T) {
	const (
		config = `"method": {"approle": {"config": {"role_id_file_path": "r"}}}`
		sink   = `"sink": {"file": {"config": {"path": "`
	)
	for name, c := range map[string]struct{ src, want string }{
		"none":           {"auto_auth {\n" + one("a") + "}\n", `""`},
		"label":          {"auto_auth \"a-1_B\" {\n" + one("a") + "}\n", `"a-1_B"`},
		"key":            {"auto_auth {\nname = \"a\"\n" + one("a") + "}\n", `"a"`},
		"key before":     {"auto_auth \"b\" {\nname = \"a\"\n" + one("a") + "}\n", `"a"`},
		"empty label":    {"auto_auth \"\" {\n" + one("a") + "}\n", `""`},
		"block in block": {"auto_auth {\n  a {\n" + one("a") + "  }\n}\n", `"a"`},
		"several":        {"auto_auth \"b\" {\n" + one("b") + "}\nauto_auth {\n" + one("a") + "}\nauto_auth \"a\" {\n" + one("c") + "}\n", `"b" "" "a"`},
		"JSON":           {`{"auto_auth": {` + config + `, ` + sink + `a"}}}}}`, `""`},
		"JSON key":       {`{"auto_auth": {"name": "a", ` + config + `, ` + sink + `a"}}}}}`, `"a"`},
		"JSON names":     {`{"auto_auth": {"a": {` + config + `, ` + sink + `a"}}}}, "b": {` + config + `, ` + sink + `b"}}}}}}`, `"a" "b"`},
		"JSON list":      {`{"auto_auth": [{` + config + `, ` + sink + `a"}}}}, {"b": {` + config + `, ` + sink + `b"}}}}}]}`, `"" "b"`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, c.src)
			var got []string
			for _, a := range cfg.AutoAuths {
				got = append(got, `"`+string(a.Name)+`"`)
				if cfg.AutoAuthNamed(a.Name).Pos != a.Pos || a.Method.Type != "approle" || len(a.Sinks) != 1 {
					t.Errorf("%q is %+v", a.Name, a)
				}
			}
			if strings.Join(got, " ") != c.want || len(cfg.Warnings) > 0 {
				t.Errorf("the names are %s, want %s; warnings %v", strings.Join(got, " "), c.want, cfg.Warnings)
			}
		})
	}
}

func TestListenersChooseByName(t *testing.T) {
	src := "auto_auth {\n" + one("a") + "}\nauto_auth \"payments\" {\n" + one("b") + "}\n" + lends +
		"listener \"tcp\" {\n  tls_disable = true\n}\nlistener \"tcp\" {\n  tls_disable = true\n  address = \"127.0.0.1:1\"\n  auto_auth = \"payments\"\n}\n"
	cfg := mustParse(t, src)
	if cfg.Listeners[0].AutoAuth != "" || cfg.Listeners[1].AutoAuth != "payments" {
		t.Errorf("listeners of %q and %q", cfg.Listeners[0].AutoAuth, cfg.Listeners[1].AutoAuth)
	}
	if cfg.AutoAuthNamed("") != &cfg.AutoAuths[0] || cfg.AutoAuthNamed("payments") != &cfg.AutoAuths[1] || cfg.AutoAuthNamed("other") != nil {
		t.Error("stanzas are not found by their names")
	}
	cfg = mustParse(t, strings.Replace(src, lends, "", 1))
	if got, want := lines(cfg.Warnings), "t.hcl:15: listener: auto_auth has no effect without api_proxy.use_auto_auth_token; set use_auto_auth_token, or remove the key"; got != want {
		t.Errorf("warnings = %s, want %s", got, want)
	}
}

func TestBrokenNames(t *testing.T) {
	listens := func(name string) string {
		return "listener \"tcp\" {\n  tls_disable = true\n  auto_auth = \"" + name + "\"\n}\n"
	}
	for name, tc := range map[string]struct{ src, want string }{
		"two without a name": {
			"auto_auth {\n" + one("a") + "}\nauto_auth {\n" + one("b") + "}\n",
			`t.hcl:5: auto_auth: only one "auto_auth" block without a name is permitted; merge it with the one at line 1, or give it a name: auto_auth "payments" { ... }`,
		},
		"two of one name": {
			"auto_auth \"a\" {\n" + one("a") + "}\n\nauto_auth \"b\" {\n name = \"a\"\n" + one("b") + "}\n",
			`t.hcl:6: auto_auth: the name "a" is that of the stanza at line 1; give it another name`,
		},
		"a name with a blank": {
			"auto_auth \"my app\" {\n" + one("a") + "}\n",
			`t.hcl:1: auto_auth: the name "my app" must be up to 64 letters, digits, _ and -; write for example auto_auth "payments" { ... }`,
		},
		"a name that is too long": {
			"auto_auth {\n  name = \"" + strings.Repeat("a", 65) + "\"\n" + one("a") + "}\n",
			`t.hcl:2: auto_auth: the name "` + strings.Repeat("a", 60) + `..." must be up to 64 letters, digits, _ and -; write for example auto_auth "payments" { ... }`,
		},
		"two stanzas with one file": {
			"auto_auth {\n" + one("a") + "}\nauto_auth \"b\" {\n" + one("./a") + "}\n",
			"t.hcl:7: auto_auth: the sink at line 3 writes the token of another auto_auth stanza to the same file; give each sink a path of its own",
		},
		"a listener with a misspelt name": {
			"auto_auth \"payments\" {\n" + one("a") + "}\n" + lends + listens("payment"),
			`t.hcl:1: auto_auth: use_auto_auth_token is set, but no listener has a token to lend: a listener without a name lends that of the stanza without one; ` +
				`write auto_auth = "payments" in a listener, or remove the stanza's name` + "\n" +
				`t.hcl:8: listener: there is no auto_auth "payment"; did you mean "payments"?`,
		},
		"a listener with a name that nobody has": {
			"auto_auth {\n" + one("a") + "}\n" + listens("payments"),
			`t.hcl:7: listener: there is no auto_auth "payments"; add auto_auth "payments" { ... }, or remove the key`,
		},
		"no listener can lend": {
			"auto_auth \"payments\" {\n" + one("a") + "}\n" + lends + tcp,
			`t.hcl:1: auto_auth: use_auto_auth_token is set, but no listener has a token to lend: a listener without a name lends that of the stanza without one; ` +
				`write auto_auth = "payments" in a listener, or remove the stanza's name`,
		},
		"no listener that serves Vault can lend": {
			"auto_auth \"payments\" {\n" + one("a") + "}\n" + lends + strings.Replace(listens("payments"), "tls", "role = \"metrics_only\"\n  tls", 1) + tcp,
			`t.hcl:1: auto_auth: use_auto_auth_token is set, but no listener has a token to lend: a listener without a name lends that of the stanza without one; ` +
				`write auto_auth = "payments" in a listener, or remove the stanza's name`,
		},
		"nothing to do with a token": {
			"auto_auth {\n" + one("a") + "}\nauto_auth \"payments\" {\n" + approle + "}\n" + lends + tcp,
			`t.hcl:5: auto_auth: auto_auth "payments" has no sink, and no listener lends its token; ` +
				`add sink "file" { ... }, or auto_auth = "payments" in a listener and api_proxy { use_auto_auth_token = true }`,
		},
		"a misspelt block is no name": {
			"auto_auth {\n  metod \"approle\" {}\n}\n",
			`t.hcl:1: auto_auth: one and only one "method" block is required; write for example method "approle" { ... }` + "\n" +
				`t.hcl:1: auto_auth: auto_auth requires at least one sink, api_proxy.use_auto_auth_token=true, or cache.cache_static_secrets=true; ` +
				`add sink "file" { ... }, or api_proxy { use_auto_auth_token = true }`,
		},
	} {
		t.Run(name, func(t *testing.T) { wantProblems(t, tc.src, tc.want) })
	}
	if got := vault.AutoAuthName("").Stanza() + " " + vault.AutoAuthName("a").Stanza(); got != `auto_auth auto_auth "a"` {
		t.Error(got)
	}
}
