package cache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

func TestCacheControl(t *testing.T) {
	for header, want := range map[string]string{
		"no-cache": "MISS", "NO-CACHE": "MISS", "max-age=0, no-cache": "MISS", "no-store": "BYPASS", "no-cache,no-store": "BYPASS",
		"max-age=0": "HIT", "only-if-cached": "HIT", "": "HIT", "x-no-cache": "HIT",
	} {
		t.Run(header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, leases(), cache.Options{})
				first := read(t, f.get("/v1/db/creds/app")).LeaseID
				time.Sleep(time.Second)
				w := f.do(injected, "GET", "/v1/db/creds/app", "", with{"Cache-Control", header})
				wantCache(t, w, want)
				next := f.get("/v1/db/creds/app")
				wantCache(t, next, "HIT")
				if replaced := read(t, next).LeaseID != first; replaced != (want == "MISS") {
					t.Errorf("the entry was replaced: %t", replaced)
				}
			})
		})
	}
}

// No client can have Vault make leases without end by asking for fresh ones.
func TestCacheControlIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, leases(), cache.Options{})
		f.get("/v1/db/creds/app")
		for range 100 { // over ten seconds
			time.Sleep(100 * time.Millisecond)
			f.do(injected, "GET", "/v1/db/creds/app", "", with{"Cache-Control", "no-cache"})
		}
		if n := f.vault.calls.Load(); n < 10 || n > 12 {
			t.Errorf("%d requests for one key in ten seconds, want one a second", n-1)
		}
		before := f.vault.calls.Load()
		for i := range 1000 {
			w := f.do(injected, "GET", fmt.Sprint("/v1/db/creds/app", i%7), "", with{"Cache-Control", "no-store"})
			if how, why := w.Header().Get("X-Cache"), w.Header().Get("X-Cache-Reason"); how == "HIT" && why != "refresh limited" {
				t.Fatalf("a hit in spite of no-store, because %q", why)
			}
		}
		if n := f.vault.calls.Load() - before; n > 20+7 {
			t.Errorf("%d requests at once, want 20, and one more for each key", n)
		}
	})
}

// due keeps a lease that cannot be renewed and is to be replaced after half its hour.
func dueRule(refresh bool) []lease.Rule {
	return []lease.Rule{{NonRenewable: true, ReplaceBefore: 0.5, RefreshAhead: refresh}}
}

// withRules is newFixture with an index of these rules, and a clock over it.
func withRules(t *testing.T, s script, rules []lease.Rule) *fixture {
	f := &fixture{t: t, vault: &fakeVault{script: s}, index: lease.NewIndex(lease.Options{Rules: rules}), tokens: &fakeTokens{}, meter: &counts{}}
	f.index.Hold("", injected.Token, "accessor.auto-auth", "", time.Time{})
	var err error
	if f.Cache, err = cache.New(f.index, f.vault, f.tokens, f.meter, cache.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- lease.NewClock(f.index, renewing{}, discardLog, lease.ClockOptions{Refresh: f.Refresh}).Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-done })
	return f
}

// fixed gives leases of an hour that cannot be renewed, and fails as fail says.
func fixed(fail *atomic.Value) script {
	var n atomic.Int64
	return func(*http.Request) (*http.Response, error) {
		switch f := fail.Load().(type) {
		case int:
			if f != 0 {
				return reply(f, `{"errors":["no"]}`), nil
			}
		case error:
			return nil, f
		}
		return reply(http.StatusOK, strings.Replace(leaseBody(fmt.Sprintf("db/creds/app/%d", n.Add(1)), 3600), `"renewable":true`, `"renewable":false`, 1)), nil
	}
}

type failure struct{ error }

