package router_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/router"
)

// Vault Proxy guards only what it forwards; cache-clear and quit change more than most of that (APX-15).
func TestRequireRequestHeader(t *testing.T) {
	paths := []struct{ method, target, body string }{
		{"GET", "/v1/secret/app", ""}, {"LIST", "/v1/secret", ""}, {"GET", "/", ""}, {"OPTIONS", "/v1/x", ""},
		{"POST", "/agent/v1/quit", ""}, {"POST", "/proxy/v1/quit", ""},
		{"POST", "/agent/v1/cache-clear", `{"type":"all"}`}, {"PUT", "/proxy/v1/cache-clear", `{"type":"all"}`},
	}
	for name, tc := range map[string]struct {
		fields []string
		pass   bool
	}{
		"given":         {[]string{"X-Vault-Request", "true"}, true},
		"in lower case": {[]string{"x-vault-request", "true"}, true},
		"missing":       {nil, false},
		"empty":         {[]string{"X-Vault-Request", ""}, false},
		"wrong":         {[]string{"X-Vault-Request", "1"}, false},
		"capitals":      {[]string{"X-Vault-Request", "True"}, false},
		"twice":         {[]string{"X-Vault-Request", "true", "X-Vault-Request", "true"}, false},
	} {
		for _, p := range paths {
			t.Run(name+" "+p.method+" "+p.target, func(t *testing.T) {
				f := newFixture(router.Options{RequireRequestHeader: true, EnableQuit: true})
				w := f.do(p.method, p.target, p.body, tc.fields...)
				carried := f.answer.got != nil || f.quits > 0 || f.clear.got != nil
				if tc.pass {
					if w.Code != http.StatusOK || !carried {
						t.Errorf("status = %d %s, want 200", w.Code, w.Body)
					}
					return
				}
				wantError(t, w, http.StatusPreconditionFailed, `missing \"X-Vault-Request\" header`)
				if carried {
					t.Error("the request was carried out")
				}
			})
		}
	}
	f := newFixture(router.Options{RequireRequestHeader: true})
	for _, target := range []string{"/agent/v1/metrics", "/proxy/v1/metrics"} {
		if w := f.do("GET", target, ""); w.Code != http.StatusOK || w.Body.String() != "metrics" {
			t.Errorf("GET %s = %d %q, want the metrics: scrapers send no such header", target, w.Code, w.Body)
		}
	}
}

func TestMaxRequestSize(t *testing.T) {
	const limit = 10
	for name, tc := range map[string]struct {
		body    string
		length  int64
		allowed bool
	}{
		"below":              {"12345", 5, true},
		"at the limit":       {"1234567890", 10, true},
		"above":              {"12345678901", 11, false},
		"below, in chunks":   {"12345", -1, true},
		"at, in chunks":      {"1234567890", -1, true},
		"above, in chunks":   {"12345678901", -1, false},
		"more than promised": {"1234567890123", 5, false}, // net/http would have cut it
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(router.Options{MaxRequestSize: limit})
			r := newRequest("POST", "/v1/secret/app", tc.body)
			r.ContentLength = tc.length
			w := f.serve(r)
			if tc.allowed {
				if w.Code != http.StatusOK || f.answer.body != tc.body {
					t.Errorf("status = %d with body %q, want 200 with %q", w.Code, f.answer.body, tc.body)
				}
				return
			}
			wantError(t, w, http.StatusRequestEntityTooLarge, "http: request body too large")
			if tc.length > limit && f.answer.got != nil {
				t.Error("a body that says it is too large was handed on")
			}
		})
	}
	for _, unlimited := range []int64{0, -1} {
		f := newFixture(router.Options{MaxRequestSize: unlimited})
		if w := f.do("POST", "/v1/secret/app", strings.Repeat("x", 1<<20)); w.Code != http.StatusOK || len(f.answer.body) != 1<<20 {
			t.Errorf("limit %d: status = %d with %d bytes, want all of them", unlimited, w.Code, len(f.answer.body))
		}
	}
}

func TestMetricsAreRead(t *testing.T) {
	f := newFixture(router.Options{})
	for _, target := range []string{"/agent/v1/metrics", "/proxy/v1/metrics", "/proxy/v1/metrics?format=prometheus"} {
		if w := f.do("GET", target, ""); w.Code != http.StatusOK || w.Body.String() != "metrics" {
			t.Errorf("GET %s = %d %q", target, w.Code, w.Body)
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "LIST"} {
			w := f.do(method, target, "")
			wantError(t, w, http.StatusMethodNotAllowed, "method not allowed; use GET")
			if got := w.Header().Get("Allow"); got != "GET" {
				t.Errorf("%s %s: Allow = %q, want GET", method, target, got)
			}
		}
	}
}

