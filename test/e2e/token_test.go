package e2e

import (
	"net/http"
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