// What is due to be replaced is good still: when Vault cannot give another, it is served, and only then.
func TestStale(t *testing.T) {
	for name, c := range map[string]struct {
		fail any
		want string
		code int
	}{
		"no connection": {error(failure{errLost}), "STALE", 200},
		"503":           {503, "STALE", 200},
		"500":           {500, "STALE", 200},
		"403":           {403, "", 403}, // a definite answer
		"404":           {404, "", 404},
		"all is well":   {0, "MISS", 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fail atomic.Value
				f := withRules(t, fixed(&fail), dueRule(false))
				f.get("/v1/db/creds/app")
				time.Sleep(29 * time.Minute)
				wantCache(t, f.get("/v1/db/creds/app"), "HIT")
				time.Sleep(2 * time.Minute)
				if e, ok := c.fail.(error); ok {
					fail.Store(failure{e})
				} else {
					fail.Store(c.fail)
				}
				w := f.get("/v1/db/creds/app")
				wantCache(t, w, c.want)
				if w.Code != c.code || c.want == "STALE" && read(t, w).LeaseDuration != 29*60 {
					t.Errorf("answer = %d %s", w.Code, w.Body)
				}
				// A client that does not want what is kept gets Vault's own answer.
				if c.want == "STALE" {
					r := newRequest(t.Context(), "GET", "/v1/db/creds/app", "", with{"Cache-Control", "no-cache"})
					w := httptest.NewRecorder()
					if err := f.Answer(w, r, injected); err == nil && w.Code < 500 {
						t.Errorf("no-cache got %d %s", w.Code, w.Body)
					}
					time.Sleep(30 * time.Minute)
					w = httptest.NewRecorder()
					if err := f.Answer(w, newRequest(t.Context(), "GET", "/v1/db/creds/app", ""), injected); err == nil && w.Code < 500 {
						t.Errorf("after its end it was answered with %d %s", w.Code, w.Body)
					}
				}
			})
		})
	}
}

// However many ask when it is due: one asks Vault.
func TestReplacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Value
		f := withRules(t, slowly(fixed(&fail)), dueRule(false))
		f.get("/v1/db/creds/app")
		time.Sleep(31 * time.Minute)
		by := map[string]int{}
		for _, w := range f.burst(100, "/v1/db/creds/app") {
			by[w.Header().Get("X-Cache")+" "+read(t, w).LeaseID]++
		}
		f.wantCalls(2)
		if by["MISS db/creds/app/2"] != 1 || by["COALESCED db/creds/app/2"] != 99 {
			t.Errorf("answers = %v", by)
		}
	})
}

// And when Vault does not answer that one, the others need not ask as well.
func TestStaleTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Value
		f := withRules(t, slowly(fixed(&fail)), dueRule(false))
		f.get("/v1/db/creds/app")
		time.Sleep(31 * time.Minute)
		fail.Store(failure{errLost})
		for _, w := range f.burst(100, "/v1/db/creds/app") {
			wantCache(t, w, "STALE")
		}
		f.wantCalls(2)
	})
}

// In the background it is replaced if somebody used it, by the same flight as a request would be, with the request's own words.
func TestRefreshedAhead(t *testing.T) {
	for _, used := range []bool{true, false} {
		t.Run(fmt.Sprint(used), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fail atomic.Value
				var last atomic.Value
				s := fixed(&fail)
				f := withRules(t, func(r *http.Request) (*http.Response, error) {
					last.Store(r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("X-Vault-Namespace") + " " + r.Header.Get("X-Vault-Token"))
					return s(r)
				}, dueRule(true))
				ask := func() *httptest.ResponseRecorder {
					return f.do(injected, "POST", "/v1/db/creds/app?a=b", `{"ttl":"1h"}`, with{"X-Vault-Namespace", "ns1"}, with{"Traceparent", "7"})
				}
				ask()
				if used {
					ask()
				}
				time.Sleep(31 * time.Minute)
				synctest.Wait()
				f.wantCalls(map[bool]int64{true: 2, false: 1}[used])
				if got := last.Load(); got != "POST /v1/db/creds/app?a=b ns1 "+autoToken {
					t.Errorf("sent %s", got)
				}
				w := ask()
				wantCache(t, w, map[bool]string{true: "HIT", false: "MISS"}[used])
				if id := read(t, w).LeaseID; id != "db/creds/app/2" {
					t.Errorf("lease %s", id)
				}
			})
		})
	}
}

const goneBody = `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`