func TestQuit(t *testing.T) {
	f := newFixture(router.Options{EnableQuit: true})
	for i, target := range []string{"/agent/v1/quit", "/proxy/v1/quit", "/agent/v1/quit"} { // Vault Proxy panics at the second one
		if w := f.do("POST", target, ""); w.Code != http.StatusOK || w.Body.Len() > 0 || f.quits != i+1 {
			t.Errorf("POST %s = %d %q, quits = %d; want an empty 200 and %d", target, w.Code, w.Body, f.quits, i+1)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "LIST", "HEAD"} {
		w := f.do(method, "/agent/v1/quit", "")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" || f.quits != 3 {
			t.Errorf("%s = %d, Allow %q, quits %d; want 405, POST, 3", method, w.Code, w.Header().Get("Allow"), f.quits)
		}
	}
	disabled := newFixture(router.Options{})
	wantError(t, disabled.do("POST", "/agent/v1/quit", ""), http.StatusNotFound, "no such endpoint on this listener; quit needs enable_quit")
	if disabled.quits > 0 || disabled.answer.got != nil {
		t.Error("a quit that is not enabled was carried out")
	}
}

func TestCacheClear(t *testing.T) {
	for name, tc := range map[string]struct {
		body   string
		asked  []string
		status int
		text   string
	}{
		"all":              {`{"type":"all"}`, []string{"all  "}, 200, ""},
		"path":             {`{"type":"request_path","value":"/v1/x","namespace":"ns1"}`, []string{"request_path /v1/x ns1"}, 200, ""},
		"unknown fields":   {`{"type":"all","force":true}`, []string{"all  "}, 200, ""},
		"no body":          {``, nil, 400, "failed to parse JSON input: empty JSON provided"},
		"spaces":           {"  \n", nil, 400, "failed to parse JSON input: empty JSON provided"},
		"broken":           {`{"type":`, nil, 400, "failed to parse JSON input: "},
		"no object":        {`["all"]`, nil, 400, "failed to parse JSON input: "},
		"a number as type": {`{"type":1}`, nil, 400, "failed to parse JSON input: "},
		"too large":        {`{"type":"` + strings.Repeat("a", 1<<20) + `"}`, nil, 400, "failed to parse JSON input: "},
	} {
		for _, method := range []string{"POST", "PUT"} {
			for _, target := range []string{"/agent/v1/cache-clear", "/proxy/v1/cache-clear"} {
				t.Run(name+" "+method+" "+target, func(t *testing.T) {
					f := newFixture(router.Options{})
					w := f.do(method, target, tc.body)
					if !slices.Equal(f.clear.got, tc.asked) {
						t.Errorf("cleared %q, want %q", f.clear.got, tc.asked)
					}
					if tc.status != http.StatusOK {
						wantError(t, w, tc.status, tc.text)
						return
					}
					if w.Code != http.StatusOK || w.Body.Len() > 0 {
						t.Errorf("answer = %d %q, want an empty 200", w.Code, w.Body)
					}
				})
			}
		}
	}
}

func TestCacheClearTellsTheCallersMistake(t *testing.T) {
	f := newFixture(router.Options{})
	f.clear.err = errors.New("failed to clear cache: token not provided")
	wantError(t, f.do("POST", "/proxy/v1/cache-clear", `{"type":"token"}`), http.StatusBadRequest, "failed to clear cache: token not provided")
}

func TestCacheClearMethods(t *testing.T) {
	f := newFixture(router.Options{})
	for _, method := range []string{"GET", "DELETE", "PATCH", "LIST"} {
		w := f.do(method, "/proxy/v1/cache-clear", `{"type":"all"}`)
		wantError(t, w, http.StatusMethodNotAllowed, "method not allowed; use POST, PUT")
		if got := w.Header().Get("Allow"); got != "POST, PUT" || f.clear.got != nil {
			t.Errorf("%s: Allow = %q, cleared %q; want POST, PUT and nothing", method, got, f.clear.got)
		}
	}
}

func TestCacheClearWithoutACache(t *testing.T) {
	f := newFixture(router.Options{CacheOff: true})
	for _, body := range []string{`{"type":"all"}`, `{`, ``} {
		if w := f.do("POST", "/proxy/v1/cache-clear", body); w.Code != http.StatusOK || w.Body.Len() > 0 || f.clear.got != nil {
			t.Errorf("%q: answer = %d %q, want an empty 200", body, w.Code, w.Body)
		}
	}
}

// The value may be a token.
func TestCacheClearDoesNotLogTheValue(t *testing.T) {
	f := newFixture(router.Options{})
	f.do("POST", "/proxy/v1/cache-clear", `{"type":"token","value":"hvs.secret"}`)
	f.do("POST", "/proxy/v1/cache-clear", `{"type":"token","value":hvs.secret}`)
	if got := f.log.String(); strings.Contains(got, "hvs.secret") || !strings.Contains(got, "type=token") {
		t.Errorf("log = %s", got)
	}
}
