package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// lent is an auto-auth token that a listener lends out, in every form in which Vault could name it.
type lent struct {
	token    string
	inner    string // what a server-side consistent token holds inside; Vault takes it as well
	accessor string
}

// startLending runs the binary with the token of a role that may do everything.
func startLending(t *testing.T, v *realvault.Server) (*proxy, lent) {
	t.Helper()
	sink := t.TempDir() + "/token"
	const everything = ": create, read, update, patch, delete, list, sudo"
	r := newAppRole(t, v, newPolicy(t, v, "*"+everything, "auth/token/lookup-self"+everything)) // the default policy has the latter for reading
	withSink := strings.Replace(caching(v.Address, r), "  method", "  sink \"file\" { config = { path = \""+sink+"\" } }\n  method", 1)
	p := startProxy(t, withSink)
	eventually(t, "the sink has the token", func() bool { _, err := os.Stat(sink); return err == nil })
	l := lent{token: readFile(t, sink)}
	a, err := send(t.Context(), "POST", v.Address+"/v1/auth/token/lookup", `{"token":""}`, "X-Vault-Token: "+l.token)
	if err != nil {
		t.Fatal(err)
	}
	data := a.secret(t).Data
	l.inner, l.accessor = data["id"].(string), data["accessor"].(string)
	if l.inner == "" || l.inner == l.token || l.accessor == "" {
		t.Fatalf("Vault names the token alike everywhere; the test would miss what it is for")
	}
	remember(l.token, l.inner)
	return p, l
}

// shown tells what of the token stands in an answer.
func (l lent) shown(a answer) (what []string) {
	text := fmt.Sprint(a.Header) + string(a.Body)
	for name, secret := range map[string]string{"token": l.token, "inner token": l.inner, "accessor": l.accessor} {
		if strings.Contains(text, secret) {
			what = append(what, name)
		}
	}
	return what
}

// opened is what a client has in the end: the answer without compression, and with what it wraps behind it.
func opened(t *testing.T, v *realvault.Server, a answer) answer {
	t.Helper()
	if a.Header.Get("Content-Encoding") == "gzip" && len(a.Body) > 0 {
		z, err := gzip.NewReader(bytes.NewReader(a.Body))
		if err != nil {
			t.Fatal(err)
		}
		if a.Body, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	s, err := api.ParseSecret(bytes.NewReader(a.Body))
	if err != nil || s == nil || s.WrapInfo == nil {
		return a
	}
	inside, err := send(t.Context(), "POST", v.Address+"/v1/sys/wrapping/unwrap", "", "X-Vault-Token: "+s.WrapInfo.Token)
	if err != nil {
		t.Fatal(err)
	}
	a.Body = append(a.Body, inside.Body...)
	return a
}

// compressing is a balancer before Vault that compresses for whoever accepts it.
func compressing(vault http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			vault.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		vault.ServeHTTP(compressed{w, z}, r)
	})
}

type compressed struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (c compressed) Write(b []byte) (int, error) { return c.z.Write(b) }

// attack is one request for the token. names says that Vault itself would show it, which is checked as well.
type attack struct {
	method, path, body string
	names              bool
	headers            []string
}

