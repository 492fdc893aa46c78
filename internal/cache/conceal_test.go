package cache_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"leasehold/internal/cache"
	"leasehold/internal/vault"
)

// innerToken is the auto-auth token as Vault names it inside a server-side consistent token: it works as well as the token itself.
const innerToken = "hvs.inner"

func lookupBody(id string) string {
	return `{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":{"accessor":"accessor.of.` + id + `",` +
		`"creation_ttl":9007199254740993,"display_name":"<app>","id":"` + id + `","meta":{"id":"kept"},"ttl":3600},"auth":null}`
}

func renewBody(id string) string {
	return `{"request_id":"r","data":null,"auth":{"client_token":"` + id + `","accessor":"accessor.of.` + id + `",` +
		`"policies":["default"],"lease_duration":9007199254740993,"renewable":true,"metadata":{"role_name":"<app>"}}}`
}

func TestTheAutoAuthTokenIsConcealed(t *testing.T) {
	lookups := []struct{ method, target, body string }{
		{"GET", "/v1/auth/token/lookup-self", ""},
		{"POST", "/v1/auth/token/lookup-self", ""},
		{"GET", "/v1/auth/token/lookup-self/", ""},
		{"GET", "/v1/auth/token%2Flookup-self", ""},
		{"GET", "/v1/%61uth/token/lookup-self", ""},
		{"GET", "/v1/ns1/auth/token/lookup-self", ""},
		{"GET", "/v1/ns1/ns2/auth/token/lookup-self", ""},
		{"GET", "/v1/auth/token/lookup", ""},
		{"POST", "/v1/auth/token/lookup", ""},
		{"POST", "/v1/auth/token/lookup", `{}`},
		{"POST", "/v1/auth/token/lookup", `{"token":""}`},
		{"PUT", "/v1/auth/token/lookup", `not JSON`},
		{"POST", "/v1/auth/token/lookup", `{"token":"` + autoToken + `"}`},
		{"GET", "/v1/auth/token/lookup?token=" + autoToken, ""},
		{"GET", "/v1/auth/token/lookup/" + autoToken, ""},
		{"POST", "/v1/ns1/auth/token/lookup", ""},
	}
	for _, id := range []string{autoToken, innerToken} {
		for _, tc := range lookups {
			t.Run(tc.method+" "+tc.target+" "+tc.body+" "+id, func(t *testing.T) {
				f := newFixture(t, always(http.StatusOK, lookupBody(id)), cache.Options{})
				w := f.do(injected, tc.method, tc.target, tc.body)
				wantConcealed(t, w, `{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":{`+
					`"creation_ttl":9007199254740993,"display_name":"<app>","meta":{"id":"kept"},"ttl":3600},"auth":null}`)
			})
		}
	}
	renewals := []struct{ target, body string }{
		{"/v1/auth/token/renew-self", ""},
		{"/v1/auth/token/renew-self", `{"increment":60}`},
		{"/v1/ns1/auth/token/renew-self", ""},
		{"/v1/auth/token/renew", `{"token":"` + autoToken + `"}`},
		{"/v1/auth/token/renew", ""},
		{"/v1/auth/token/renew/" + autoToken, ""},
		{"/v1/auth/token/renew-accessor", `{"accessor":"accessor.auto-auth"}`},
	}
	for _, tc := range renewals {
		t.Run("POST "+tc.target+" "+tc.body, func(t *testing.T) {
			f := newFixture(t, always(http.StatusOK, renewBody(autoToken)), cache.Options{})
			w := f.do(injected, "POST", tc.target, tc.body)
			wantConcealed(t, w, `{"request_id":"r","data":null,"auth":{"client_token":"","accessor":"",`+
				`"policies":["default"],"lease_duration":9007199254740993,"renewable":true,"metadata":{"role_name":"<app>"}}}`)
		})
	}
}

// wantConcealed compares as JSON, but numbers by their digits.
func wantConcealed(t *testing.T, w *httptest.ResponseRecorder, want string) {
	t.Helper()
	got := w.Body.String()
	for _, secret := range []string{autoToken, innerToken} {
		if strings.Contains(got, secret) {
			t.Errorf("answer holds the token or its accessor: %s", got)
		}
	}
	if !bytes.Equal(canonical(t, got), canonical(t, want)) {
		t.Errorf("answer = %s, want %s", got, want)
	}
	if length := w.Result().ContentLength; length != int64(len(got)) {
		t.Errorf("Content-Length = %d for %d bytes", length, len(got))
	}
}

