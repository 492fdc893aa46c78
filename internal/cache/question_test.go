package cache_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"leasehold/internal/cache"
)

// tokenSpellings are ways to have Vault's token store, some Vault's token store behind some balancer, tell about the token of the request.
var tokenSpellings = []struct{ target, namespace string }{
	{"/v1/auth/token/lookup-self", ""},
	{"/v1/auth/token/lookup-self/", ""},
	{"/v1/auth/token/lookup-self?x=/v1/sys/health", ""},
	{"/v1/auth/token/lookup-self%3Fx", ""},
	{"/v1/auth/token/%6cookup-self", ""},
	{"/v1/auth/t%6Fken/lookup-self", ""},
	{"/v1/auth%2ftoken%2Flookup-self", ""},
	{"/v1%2Fauth/token/lookup-self", ""},
	{"/v1/auth%252Ftoken%25252flookup-self", ""},
	{"/v1/auth/%2574oken/lookup-self", ""},
	{"//v1/auth/token/lookup-self", ""},
	{"/v1//auth/token/lookup-self", ""},
	{"/v1/auth//token///lookup-self", ""},
	{"/v1/auth/./token/lookup-self", ""},
	{"/v1/auth/token/x/../lookup-self", ""},
	{"/v1/auth/x/%2e%2e/token/lookup-self", ""},
	{"/v1/sys/leases/revoke/../../../auth/token/lookup-self", ""},
	{"/v1/sys/leases/renew/../../../auth/token/lookup-self", ""},
	{"/../v1/auth/token/lookup-self", ""},
	{"/v1/ns1/auth/token/lookup-self", ""},
	{"/v1/ns1/ns2/auth/token/lookup-self", ""},
	{"/v1/auth/token/auth/token/lookup-self", ""},
	{"/v1/auth/token/lookup-self", "ns1"},
	{"/v1/ns2/auth/token/lookup-self", "/ns1/"},
	{"/v1/token/lookup-self", "auth"},
	{"/v1/token/lookup-self", "ns1/auth/"},
	{"/v1/lookup-self", "auth/token"},
	{"/v1/", "auth/token/lookup-self"},
	{"/v1/x/../lookup-self", "auth//token"},
	{"/v1/oken/../token/lookup-self", "ns1//auth"},
	{"/v1/auth/token/lookup/hvs.x", ""},
	{"/v1/auth/token/lookup-accessor/x", ""},
	{"/v1/auth/token/revoke-self", ""},
	{"/v1/auth/token/create/../lookup-self", ""},
	{"/v1/kv/auth/token/create/auth/token/lookup-self", ""},
	{"http://vault:8200/v1/auth/token/lookup-self", ""},
}

func TestEverySpellingIsConcealed(t *testing.T) {
	for _, method := range []string{"GET", "POST", "PUT", "LIST", "HELP", "RECOVER", "lookup"} {
		for _, s := range tokenSpellings {
			t.Run(method+" "+s.target+" "+s.namespace, func(t *testing.T) {
				f := newFixture(t, always(http.StatusOK, lookupBody(innerToken)), cache.Options{})
				var fields []with
				if s.namespace != "" {
					fields = []with{{"X-Vault-Namespace", s.namespace}}
				}
				if got := f.do(injected, method, s.target, "", fields...).Body.String(); strings.Contains(got, innerToken) {
					t.Errorf("answer = %s", got)
				}
				r := newRequest(t.Context(), method, s.target, "", append(fields, with{"X-Vault-Wrap-TTL", "60"})...)
				if err := f.Answer(httptest.NewRecorder(), r, injected); !errors.Is(err, cache.ErrConcealed) {
					t.Errorf("error when wrapped = %v, want ErrConcealed", err)
				}
				f.wantCalls(1)
				if got := f.do(other, method, s.target, "", fields...).Body.String(); got != lookupBody(innerToken) {
					t.Errorf("a client's own answer = %s", got)
				}
			})
		}
	}
}

