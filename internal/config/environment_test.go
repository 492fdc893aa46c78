package config_test

import (
	"encoding/pem"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// Each variable that Vault's library reads, with what it takes and what it does not.
func TestVariablesOfVaultsClients(t *testing.T) {
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: newCertificate(t)}))
	for name, tc := range map[string]struct{ good, bad []string }{
		"VAULT_MAX_RETRIES":       {[]string{"0", "12"}, []string{"-1", "many", "1.5", "99999999999"}},
		"VAULT_CLIENT_TIMEOUT":    {[]string{"0", "60", "1m30s", "500ms", "2d"}, []string{"-5s", "soon", "1.5d", "1 m"}},
		"VAULT_RATE_LIMIT":        {[]string{"10", "0.5", "100:200", "1.5:3", "10:0"}, []string{"0", "-1", "fast", "10:-1", "nan", ":5"}},
		"VAULT_SRV_LOOKUP":        {[]string{"true", "0", "F"}, []string{"perhaps", "yes"}},
		"VAULT_DISABLE_REDIRECTS": {[]string{"true", "0"}, []string{"perhaps"}},
		"VAULT_PROXY_ADDR":        {[]string{"http://proxy.example:3128", "http://me:" + secretMark + "@proxy"}, []string{"http://me:" + secretMark + "@proxy:x", "proxy.example:3128", "proxy"}},
		"VAULT_HTTP_PROXY":        {[]string{"socks5://proxy.example"}, []string{"http://me:" + secretMark + "@[", "proxy"}},
		"VAULT_CACERT_BYTES":      {[]string{certificate}, []string{"nonsense", "/etc/ca.pem"}},
		"VAULT_HEADERS": {[]string{"{}", `{"X-Tenant": "a", "Y": ""}`}, []string{
			"X-Tenant=a", `["a"]`, `{"X-Tenant": 5}`, `{"X-Vault-Token": "` + secretMark + `"}`, `{"x-vault-token": "` + secretMark + `"}`,
			`{"a b": "x"}`, `{"": "x"}`, `{"X-Tenant": "` + secretMark + `\n"}`, `{"X-Tenant": "` + secretMark,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range append(tc.good, "") {
				if cfg, err := config.Parse("t.hcl", []byte(tcp), config.Options{LookupEnv: env{name: text}.lookup}); err != nil || len(cfg.Warnings) > 0 {
					t.Errorf("%s: %v", text, err)
				}
			}
			for _, text := range tc.bad {
				_, err := config.Parse("t.hcl", []byte(tcp), config.Options{LookupEnv: env{name: text}.lookup})
				if err == nil {
					t.Errorf("%s is taken", text)
					continue
				}
				got := err.Error()
				if !strings.HasPrefix(got, "environment variable "+name+": ") || strings.Contains(got, "\n") || !strings.Contains(got, "; set ") || strings.Contains(got, secretMark) {
					t.Errorf("%s: %s", text, got)
				}
			}
		})
	}
}