// attacks are the requests by which a client could hope to read the token. %TOKEN% and %ACCESSOR% stand for what he cannot know.
func attacks() []attack {
	const self = "/v1/auth/token/lookup-self"
	all := []attack{
		{"GET", "/v1/auth/token/lookup", "", true, nil},
		{"POST", "/v1/auth/token/lookup", "", true, nil},
		{"POST", "/v1/auth/token/lookup", `{}`, true, nil},
		{"POST", "/v1/auth/token/lookup", `{"token":""}`, true, nil},
		{"POST", "/v1/auth/token/lookup", `{"token":null}`, false, nil},
		{"POST", "/v1/auth/token/lookup", "token=", true, []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"POST", "/v1/auth/token/lookup", `{"token":"%TOKEN%"}`, true, nil},
		{"POST", "/v1/auth/token/lookup", ` {"token":"\u0068vs.x"}`, false, nil},
		{"GET", "/v1/auth/token/lookup?token=", "", true, nil},
		{"GET", "/v1/auth/token/lookup?token=%TOKEN%", "", true, nil},
		{"GET", "/v1/auth/token/lookup/%TOKEN%", "", false, nil},
		{"GET", "/v1/auth/token/lookup/", "", false, nil},
		{"POST", "/v1/auth/token/lookup-accessor", `{"accessor":"%ACCESSOR%"}`, true, nil},
		{"POST", "/v1/auth/token/lookup-accessor", `{"accessor":"x"}`, false, nil},
		{"POST", "/v1/auth/token/renew-self", "", true, nil},
		{"PUT", "/v1/auth/token/renew-self", `{"increment":60}`, true, nil},
		{"POST", "/v1/auth/token/%72enew-self", "", true, nil},
		{"POST", "/v1/auth/token/renew", `{"token":"%TOKEN%"}`, true, nil},
		{"POST", "/v1/auth/token/renew", `{"token":""}`, false, nil},
		{"POST", "/v1/auth/token/renew/%TOKEN%", "", false, nil},
		{"POST", "/v1/auth/token/renew-accessor", `{"accessor":"%ACCESSOR%"}`, true, nil},
		{"LIST", "/v1/auth/token/accessors", "", true, nil},
		{"LIST", "/v1/auth/token/accessors/", "", true, nil},
		{"LIST", "/v1/auth/token%2faccessors", "", true, nil},
		{"GET", "/v1/auth/token/accessors?list=true", "", true, nil},
		{"GET", "/v1/auth/token/accessors/?list=1&x=y", "", true, nil},
		{"GET", "/v1/kv/echo", "", true, nil},
		{"GET", "/v1/kv/echo?x=/v1/auth/token", "", true, nil},
		{"GET", "/v1/secret/data/echo", "", true, nil},
		{"POST", "/v1/sys/capabilities-self", `{"paths":["x"]}`, false, nil},
		{"POST", "/v1/sys/capabilities", `{"token":"%TOKEN%","paths":["x"]}`, false, nil},
		{"POST", "/v1/sys/capabilities-accessor", `{"accessor":"%ACCESSOR%","paths":["x"]}`, false, nil},
		{"POST", "/v1/sys/wrapping/lookup", "", false, nil},
		{"POST", "/v1/sys/wrapping/unwrap", "", false, nil},
		{"POST", "/v1/sys/wrapping/rewrap", "", false, nil},
		{"LIST", "/v1/sys/leases/lookup/auth/approle/login", "", false, nil},
		{"GET", "/v1/sys/in-flight-req", "", false, nil},
		{"GET", "/v1/sys/internal/ui/resultant-acl", "", false, nil},
		{"GET", "/v1/sys/internal/counters/tokens", "", false, nil},
		{"GET", "/v1/sys/internal/specs/openapi", "", false, nil},
		{"LIST", "/v1/identity/entity/id", "", false, nil},
		{"LIST", "/v1/cubbyhole/", "", false, nil},
		{"GET", "/v1/auth/token/no-such-path", "", false, nil},
		{"POST", "/v1/auth/token/lookup-self/x", "", false, nil},
		{"PATCH", self, "{}", false, []string{"Content-Type: application/merge-patch+json"}},
		{"HEAD", self, "", false, nil},
		{"OPTIONS", self, "", false, nil},
		{"HELP", self, "", true, nil},
		{"HELP", "/v1/auth/token/renew-self", "", true, nil},
		{"HELP", "/v1/auth/token/revoke-self", "", true, nil},
		{"HELP", "/v1/auth/token/revoke-self", "", true, []string{"Accept-Encoding: gzip"}},
		{"GET", self + "?help=1", "", true, nil},
		{"HELP", "/v1/auth/token/lookup", "", false, nil},
		{"HELP", "/v1/sys/wrapping/lookup", "", false, nil},
	}
	for _, path := range []string{
		self, self + "?x", "/v1/auth%2ftoken%2Flookup-self", "/v1/auth/token/%6cookup-self", "/v1/%61uth/%74oken/lookup-self",
	} {
		all = append(all, attack{"GET", path, "", true, nil}, attack{"POST", path, "", true, nil}, attack{"PUT", path, `{"token":"x"}`, true, nil})
	}
	for _, path := range []string{
		self + "/", "/v1%2fauth/token/lookup-self", "//v1/auth/token/lookup-self", "/v1//auth/token/lookup-self", "/v1/auth//token/lookup-self", "/v1/auth/./token/lookup-self",
		"/v1/auth/x/../token/lookup-self", "/v1/auth/x/%2e%2e/token/lookup-self", "/v1/auth%252ftoken/lookup-self", "/v1/root/auth/token/lookup-self",
		"/v1/ns1/auth/token/lookup-self", "/v1/AUTH/token/lookup-self", "/v1/auth/token/lookup-self%00", "/v1/auth/token/lookup-self;x",
	} {
		all = append(all, attack{"GET", path, "", false, nil})
	}
	for _, namespace := range []string{"root", "/", "ns1", "auth", "auth/token"} {
		header := []string{"X-Vault-Namespace: " + namespace}
		all = append(all,
			attack{"GET", self, "", true, header}, // a community Vault ignores the header
			attack{"GET", "/v1/token/lookup-self", "", false, header}, attack{"GET", "/v1/lookup-self", "", false, header})
	}
	for _, header := range []string{
		"Range: bytes=0-300", "Accept: text/html", "X-HTTP-Method-Override: LIST", "Accept-Encoding: gzip", "Accept-Encoding: br, deflate, gzip;q=0.5",
		"Authorization: Basic eDp5", "X-Vault-Request: false", "Connection: X-Vault-Token",
	} {
		all = append(all, attack{"GET", self, "", true, []string{header}}, attack{"LIST", "/v1/auth/token/accessors", "", true, []string{header}})
	}
	for _, a := range all { // everything once more, wrapped
		if a.method != "HEAD" && !strings.Contains(a.path, "echo") {
			a.headers = append([]string{"X-Vault-Wrap-TTL: 300"}, a.headers...)
			all = append(all, a)
		}
	}
	return all
}

