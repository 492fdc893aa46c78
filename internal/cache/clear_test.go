package cache_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"leasehold/internal/cache"
)

func TestClear(t *testing.T) {
	for name, tc := range map[string]struct {
		kind, value, namespace string
		gone                   int
		left                   string
	}{
		"all":                       {"all", "", "", 3, ""},
		"all, with a value":         {"all", "x", "ns1", 3, ""},
		"lease":                     {"lease", "db/creds/app/1", "", 1, "login, its lease"},
		"lease, not by prefix":      {"lease", "db/creds/app", "", 0, "lease, login, its lease"},
		"token":                     {"token", "hvs.login", "", 2, "lease"},
		"token, not by prefix":      {"token", "hvs.log", "", 0, "lease, login, its lease"},
		"auto-auth token":           {"token", autoToken, "", 1, "login, its lease"},
		"accessor":                  {"token_accessor", "accessor.hvs.login", "", 2, "lease"},
		"auto-auth accessor":        {"token_accessor", "accessor.auto-auth", "", 1, "login, its lease"},
		"path":                      {"request_path", "/v1/db/creds/app", "", 1, "login, its lease"},
		"path, in the root":         {"request_path", "/v1/db/creds/app", "root", 1, "login, its lease"},
		"path of many":              {"request_path", "/v1/db/", "", 2, "login"},
		"beginning of a path":       {"request_path", "/v1/db/creds/o", "", 1, "lease, login"},
		"path of a login":           {"request_path", "/v1/auth/approle/login", "", 2, "lease"},
		"everything below /v1/":     {"request_path", "/v1/", "", 3, ""},
		"path in another namespace": {"request_path", "/v1/db/creds/app", "ns1", 0, "lease, login, its lease"},
		"path of nothing":           {"request_path", "/v1/secret/", "", 0, "lease, login, its lease"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, always(http.StatusNotFound, ""), cache.Options{})
			calls := l.vault.calls.Load()
			gone, err := l.Clear(tc.kind, tc.value, tc.namespace)
			if err != nil || gone != tc.gone {
				t.Errorf("Clear = %d, %v; want %d", gone, err, tc.gone)
			}
			l.wantCalls(calls)
			if got := l.held(); got != tc.left {
				t.Errorf("held afterwards: %s; want %s", got, tc.left)
			}
			if len(l.tokens.lost) > 0 {
				t.Error("the auto-auth token was called invalid: it is alive at Vault")
			}
		})
	}
}

func TestClearRefusesInVaultsWords(t *testing.T) {
	f := newFixture(t, leases(), cache.Options{})
	for _, tc := range []struct{ kind, value, want string }{
		{"", "", "failed to parse clear input: no type provided"},
		{"", "x", "failed to parse clear input: no type provided"},
		{"everything", "x", "failed to clear cache: invalid type provided"},
		{"request_path", "", "failed to clear cache: request path not provided"},
		{"token", "", "failed to clear cache: token not provided"},
		{"token_accessor", "", "failed to clear cache: token accessor not provided"},
		{"lease", "", "failed to clear cache: lease not provided"},
	} {
		f.get("/v1/db/creds/app")
		gone, err := f.Clear(tc.kind, tc.value, "")
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || gone != 0 {
			t.Errorf("Clear(%q, %q) = %d, %v; want 0, %s", tc.kind, tc.value, gone, err, tc.want)
		}
		wantCache(t, f.get("/v1/db/creds/app"), "HIT")
	}
}

// CCH-29: a full path, and a value that ends in a slash, mean whole segments; anything else is a plain prefix.
func TestClearingAPathHeedsSegments(t *testing.T) {
	all := []string{"/v1/db/creds/app", "/v1/db/creds/app/more", "/v1/db/creds/app2"}
	for value, left := range map[string][]string{
		"/v1/db/creds/app":     {"/v1/db/creds/app2"},
		"/v1/db/creds/app/":    {"/v1/db/creds/app2"},
		"/v1/db/creds/app/mor": {"/v1/db/creds/app", "/v1/db/creds/app2"},
		"/v1/db/creds/ap":      {},
		"/v1/db/creds":         {},
		"v1/db/creds/app2":     {"/v1/db/creds/app", "/v1/db/creds/app/more"},
	} {
		t.Run(value, func(t *testing.T) {
			f := newFixture(t, leases(), cache.Options{})
			for _, target := range all {
				f.do(injected, "GET", target, "")
				f.do(injected, "GET", target, "", with{"X-Vault-Namespace", "ns1"})
			}
			if _, err := f.Clear("request_path", value, "/ns1/"); err != nil {
				t.Fatal(err)
			}
			if got, want := f.entries(), len(all)+len(left); got != want {
				t.Errorf("entries = %d, want %d: all in the root and %d in ns1", got, want, len(left))
			}
			for _, target := range left {
				wantCache(t, f.do(injected, "GET", target, "", with{"X-Vault-Namespace", "ns1"}), "HIT")
			}
			for _, target := range all {
				wantCache(t, f.get(target), "HIT")
			}
		})
	}
}

// CCH-6: Vault Proxy forgets the auto-auth token with the rest and keeps nothing until the next login.
func TestCachingGoesOnAfterAClear(t *testing.T) {
	for _, tc := range []struct{ kind, value string }{
		{"all", ""}, {"token", autoToken}, {"token_accessor", "accessor.auto-auth"}, {"request_path", "/v1/"}, {"lease", "db/creds/app/1"},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			f := newFixture(t, leases(), cache.Options{})
			f.get("/v1/db/creds/app")
			for range 2 {
				if _, err := f.Clear(tc.kind, tc.value, ""); err != nil {
					t.Fatal(err)
				}
			}
			wantCache(t, f.get("/v1/db/creds/app"), "MISS")
			wantCache(t, f.get("/v1/db/creds/app"), "HIT")
			f.wantCalls(2)
		})
	}
}

func TestClearBesideTraffic(t *testing.T) {
	f := newFixture(t, func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/kv") {
			return reply(http.StatusOK, kvBody), nil
		}
		return reply(http.StatusOK, leaseBody(strings.TrimPrefix(r.URL.Path, "/v1/")+"/1", 3600)), nil
	}, cache.Options{})
	var wg sync.WaitGroup
	for _, target := range []string{"/v1/db/creds/app", "/v1/kv", "/v1/db/creds/other"} {
		wg.Go(func() {
			for range 200 {
				f.get(target)
			}
		})
		wg.Go(func() {
			for range 20 {
				if _, err := f.Clear("all", "", ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