// The auto-auth token was revoked behind our back: all that hung on it leaves, and the request is sent again with the next one.
func TestAGoneTokenIsReplacedInPassing(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		want               int
		calls              int64
	}{
		"read":             {"GET", "/v1/db/creds/new", "", 200, 2},
		"write":            {"POST", "/v1/db/creds/new", `{"a":1}`, 200, 2},
		"list":             {"LIST", "/v1/db/creds/new", "", 200, 2},
		"renewal":          {"PUT", "/v1/sys/leases/renew", `{"lease_id":"x"}`, 204, 2},
		"passing write":    {"POST", "/v1/sys/capabilities-self", `{"paths":["a"]}`, 204, 2},
		"large write":      {"POST", "/v1/sys/tools/hash", strings.Repeat("x", 65<<10), 403, 1}, // it streams
		"revocation":       {"PUT", "/v1/auth/token/revoke-self", "", 403, 1},                   // it does not mean the next one
		"bare refusal":     {"GET", "/v1/denied", "", 403, 1},
		"another's lookup": {"POST", "/v1/auth/token/lookup", `{"token":"x"}`, 403, 1},
	} {
		t.Run(name, func(t *testing.T) {
			normal := leases()
			f := newFixture(t, nil, cache.Options{})
			var revoked atomic.Bool
			f.vault.script = func(r *http.Request) (*http.Response, error) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/denied"):
					return reply(403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`), nil
				case strings.HasSuffix(r.URL.Path, "/lookup"):
					return reply(403, `{"errors":["bad token"]}`), nil
				case revoked.Load() && r.Header.Get("X-Vault-Token") == autoToken:
					return reply(403, goneBody), nil
				}
				return normal(r)
			}
			f.get("/v1/db/creds/old")
			revoked.Store(true)
			f.tokens.next = vault.NewToken("hvs.next")
			before := f.vault.calls.Load()
			w := f.do(injected, c.method, c.path, c.body)
			if w.Code != c.want || f.vault.calls.Load()-before != c.calls {
				t.Errorf("answer = %d after %d requests, want %d after %d", w.Code, f.vault.calls.Load()-before, c.want, c.calls)
			}
			left := map[bool]int{true: 1, false: 0}[name == "bare refusal" || name == "another's lookup"]
			if c.want == 200 && strings.Contains(c.path, "creds") && c.method != "LIST" {
				left = 0 // the next token is not known to the index of this test
			}
			if got := f.entries(); got != left {
				t.Errorf("%d entries, want %d", got, left)
			}
			if lost := len(f.tokens.lost); (lost == 1) != (left == 0) {
				t.Errorf("told of %d lost tokens", lost)
			}
		})
	}
}

// A token that was replaced while its request waited is not tried.
func TestAReplacedTokenIsNotTried(t *testing.T) {
	f := newFixture(t, leases(), cache.Options{})
	f.tokens.current = vault.NewToken("hvs.next")
	var seen string
	s := f.vault.script
	f.vault.script = func(r *http.Request) (*http.Response, error) {
		seen = r.Header.Get("X-Vault-Token")
		return s(r)
	}
	f.get("/v1/db/creds/app")
	f.wantCalls(1)
	if seen != "hvs.next" {
		t.Errorf("sent with %s", seen)
	}
}

// Nothing is created when no token lives long enough.
func TestWithoutALastingToken(t *testing.T) {
	f := newFixture(t, leases(), cache.Options{})
	f.get("/v1/db/creds/app")
	f.tokens.short = errors.New("too short")
	if err := f.Answer(httptest.NewRecorder(), newRequest(t.Context(), "GET", "/v1/db/creds/b", ""), injected); !errors.Is(err, f.tokens.short) {
		t.Errorf("Answer() = %v", err)
	}
	wantCache(t, f.get("/v1/db/creds/app"), "HIT")
	f.do(injected, "GET", "/v1/sys/health", "")
	// Without any token the client hears that, and not that Vault was slow.
	f.tokens.short = fmt.Errorf("wait: %w", context.DeadlineExceeded)
	if err := f.Answer(httptest.NewRecorder(), newRequest(t.Context(), "GET", "/v1/db/creds/b", ""), injected); !errors.Is(err, cache.ErrNoToken) {
		t.Errorf("Answer() = %v", err)
	}
	f.wantCalls(2)
}
