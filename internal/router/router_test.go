package router_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"leasehold/internal/router"
	"leasehold/internal/vault"
)

// fakeAnswer answers in the cache's stead with 200, or fails.
type fakeAnswer struct {
	err  error
	got  *http.Request
	body string
	id   vault.Identity
}

func (f *fakeAnswer) Answer(w http.ResponseWriter, r *http.Request, id vault.Identity) error {
	f.got, f.id = r, id
	body, err := io.ReadAll(r.Body)
	f.body = string(body)
	if err != nil {
		return fmt.Errorf("forward to Vault: %w", err)
	}
	if f.err != nil {
		return f.err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// fakeClear records what it was asked to clear.
type fakeClear struct {
	got []string
	err error
}

func (f *fakeClear) Clear(kind, value, namespace string) (int, error) {
	f.got = append(f.got, kind+" "+value+" "+namespace)
	return 7, f.err
}

// fakeTokens has a token at once, or gives the one that await waits for.
type fakeTokens struct {
	token vault.Token
	await func(context.Context) (vault.Token, error)
}

func (f fakeTokens) Token() vault.Token { return f.token }

func (f fakeTokens) Await(ctx context.Context) (vault.Token, error) { return f.await(ctx) }

// failure is what Failed was told.
type failure struct {
	status int
	err    error
}

// fixture is a router among fakes.
type fixture struct {
	answer   *fakeAnswer
	clear    *fakeClear
	quits    int
	failures []failure
	log      *strings.Builder
	handler  http.Handler
}

const autoToken = "hvs.auto-auth"

func newFixture(opt router.Options) *fixture {
	return newFixtureWith(fakeTokens{token: vault.NewToken(autoToken)}, opt)
}

func newFixtureWith(t fakeTokens, opt router.Options) *fixture {
	f := &fixture{answer: &fakeAnswer{}, clear: &fakeClear{}, log: &strings.Builder{}}
	f.handler = router.New(router.Parts{
		Answer: f.answer, Clear: f.clear, Tokens: t, Vault: "https://vault.test", Quit: func() { f.quits++ },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "metrics") }),
		Failed:  func(_ *http.Request, status int, err error) { f.failures = append(f.failures, failure{status, err}) },
		Log:     slog.New(slog.NewTextHandler(f.log, nil)),
	}, opt)
	return f
}

func (f *fixture) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// do sends one request; fields are names and values of its header, one after the other.
func (f *fixture) do(method, target, body string, fields ...string) *httptest.ResponseRecorder {
	return f.serve(newRequest(method, target, body, fields...))
}

func newRequest(method, target, body string, fields ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header[http.CanonicalHeaderKey(fields[i])] = append(r.Header[http.CanonicalHeaderKey(fields[i])], fields[i+1])
	}
	return r
}

// wantError compares an answer of our own: Vault's form, and its whole text or the beginning of it.
func wantError(t *testing.T, w *httptest.ResponseRecorder, status int, text string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status = %d, want %d", w.Code, status)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type = %q, want application/json", got)
	}
	got := w.Body.String()
	if !strings.HasPrefix(got, `{"errors":["`+text) || !strings.HasSuffix(got, "\"]}\n") {
		t.Errorf("body = %q, want the error %q", got, text)
	}
}