// Whoever may use the listener may use the auto-auth token, but not read it. Each request goes to Vault with the token first, to see
// that there is something to hide, and then through the listener without.
func TestTheLentTokenIsNeverShown(t *testing.T) {
	v := ownVault(t, realvault.Options{Wrap: compressing})
	p, l := startLending(t, v)
	for path, data := range map[string]any{
		"kv/echo":          map[string]any{"text": "my token is " + l.token + ", " + l.accessor},
		"secret/data/echo": map[string]any{"data": map[string]any{"text": l.token}},
	} {
		if _, err := v.Client().Logical().Write(path, data.(map[string]any)); err != nil {
			t.Fatal(err)
		}
	}
	known := strings.NewReplacer("%TOKEN%", l.token, "%ACCESSOR%", l.accessor)
	for _, a := range attacks() {
		t.Run(strings.Join(append([]string{a.method, a.path, a.body}, a.headers...), " "), func(t *testing.T) {
			path, body := known.Replace(a.path), known.Replace(a.body)
			direct, err := send(t.Context(), a.method, v.Address+path, body, append(a.headers, "X-Vault-Token: "+l.token)...)
			if err != nil {
				t.Fatal(err)
			}
			if shown := l.shown(opened(t, v, direct)); a.names != (len(shown) > 0) {
				t.Errorf("Vault itself (%d) shows %v, want anything: %t", direct.Status, shown, a.names)
			}
			through := p.do(t, a.method, path, body, a.headers...)
			if shown := l.shown(opened(t, v, through)); len(shown) > 0 {
				t.Errorf("the answer (%d) shows the %s", through.Status, strings.Join(shown, ", "))
			}
		})
	}
}

// What is hidden is the token and nothing else: the rest of the answer is Vault's.
func TestConcealedAnswersKeepTheRest(t *testing.T) {
	t.Parallel()
	p, l := startLending(t, shared)
	if a := p.do(t, "GET", "/v1/auth/token/lookup-self", "", "X-Vault-Wrap-TTL: 60"); a.Status != http.StatusForbidden {
		t.Errorf("a wrapped lookup-self of the lent token = %d, want 403", a.Status)
	}
	direct, err := send(t.Context(), "GET", shared.Address+"/v1/auth/token/lookup-self", "", "X-Vault-Token: "+l.token)
	if err != nil {
		t.Fatal(err)
	}
	want, got := direct.secret(t).Data, p.do(t, "GET", "/v1/auth/token/lookup-self", "").secret(t).Data
	delete(want, "id")
	delete(want, "accessor")
	delete(want, "ttl")
	delete(got, "ttl")
	wanted, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := json.Marshal(got); err != nil || !bytes.Equal(have, wanted) {
		t.Errorf("lookup-self = %s (%v), want %s", have, err, wanted)
	}
	other := newToken(t, shared)
	named := p.do(t, "POST", "/v1/auth/token/lookup", `{"token":"`+other.ClientToken+`"}`).secret(t).Data
	if named["id"] != other.ClientToken || named["accessor"] != other.Accessor {
		t.Errorf("the lookup of a token that the client knows lost its id or accessor: %v", named)
	}
	renewed := p.do(t, "POST", "/v1/auth/token/renew", `{"token":"`+other.ClientToken+`"}`).secret(t).Auth
	if renewed == nil || renewed.ClientToken != other.ClientToken || renewed.Accessor != other.Accessor {
		t.Errorf("the renewal of a token that the client knows lost its id or accessor: %v", renewed)
	}
	child := p.do(t, "POST", "/v1/auth/token/create", `{"ttl":"60s"}`).secret(t).Auth
	if child == nil || child.ClientToken == "" || child.Accessor == "" {
		t.Errorf("a new child token is not shown: %v", child)
	}
}

// A client that brings a token reads about it what Vault says, byte for byte.
func TestAClientsOwnTokenIsNotConcealed(t *testing.T) {
	t.Parallel()
	p, _ := startLending(t, shared)
	own := newToken(t, shared)
	for _, header := range []string{"X-Vault-Token: " + own.ClientToken, "Authorization: Bearer " + own.ClientToken} {
		eventually(t, "both lookups fall into one second", func() bool {
			direct, err := send(t.Context(), "GET", shared.Address+"/v1/auth/token/lookup-self", "", header)
			if err != nil {
				t.Fatal(err)
			}
			through := p.do(t, "GET", "/v1/auth/token/lookup-self", "", header)
			if !contains(through.Body, own.ClientToken) || !contains(through.Body, own.Accessor) {
				t.Fatalf("a client's own lookup-self was edited: %s", through.Body)
			}
			return bytes.Equal(withoutRequestID(direct.Body), withoutRequestID(through.Body))
		})
	}
}