func TestOtherPathsAreNotConcealed(t *testing.T) {
	for _, target := range []string{
		"/v1/auth/token", "/v1/auth/token/", "/v1/auth/token/create", "/v1/auth/token/create-orphan", "/v1/ns1/auth/token/create/lookup", "/v1/auth/token/roles/lookup", "/v1/auth/approle/role/token/lookup",
		"/v1/secret/data/auth/tokens/lookup", "/v1/secret/data/auth-token/lookup-self", "/v1/kv/100%25", "/v1/kv/%25zz/token",
	} {
		t.Run(target, func(t *testing.T) {
			f := newFixture(t, func(r *http.Request) (*http.Response, error) {
				if got := r.Header.Get("Accept-Encoding"); got != "gzip" {
					t.Errorf("Accept-Encoding = %q, want the client's", got)
				}
				return reply(http.StatusOK, lookupBody("x")), nil
			}, cache.Options{})
			w := f.do(injected, "GET", target, "", with{"X-Vault-Wrap-TTL", "60"}, with{"Accept-Encoding", "gzip"})
			if got := w.Body.String(); got != lookupBody("x") {
				t.Errorf("answer = %s, want it as Vault gave it", got)
			}
		})
	}
}

// What is asked of the token store is asked so that the answer can be read, and all of it.
func TestQuestionsAreAskedPlainly(t *testing.T) {
	for _, target := range []string{"/v1/auth/token/lookup-self", "/v1/auth/token/renew-self", "/v1/auth/token/accessors"} {
		f := newFixture(t, func(r *http.Request) (*http.Response, error) {
			if got := r.Header.Get("Accept-Encoding") + r.Header.Get("Range"); got != "identity" {
				t.Errorf("%s: Accept-Encoding and Range = %q, want identity", target, got)
			}
			return reply(http.StatusOK, kvBody), nil
		}, cache.Options{})
		f.do(injected, "POST", target, "", with{"Accept-Encoding", "br, gzip"}, with{"Range", "bytes=0-200"})
	}
}

// A path may be long, and made to be decoded for ever.
func TestDecodingEnds(t *testing.T) {
	f := newFixture(t, always(http.StatusOK, kvBody), cache.Options{})
	if got := f.get("/v1/kv/%" + strings.Repeat("25", 1<<19)).Code; got != http.StatusOK {
		t.Errorf("status = %d", got)
	}
}

// Where there is nothing to hide, the answer stays as Vault sent it.
func TestQuestionsWithoutASecretStayWhole(t *testing.T) {
	f := newFixture(t, always(http.StatusNoContent, ""), cache.Options{})
	if w := f.do(injected, "POST", "/v1/auth/token/revoke-self", ""); w.Code != http.StatusNoContent || w.Header()["Content-Length"] != nil {
		t.Errorf("answer = %d with %v, want Vault's 204", w.Code, w.Header())
	}
	f = newFixture(t, func(*http.Request) (*http.Response, error) {
		resp := reply(http.StatusOK, "", with{"Content-Encoding", "gzip"})
		resp.Body = http.NoBody
		return resp, nil
	}, cache.Options{})
	if w := f.do(injected, "HEAD", "/v1/auth/token/lookup-self", ""); w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("headers of an answer to HEAD = %v, want Vault's", w.Header())
	}
	f = newFixture(t, func(*http.Request) (*http.Response, error) {
		resp := reply(http.StatusForbidden, `{"errors":["permission denied"]}`)
		resp.ContentLength = -1
		return resp, nil
	}, cache.Options{})
	if w := f.get("/v1/auth/token/lookup-self"); w.Header()["Content-Length"] != nil {
		t.Errorf("Content-Length = %v of an answer that Vault sent in chunks", w.Header()["Content-Length"])
	}
}

// A renewal that only Vault recognises as one has the shape of a new token.
func TestAnswersToQuestionsAreNotKept(t *testing.T) {
	body := strings.Replace(tokenBody(innerToken, 3600), `"orphan":true`, `"orphan":false`, 1)
	f := newFixture(t, always(http.StatusOK, body), cache.Options{})
	for range 2 {
		if got := f.do(injected, "POST", "/v1/token/renew-self", "", with{"X-Vault-Namespace", "auth"}).Body.String(); strings.Contains(got, innerToken) {
			t.Errorf("answer = %s", got)
		}
	}
	f.wantCalls(2)
}