// What goes to Vault is handed on as it came.
func TestTheRequestIsHandedOnUntouched(t *testing.T) {
	for name, tc := range map[string]struct{ line, uri, path string }{
		"plain":                  {"GET /v1/secret/app", "/v1/secret/app", "/v1/secret/app"},
		"query":                  {"GET /v1/secret/app?b=2&a=1;c", "/v1/secret/app?b=2&a=1;c", "/v1/secret/app"},
		"empty query":            {"GET /v1/secret/app?", "/v1/secret/app?", "/v1/secret/app"},
		"double slash":           {"GET /v1//secret///app", "/v1//secret///app", "/v1//secret///app"},
		"double slash in front":  {"GET //v1/secret/app", "//v1/secret/app", "//v1/secret/app"},
		"trailing slash":         {"GET /v1/secret/", "/v1/secret/", "/v1/secret/"},
		"dots":                   {"GET /v1/secret/../x/./y", "/v1/secret/../x/./y", "/v1/secret/../x/./y"},
		"escaped slash":          {"GET /v1/secret%2Fapp", "/v1/secret%2Fapp", "/v1/secret/app"},
		"other escapes":          {"GET /v1/%73ecret/%7e", "/v1/%73ecret/%7e", "/v1/secret/~"},
		"root":                   {"GET /", "/", "/"},
		"UI":                     {"GET /ui/", "/ui/", "/ui/"},
		"LIST":                   {"LIST /v1/secret", "/v1/secret", "/v1/secret"},
		"SCAN":                   {"SCAN /v1/secret", "/v1/secret", "/v1/secret"},
		"PATCH":                  {"PATCH /v1/secret", "/v1/secret", "/v1/secret"},
		"HEAD":                   {"HEAD /v1/secret", "/v1/secret", "/v1/secret"},
		"OPTIONS":                {"OPTIONS /v1/secret", "/v1/secret", "/v1/secret"},
		"a method of their own":  {"FrObNiCaTe /v1/secret", "/v1/secret", "/v1/secret"},
		"OPTIONS *":              {"OPTIONS *", "*", "*"},
		"GET *":                  {"GET *", "*", "*"},
		"absolute form":          {"GET http://vault.example:8200/v1/secret?a=1", "http://vault.example:8200/v1/secret?a=1", "/v1/secret"},
		"absolute, without path": {"GET http://vault.example:8200", "http://vault.example:8200", ""},
		"a path like ours":       {"GET /agents/v1/metrics", "/agents/v1/metrics", "/agents/v1/metrics"},
		"ours, further down":     {"GET /v1/agent/v1/metrics", "/v1/agent/v1/metrics", "/v1/agent/v1/metrics"},
		"wildcards of a router":  {"GET /v1/{secret}/*", "/v1/{secret}/*", "/v1/{secret}/*"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(tc.line + " HTTP/1.1\r\nHost: leasehold:8100\r\nX-Any: thing\r\n\r\n")))
			if err != nil {
				t.Fatal(err)
			}
			f := newFixture(router.Options{EnableQuit: true})
			method, query := r.Method, r.URL.RawQuery
			if w := f.serve(r); w.Code != http.StatusOK {
				t.Fatalf("status = %d %s, want 200", w.Code, w.Body)
			}
			got := f.answer.got
			if got.Method != method || got.RequestURI != tc.uri || got.URL.Path != tc.path || got.URL.RawQuery != query {
				t.Errorf("handed on: %s %q, path %q, query %q; want %s %q, path %q, query %q",
					got.Method, got.RequestURI, got.URL.Path, got.URL.RawQuery, method, tc.uri, tc.path, query)
			}
			if got.Header.Get("X-Any") != "thing" || len(got.Header) != 1 {
				t.Errorf("header = %v, want it as it came", got.Header)
			}
		})
	}
}

func TestConnectAndTraceAreRefused(t *testing.T) {
	for _, line := range []string{"CONNECT vault.example:443", "CONNECT /v1/secret", "TRACE /v1/secret"} {
		f := newFixture(router.Options{})
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: vault.example:443\r\n\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, f.serve(r), http.StatusMethodNotAllowed, strings.Fields(line)[0]+" is not served")
		if f.answer.got != nil {
			t.Errorf("%s was handed on", line)
		}
	}
}

func TestWhatIsOursNeverGoesToVault(t *testing.T) {
	for _, target := range []string{
		"/agent", "/proxy", "/agent/", "/proxy/v1/", "/agent/v1/unknown", "/proxy/v1/metrics/", "/proxy/v2/metrics", "/agent/v1/quit",
		"/proxy//v1/metrics", "/agent/v1/../../v1/secret",
	} {
		for _, method := range []string{"GET", "POST", "LIST", "DELETE"} {
			f := newFixture(router.Options{})
			wantError(t, f.do(method, target, ""), http.StatusNotFound, "no such endpoint on this listener")
			if f.answer.got != nil || f.quits > 0 {
				t.Errorf("%s %s was carried out", method, target)
			}
		}
	}
}

// An escaped spelling of our own paths names nothing, least of all something at Vault.
func TestEscapedSpellingsOfOursDoNothing(t *testing.T) {
	for _, target := range []string{"/agent/v1%2Fquit", "/%61gent/v1/quit", "/proxy%2Fv1%2Fcache-clear"} {
		f := newFixture(router.Options{EnableQuit: true})
		if w := f.do("POST", target, `{"type":"all"}`); w.Code < 400 || f.answer.got != nil || f.quits > 0 || f.clear.got != nil {
			t.Errorf("POST %s = %d, and was carried out", target, w.Code)
		}
	}
}

func TestMetricsOnly(t *testing.T) {
	f := newFixture(router.Options{MetricsOnly: true, RequireRequestHeader: true, EnableQuit: true})
	for _, target := range []string{"/agent/v1/metrics", "/proxy/v1/metrics"} {
		if w := f.do("GET", target, ""); w.Code != http.StatusOK || w.Body.String() != "metrics" {
			t.Errorf("GET %s = %d %q, want the metrics", target, w.Code, w.Body)
		}
	}
	for _, target := range []string{"/", "/v1/sys/health", "/agent/v1/quit", "/proxy/v1/cache-clear", "/proxy/v1/metrics/"} {
		for _, method := range []string{"GET", "POST", "LIST"} {
			if w := f.do(method, target, `{"type":"all"}`, "X-Vault-Request", "true"); w.Code != http.StatusNotFound {
				t.Errorf("%s %s = %d, want 404", method, target, w.Code)
			}
		}
	}
	if got := f.do("GET", "/v1/sys/health", "").Body.String(); got != "404 page not found\n" {
		t.Errorf("body = %q", got)
	}
	if f.answer.got != nil || f.quits > 0 || f.clear.got != nil {
		t.Error("something but metrics was served")
	}
}

// errHidden is an error as the inside words it, with an address that is nobody's business.
var errHidden = errors.New("dial tcp 10.1.2.3:8200: something broke at vault.internal")
