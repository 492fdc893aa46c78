package e2e

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// Which token a request carries is seen in what it may do: the auto-auth token may read "auto", the client's own "own".
func TestTokenChoice(t *testing.T) {
	policy := newPolicy(t, shared, "leaser/creds/auto: read")
	const (
		nobody = "nobody"
		isAuto = "auto"
		isOwn  = "own"
	)
	for mode, want := range map[string]struct{ none, header, bearer, both, empty, lower string }{
		`false`:   {none: nobody, header: isOwn, bearer: isOwn, both: isOwn, empty: nobody, lower: nobody},
		`true`:    {none: isAuto, header: isOwn, bearer: isOwn, both: isOwn, empty: isAuto, lower: nobody},
		`"force"`: {none: isAuto, header: isAuto, bearer: isAuto, both: isAuto, empty: isAuto, lower: isAuto},
	} {
		t.Run(strings.Trim(mode, `"`), func(t *testing.T) {
			own := newToken(t, shared, newPolicy(t, shared, "leaser/creds/own: read")).ClientToken
			r := newAppRole(t, shared, policy)
			hcl := vaultStanza(shared.Address) + r.autoAuth() + "api_proxy { use_auto_auth_token = " + mode + " }\n" + cacheStanza + listenerStanza()
			if mode == "false" {
				hcl = strings.Replace(hcl, "  method", "  sink \"file\" { config = { path = \""+t.TempDir()+"/token\" } }\n  method", 1)
			}
			p := startProxy(t, hcl)
			for name, c := range map[string]struct {
				headers []string
				want    string
			}{
				"no token":       {nil, want.none},
				"X-Vault-Token":  {[]string{"X-Vault-Token: " + own}, want.header},
				"bearer":         {[]string{"Authorization: Bearer " + own}, want.bearer},
				"both":           {[]string{"X-Vault-Token: " + own, "Authorization: Bearer " + own}, want.both},
				"an empty token": {[]string{"X-Vault-Token: "}, want.empty},
				// Vault does not read it. It is a client's token all the same, so ours is not lent in its place.
				"lower-case bearer": {[]string{"Authorization: bearer " + own}, want.lower},
			} {
				if got := p.whoAmI(t, c.headers...); got != c.want {
					t.Errorf("%s: Vault saw the token of %q, want %q", name, got, c.want)
				}
			}
		})
	}
}

// whoAmI asks Vault what the token of a request may do.
func (p *proxy) whoAmI(t *testing.T, headers ...string) string {
	t.Helper()
	a := p.do(t, "POST", "/v1/sys/capabilities-self", `{"paths":["leaser/creds/auto","leaser/creds/own"]}`, headers...)
	if a.Status == http.StatusForbidden || a.Status == http.StatusBadRequest {
		return "nobody"
	}
	data := a.secret(t).Data
	for _, who := range []string{"auto", "own"} {
		if list, ok := data["leaser/creds/"+who].([]any); ok && slices.Contains(list, any("read")) {
			return who
		}
	}
	t.Fatalf("capabilities = %v", data)
	return ""
}

// Whoever may use the listener may use the auto-auth token, but not read it: every way to ask Vault for it comes back without.
func TestInjectedTokenIsNotShown(t *testing.T) {
	r := newAppRole(t, shared)
	sink := t.TempDir() + "/token"
	hcl := strings.Replace(caching(shared.Address, r), "  method", "  sink \"file\" { config = { path = \""+sink+"\" } }\n  method", 1)
	p := startProxy(t, hcl)
	eventually(t, "the sink has the token", func() bool { _, err := os.Stat(sink); return err == nil })
	token := readFile(t, sink)
	remember(token)
	self, err := shared.Client().Auth().Token().Lookup(token)
	if err != nil {
		t.Fatal(err)
	}
	accessor := self.Data["accessor"].(string)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/v1/auth/token/lookup-self", ""},
		{"POST", "/v1/auth/token/lookup-self", ""},
		{"GET", "/v1/auth%2Ftoken/lookup-self", ""},
		{"POST", "/v1/auth/token/renew-self", "{}"},
		{"PUT", "/v1/auth/token/renew-self", ""},
		{"POST", "/v1/auth/token/lookup", "{}"},
		{"POST", "/v1/auth/token/renew", "{}"},
		{"POST", "/v1/auth/token/renew", `{"token":"` + token + `"}`},
	} {
		a := p.do(t, c.method, c.path, c.body)
		for what, secret := range map[string]string{"token": token, "accessor": accessor} {
			if strings.Contains(string(a.Body), secret) {
				t.Errorf("%s %s (%d) shows the %s", c.method, c.path, a.Status, what)
			}
		}
	}
	if a := p.do(t, "GET", "/v1/auth/token/lookup-self", ""); a.secret(t).Data["policies"] == nil {
		t.Errorf("lookup-self lost more than the token: %s", a.Body)
	}
	if a := p.do(t, "GET", "/v1/auth/token/lookup-self", "", "X-Vault-Wrap-TTL: 60s"); a.Status != http.StatusForbidden {
		t.Errorf("a wrapped lookup-self of the injected token = %d, want 403: whoever unwraps it reads the token", a.Status)
	}
	own := newToken(t, shared)
	if a := p.do(t, "GET", "/v1/auth/token/lookup-self", "", "X-Vault-Token: "+own.ClientToken); a.secret(t).Data["id"] != own.ClientToken {
		t.Errorf("a client's own lookup-self was edited")
	}
}