func TestAccessorsAreMasked(t *testing.T) {
	const list = `{"data":{"keys":["accessor.before-it","accessor.auto-auth","accessor.behind-it"]}}`
	for name, body := range map[string]string{"few": list, "many": list + strings.Repeat(" ", cache.DefaultMaxEntrySize)} {
		t.Run(name, func(t *testing.T) {
			for _, target := range []string{"/v1/auth/token/accessors", "/v1/ns1/auth/token/accessors/", "/v1/auth/token/accessors?list=true"} {
				f := newFixture(t, always(http.StatusOK, body), cache.Options{})
				if got, want := f.do(injected, "LIST", target, "").Body.String(), strings.Replace(body, "accessor.auto-auth", strings.Repeat("*", 18), 1); got != want {
					t.Errorf("answer = %.200s, want %.200s", got, want)
				}
				err := f.Answer(httptest.NewRecorder(), newRequest(t.Context(), "LIST", target, "", with{"X-Vault-Wrap-TTL", "60"}), injected)
				if !errors.Is(err, cache.ErrConcealed) {
					t.Errorf("error when wrapped = %v, want ErrConcealed", err)
				}
			}
		})
	}
}

// Vault writes the token into the help of lookup-self and its like, beside the text.
func TestHelpIsConcealed(t *testing.T) {
	const help = `{"help":"Request: lookup-self","see_also":null}`
	for _, tc := range []struct{ method, target string }{
		{"HELP", "/v1/auth/token/lookup-self"}, {"GET", "/v1/auth/token/lookup-self?help=1"}, {"HELP", "/v1/auth/token/revoke-self"},
	} {
		f := newFixture(t, always(http.StatusOK, strings.Replace(help, "{", `{"id":"`+innerToken+`",`, 1)), cache.Options{})
		wantConcealed(t, f.do(injected, tc.method, tc.target, ""), help)
	}
}

// A control group wraps what nobody asked it to wrap.
func TestWhatVaultWrappedByItselfIsRefused(t *testing.T) {
	const wrapped = `{"request_id":"","data":null,"wrap_info":{"token":"hvs.wrapping","accessor":"a","ttl":60},"auth":null}`
	for _, target := range []string{"/v1/auth/token/lookup-self", "/v1/auth/token/renew-self", "/v1/auth/token/accessors"} {
		f := newFixture(t, always(http.StatusOK, wrapped), cache.Options{})
		w := httptest.NewRecorder()
		if err := f.Answer(w, newRequest(t.Context(), "POST", target, ""), injected); !errors.Is(err, cache.ErrConcealed) || w.Body.Len() > 0 {
			t.Errorf("%s: error = %v and body %q, want ErrConcealed", target, err, w.Body)
		}
		if got := f.do(other, "POST", target, "").Body.String(); got != wrapped {
			t.Errorf("%s: a client's own answer = %s", target, got)
		}
	}
}

// tokenStore are the paths below a namespace, if any, whose answers name the token they were asked with, or may.
var tokenStore = regexp.MustCompile(`^/(.*/)?auth/token/(lookup|lookup/.*|lookup-self|renew|renew/.*|renew-self|revoke-self)/?$`)

// vaultLike answers as Vault with namespaces routes: by the mux of net/http, then by header and path as one. It follows its own redirects.
func vaultLike(r *http.Request) (*http.Response, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		full := "/" + r.Header.Get("X-Vault-Namespace") + "/" + strings.TrimPrefix(r.URL.Path, "/v1/")
		full = regexp.MustCompile("/+").ReplaceAllString(full, "/")
		body := kvBody
		if tokenStore.MatchString(full) {
			body = lookupBody(innerToken)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	})
	for {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil || w.Code < 300 || w.Code > 399 || to.Path == r.URL.Path {
			return w.Result(), nil
		}
		r = r.Clone(r.Context())
		r.URL.Path = to.Path
	}
}

// FuzzQuestion sends any path and namespace: an answer of the token store never comes back as it is.
func FuzzQuestion(f *testing.F) {
	for _, s := range tokenSpellings {
		f.Add(s.target, s.namespace)
	}
	f.Add("/v1/auth/token/renew-self", "")
	f.Add("/v1/secret/data/app", "ns1")
	fix := newFixture(f, vaultLike, cache.Options{})
	f.Fuzz(func(t *testing.T, target, namespace string) {
		head := "GET " + target + " HTTP/1.1\r\nHost: leasehold\r\nX-Vault-Namespace: " + namespace + "\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
		if err != nil || r.Method != http.MethodGet || len(r.URL.Path) > 1000 {
			t.Skip("not a request")
		}
		w := httptest.NewRecorder()
		if err := fix.Answer(w, r.WithContext(t.Context()), injected); err != nil {
			t.Skip("refused")
		}
		if strings.Contains(w.Body.String(), innerToken) {
			t.Errorf("%s in namespace %q shows the token: %s", target, namespace, w.Body)
		}
	})
}