// All of them in one run, with what is wrong in the file.
func TestAllBadVariablesAreReportedAtOnce(t *testing.T) {
	all := env{
		"VAULT_RATE_LIMIT": "fast", "VAULT_MAX_RETRIES": "many", "VAULT_CLIENT_TIMEOUT": "soon", "VAULT_SRV_LOOKUP": "perhaps", "VAULT_HEADERS": `{"X-Vault-A": "b", "C": 1}`,
		"VAULT_PROXY_ADDR": "proxy:1", "VAULT_SKIP_VERIFY": "perhaps",
	}
	_, err := config.Parse("t.hcl", []byte("pid_file = 5\n"+tcp), config.Options{LookupEnv: all.lookup})
	const want = `environment variable VAULT_SKIP_VERIFY: must be true or false; set true or false, or unset it
environment variable VAULT_MAX_RETRIES: must be a whole number of zero or more; set for example 12
environment variable VAULT_CLIENT_TIMEOUT: must be a duration of zero or more; set for example 60s
environment variable VAULT_RATE_LIMIT: must be requests a second above zero, with a burst after a colon; set for example 100:200
environment variable VAULT_SRV_LOOKUP: must be true or false; set true or false, or unset it
environment variable VAULT_PROXY_ADDR: must be the URL of an HTTP forward proxy; set for example http://proxy.example:3128, or unset it
environment variable VAULT_HEADERS: the value of C is not text for a header; set for example {"X-Tenant": "a"}
environment variable VAULT_HEADERS: X-Vault-A is a header of Vault's own; set for example {"X-Tenant": "a"}
t.hcl:1: pid_file must be text, not 5; write for example pid_file = "..."`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

// A CA file named from outside takes the place of the text.
func TestCAText(t *testing.T) {
	for title, o := range map[string]config.Options{
		"variable": {LookupEnv: env{"VAULT_CACERT_BYTES": "nonsense", "VAULT_CACERT": "ca.pem"}.lookup},
		"flag":     {LookupEnv: env{"VAULT_CACERT_BYTES": "nonsense"}.lookup, Vault: config.VaultFlags{CACert: "ca.pem"}},
	} {
		if _, err := config.Parse("t.hcl", []byte(tcp), o); err != nil {
			t.Errorf("%s: %v", title, err)
		}
	}
}

// A variable that clients of this listener have is not the address of Vault, however it is written (CFG-1).
func TestTheAddressOfAListenerIsNotThatOfVault(t *testing.T) {
	for title, tc := range map[string]struct {
		listener, agent string
		want            bool
	}{
		"the same":                      {`"127.0.0.1:8200"`, "http://127.0.0.1:8200", true},
		"with a slash":                  {`"127.0.0.1:8200"`, "http://127.0.0.1:8200/", true},
		"another port":                  {`"127.0.0.1:8200"`, "http://127.0.0.1:8201", false},
		"another host":                  {`"127.0.0.1:8200"`, "http://vault.example:8200", false},
		"another address":               {`"127.0.0.1:8200"`, "http://192.0.2.1:8200", false},
		"localhost":                     {`"127.0.0.1:8200"`, "http://localhost:8200", true},
		"a listener at localhost":       {`"localhost:8200"`, "http://127.0.0.1:8200", true},
		"capitals":                      {`"Box.example:8200"`, "http://box.EXAMPLE:8200", true},
		"everywhere":                    {`":8200"`, "http://127.0.0.1:8200", true},
		"everywhere, IPv6":              {`":8200"`, "http://[::1]:8200", true},
		"every IPv4":                    {`"0.0.0.0:8200"`, "http://localhost:8200", true},
		"every IPv4, and IPv6":          {`"0.0.0.0:8200"`, "http://[::1]:8200", false},
		"every IPv6":                    {`"[::]:8200"`, "http://127.0.0.1:8200", true},
		"everywhere, and another host":  {`"0.0.0.0:8200"`, "http://192.0.2.1:8200", false},
		"everywhere, and a name":        {`"0.0.0.0:8200"`, "http://vault.example:8200", false},
		"everywhere, and another port":  {`"0.0.0.0:8200"`, "http://127.0.0.1:8100", false},
		"the port of http":              {`"127.0.0.1:80"`, "http://127.0.0.1", true},
		"the port of https":             {`"127.0.0.1:443"`, "https://127.0.0.1/", true},
		"one address of the loop alone": {`"127.0.0.1:8200"`, "http://127.0.0.2:8200", false},
		"nothing":                       {`":8200"`, "", false},
		"no address":                    {`":8200"`, "::", false},
		"a socket and tcp":              {`"127.0.0.1:8200"`, "unix:///run/x.sock", false},
	} {
		t.Run(title, func(t *testing.T) {
			hcl := "listener \"tcp\" {\n  address = " + tc.listener + "\n  tls_disable = true\n}\n"
			cfg, err := config.Parse("t.hcl", []byte(hcl), config.Options{LookupEnv: env{"VAULT_AGENT_ADDR": tc.agent}.lookup})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(cfg.Warnings) == 1; got != tc.want || cfg.Vault.Address != "" {
				t.Errorf("warnings %v, address %q", cfg.Warnings, cfg.Vault.Address)
			}
		})
	}
	socket := "listener \"unix\" {\n  address = \"/run/x.sock\"\n  tls_disable = true\n}\n"
	for agent, want := range map[string]int{"unix:///run/x.sock": 1, "unix:///run/y.sock": 0, "http://127.0.0.1:8200": 0} {
		cfg, err := config.Parse("t.hcl", []byte(socket), config.Options{LookupEnv: env{"VAULT_AGENT_ADDR": agent}.lookup})
		if err != nil || len(cfg.Warnings) != want {
			t.Errorf("%s: %v, %v", agent, cfg.Warnings, err)
		}
	}
}

// Whatever the variables hold: a word about each that is wrong, and not one about the file.
func FuzzVariables(f *testing.F) {
	for _, text := range []string{"", "12", "-1", "60s", "100:200", "true", "http://proxy:1", `{"A": "b"}`, `{"X-Vault-A": [1]}`, "\x00", "{", ":", "1:1:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all := env{}
		for _, name := range []string{"RATE_LIMIT", "MAX_RETRIES", "CLIENT_TIMEOUT", "SRV_LOOKUP", "DISABLE_REDIRECTS", "HEADERS", "PROXY_ADDR", "HTTP_PROXY", "CACERT_BYTES", "AGENT_ADDR"} {
			all["VAULT_"+name] = text
		}
		_, err := config.Parse("t.hcl", []byte(tcp), config.Options{LookupEnv: all.lookup})
		if err == nil {
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "environment variable VAULT_") {
				t.Errorf("%q: %s", text, line)
			}
		}
	})
}