func canonical(t *testing.T, s string) []byte {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOtherTokensAreNotConcealed(t *testing.T) {
	const mine = "hvs.mine"
	for name, tc := range map[string]struct {
		id                   vault.Identity
		method, target, body string
		answer               string
	}{
		"a client that has the same token":      {ownAuto, "GET", "/v1/auth/token/lookup-self", "", lookupBody(autoToken)},
		"a client that has the token, renewing": {ownAuto, "POST", "/v1/auth/token/renew-self", "", renewBody(autoToken)},
		"a token that the client named": {
			injected, "POST", "/v1/auth/token/lookup", `{"token":"` + mine + `"}`, lookupBody(mine),
		},
		"a token that the client named in the query": {injected, "GET", "/v1/auth/token/lookup?token=" + mine, "", lookupBody(mine)},
		"a token that the client named in the path":  {injected, "GET", "/v1/auth/token/lookup/" + mine, "", lookupBody(mine)},
		"a token that the client renews":             {injected, "POST", "/v1/auth/token/renew", `{"token":"` + mine + `"}`, renewBody(mine)},
		"a lookup by accessor": {
			injected, "POST", "/v1/auth/token/lookup-accessor", `{"accessor":"accessor.of."}`, lookupBody(""),
		},
		"an empty answer":         {injected, "GET", "/v1/auth/token/lookup-self", "", ""},
		"an answer without JSON":  {injected, "GET", "/v1/auth/token/lookup-self", "", "<html>502</html>"},
		"an answer of errors":     {injected, "GET", "/v1/auth/token/lookup-self", "", `{"errors":["permission denied"]}`},
		"an array":                {injected, "GET", "/v1/auth/token/lookup-self", "", `[1]`},
		"data that is no object":  {injected, "GET", "/v1/auth/token/lookup-self", "", `{"data":["id"]}`},
		"an id that is no string": {injected, "GET", "/v1/auth/token/lookup-self", "", `{"data":{"id":7,"accessor":"a"}}`},
		"a new child token":       {injected, "POST", "/v1/auth/token/create", "", renewBody("hvs.child")},
		"a secret of such a name": {injected, "GET", "/v1/secret/lookups/auth-token/lookup-self", "", lookupBody("5")},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, always(http.StatusOK, tc.answer), cache.Options{})
			if got := f.do(tc.id, tc.method, tc.target, tc.body).Body.String(); got != tc.answer {
				t.Errorf("answer = %s, want it as Vault gave it: %s", got, tc.answer)
			}
		})
	}
}

func TestConcealingWithoutACache(t *testing.T) {
	f := newFixture(t, always(http.StatusOK, lookupBody(autoToken)), cache.Options{Off: true})
	for _, target := range []string{"/v1/auth/token/lookup-self", "/v1/ns1/auth/token/lookup-self"} {
		if got := f.get(target).Body.String(); strings.Contains(got, autoToken) {
			t.Errorf("%s answers %s", target, got)
		}
	}
}

func TestTheTokenIsConcealedWhereverItStands(t *testing.T) {
	for name, body := range map[string]string{
		"in no JSON":        "<html>" + autoToken + "</html>",
		"in another field":  `{"data":{"id":"x","parent":"` + autoToken + `"}}`,
		"in broken JSON":    `{"data":{"id":"` + autoToken + `"`,
		"in a duplicate":    `{"data":{"id":"` + autoToken + `","id":"x"}}`,
		"in a second value": lookupBody("x") + lookupBody(autoToken),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, always(http.StatusOK, body), cache.Options{})
			if got := f.get("/v1/auth/token/lookup-self").Body.String(); strings.Contains(got, autoToken) {
				t.Errorf("answer = %s", got)
			}
		})
	}
}

func TestConcealingReadsGzip(t *testing.T) {
	for _, target := range []string{"/v1/auth/token/lookup-self", "/v1/auth/token/lookup"} {
		f := newFixture(t, always(http.StatusOK, zipped(t, lookupBody(autoToken)), with{"Content-Encoding", "gzip"}), cache.Options{})
		w := f.do(injected, "GET", target, "", with{"Accept-Encoding", "gzip"})
		if got := w.Header().Get("Content-Encoding"); got != "" {
			t.Errorf("Content-Encoding = %q of an answer that is now plain", got)
		}
		if got := w.Body.String(); strings.Contains(got, autoToken) || !strings.Contains(got, "creation_ttl") {
			t.Errorf("answer = %s", got)
		}
	}
}

func TestAnAnswerThatCannotBeReadIsNotGiven(t *testing.T) {
	for name, answer := range map[string]script{
		"unknown encoding": always(http.StatusOK, lookupBody(autoToken), with{"Content-Encoding", "br"}),
		"too large":        always(http.StatusOK, lookupBody(autoToken)+strings.Repeat(" ", cache.DefaultMaxEntrySize)),
		"cut short": func(*http.Request) (*http.Response, error) {
			resp := reply(http.StatusOK, "")
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(lookupBody(autoToken)), failing{errLost}))
			return resp, nil
		},
	} {
		for _, tc := range []struct{ method, target string }{{"GET", "/v1/auth/token/lookup-self"}, {"POST", "/v1/auth/token/renew-self"}} {
			t.Run(name+" "+tc.target, func(t *testing.T) {
				f := newFixture(t, answer, cache.Options{})
				w := httptest.NewRecorder()
				err := f.Answer(w, newRequest(t.Context(), tc.method, tc.target, ""), injected)
				if err == nil || w.Body.Len() > 0 {
					t.Errorf("Answer wrote %q and returned %v, want nothing and an error", w.Body, err)
				}
			})
		}
	}
}

func TestTheTokenCannotBeWrapped(t *testing.T) {
	for _, tc := range []struct{ method, target string }{
		{"GET", "/v1/auth/token/lookup-self"}, {"POST", "/v1/auth/token/lookup"}, {"POST", "/v1/auth/token/renew-self"},
		{"GET", "/v1/ns1/auth/token/lookup-self"}, {"POST", "/v1/ns1/auth/token/renew"},
	} {
		t.Run(tc.target, func(t *testing.T) {
			f := newFixture(t, always(http.StatusOK, `{"wrap_info":{"token":"hvs.wrapping"}}`), cache.Options{})
			wrap := with{"X-Vault-Wrap-TTL", "5m"}
			err := f.Answer(httptest.NewRecorder(), newRequest(t.Context(), tc.method, tc.target, "", wrap), injected)
			if !errors.Is(err, cache.ErrConcealed) {
				t.Errorf("error = %v, want ErrConcealed", err)
			}
			f.wantCalls(0)
			if got := f.do(ownAuto, tc.method, tc.target, "", wrap).Code; got != http.StatusOK {
				t.Errorf("status for a client's own token = %d, want 200", got)
			}
		})
	}
}

// failing is a body that breaks off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func zipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
