package cache_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// fakeLogins are several logins at once.
type fakeLogins struct {
	mu   sync.Mutex
	held map[vault.AutoAuthName]string
	next map[vault.AutoAuthName]string // takes the place of one that is called invalid
	lost []string
}

func (f *fakeLogins) Holder(t vault.Token) (vault.AutoAuthName, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, token := range f.held {
		if token == t.Reveal() {
			return name, true
		}
	}
	return "", false
}

func (f *fakeLogins) Await(_ context.Context, name vault.AutoAuthName) (vault.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return vault.NewToken(f.held[name]), nil
}

func (f *fakeLogins) Lasting(ctx context.Context, name vault.AutoAuthName) (vault.Token, error) {
	return f.Await(ctx, name)
}

func (f *fakeLogins) Invalidate(t vault.Token) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = append(f.lost, t.Reveal())
	for name, token := range f.held {
		if token == t.Reveal() && f.next[name] != "" {
			f.held[name] = f.next[name]
		}
	}
}

const (
	tokenA = "hvs.token-of-login-a-1"
	nextA  = "hvs.token-of-login-a-2"
	tokenB = "hvs.token-of-login-b-1"
)

// lent is an identity of a login.
func lent(name vault.AutoAuthName, token string) vault.Identity {
	return vault.Identity{Token: vault.NewToken(token), Injected: true, AutoAuth: name}
}

// twoLogins is a fixture with the logins a and b. sent are the tokens that Vault was sent, in order.
func twoLogins(t testing.TB, s script, rules ...lease.Rule) (f *fixture, logins *fakeLogins, sent func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	record := func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		seen = append(seen, r.Header.Get("X-Vault-Token"))
		mu.Unlock()
		return s(r)
	}
	logins = &fakeLogins{held: map[vault.AutoAuthName]string{"a": tokenA, "b": tokenB}, next: map[vault.AutoAuthName]string{"a": nextA}}
	f = &fixture{t: t, vault: &fakeVault{script: record}, index: lease.NewIndex(lease.Options{Rules: rules}), meter: &counts{}}
	for name, token := range logins.held {
		f.index.Hold(name, vault.NewToken(token), vault.Accessor("accessor.of-"+token), "", time.Time{})
	}
	var err error
	if f.Cache, err = cache.New(f.index, f.vault, logins, f.meter, cache.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f, logins, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

func wantSent(t testing.TB, got func() []string, want ...string) {
	t.Helper()
	if seen := got(); !slices.Equal(seen, want) {
		t.Errorf("Vault was sent %q, want %q", seen, want)
	}
}

// The same request by two logins is two questions, and each has its own answer.
func TestLoginsHaveTheirOwnAnswers(t *testing.T) {
	f, _, sent := twoLogins(t, leases())
	a, b := lent("a", tokenA), lent("b", tokenB)
	first, second := f.do(a, "GET", "/v1/db/creds/app", ""), f.do(b, "GET", "/v1/db/creds/app", "")
	wantCache(t, first, "MISS")
	wantCache(t, second, "MISS")
	idA, idB := read(t, first).LeaseID, read(t, second).LeaseID
	for range 2 {
		hitA, hitB := f.do(a, "GET", "/v1/db/creds/app", ""), f.do(b, "GET", "/v1/db/creds/app", "")
		wantCache(t, hitA, "HIT")
		wantCache(t, hitB, "HIT")
		if read(t, hitA).LeaseID != idA || read(t, hitB).LeaseID != idB || idA == idB {
			t.Errorf("a has %q and then %q, b %q and then %q", idA, read(t, hitA).LeaseID, idB, read(t, hitB).LeaseID)
		}
	}
	wantSent(t, sent, tokenA, tokenB)
}

// Side by side they do not wait for each other's answers either.
func TestLoginsDoNotShareAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, sent := twoLogins(t, slowly(leases()))
		var wg sync.WaitGroup
		ids := make([]string, 2)
		for i, id := range []vault.Identity{lent("a", tokenA), lent("b", tokenB)} {
			wg.Go(func() { ids[i] = read(t, f.do(id, "GET", "/v1/db/creds/app", "")).LeaseID })
		}
		wg.Wait()
		if len(sent()) != 2 || ids[0] == ids[1] {
			t.Errorf("%d requests brought %q", len(sent()), ids)
		}
	})
}

// A request whose token is gone is repeated with the next token of its own login.
func TestARepeatTakesTheTokenOfItsLogin(t *testing.T) {
	gone := func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("X-Vault-Token") == tokenA {
			return reply(http.StatusForbidden, goneBody), nil
		}
		return leases()(r)
	}
	for _, target := range []string{"/v1/db/creds/app", "/v1/sys/mounts"} {
		t.Run(target, func(t *testing.T) {
			f, logins, sent := twoLogins(t, gone)
			kept := read(t, f.do(lent("b", tokenB), "GET", "/v1/db/creds/b", "")).LeaseID
			f.do(lent("a", tokenA), "GET", target, "")
			f.do(lent("a", tokenA), "GET", target+"2", "") // it was lent before the token went
			wantSent(t, sent, tokenB, tokenA, nextA, nextA)
			if !slices.Equal(logins.lost, []string{tokenA}) {
				t.Errorf("invalid are %q", logins.lost)
			}
			hit := f.do(lent("b", tokenB), "GET", "/v1/db/creds/b", "")
			wantCache(t, hit, "HIT")
			if read(t, hit).LeaseID != kept {
				t.Error("the other login has lost its lease")
			}
		})
	}
}

// A revocation tells of those tokens that it took, and of no other.
func TestARevocationTakesTheTokensItNames(t *testing.T) {
	for name, c := range map[string]struct {
		path, body string
		want       []string
	}{
		"by accessor": {"/v1/auth/token/revoke-accessor", `{"accessor":"accessor.of-` + tokenA + `"}`, []string{tokenA}},
		"itself":      {"/v1/auth/token/revoke-self", "", []string{tokenB}},
		"neither":     {"/v1/auth/token/revoke-accessor", `{"accessor":"another"}`, nil},
		"a namespace": {"/v1/sys/namespaces/x", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f, logins, _ := twoLogins(t, leases())
			f.do(lent("b", tokenB), "POST", c.path, c.body)
			if !slices.Equal(logins.lost, c.want) {
				t.Errorf("invalid are %q, want %q", logins.lost, c.want)
			}
		})
	}
}

// Each answer passes the mask of the token that its request was lent, in whatever order the logins come, and whichever token is theirs.
func TestEachLoginHasItsMask(t *testing.T) {
	f, _, _ := twoLogins(t, func(r *http.Request) (*http.Response, error) {
		token := r.Header.Get("X-Vault-Token")
		return reply(http.StatusOK, `{"data":{"t":"`+token+`","a":"accessor.of-`+token+`"}}`), nil
	})
	f.index.Hold("a", vault.NewToken(nextA), "accessor.of-"+nextA, "", time.Now().Add(time.Hour))
	for range 3 {
		for _, id := range []vault.Identity{lent("a", tokenA), lent("b", tokenB), lent("a", nextA)} {
			id.Repeated = true // a token that is not the current one is lent only so
			got := f.do(id, "GET", "/v1/sys/x", "").Body.String()
			want := `{"data":{"t":"` + blotted(tokenA) + `","a":"` + blotted("accessor.of-"+tokenA) + `"}}` // theirs are of one length
			if got != want {
				t.Errorf("%s was answered %s, want %s", id.AutoAuth, got, want)
			}
		}
	}
}

// A client that brings the token of any login as its own gets no answer kept that names it.
func TestWhatNamesTheTokenOfAnyLoginIsNotKept(t *testing.T) {
	for _, token := range []string{tokenA, tokenB} {
		f, _, _ := twoLogins(t, always(http.StatusOK, strings.Replace(leaseBody("db/creds/app/1", 3600), `"data":{`, `"data":{"x":"`+token+`",`, 1)))
		f.do(vault.Identity{Token: vault.NewToken(token)}, "GET", "/v1/db/creds/app", "")
		if n := f.entries(); n != 0 {
			t.Errorf("%d entries, want none", n)
		}
	}
}

// What is refreshed ahead is asked for with the token that it hangs on.
func TestARefreshTakesTheTokenOfItsLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Value
		f, _, sent := twoLogins(t, fixed(&fail), dueRule(true)...)
		ctx, stop := context.WithCancel(t.Context())
		var clock sync.WaitGroup
		clock.Go(func() {
			if err := lease.NewClock(f.index, renewing{}, discardLog, lease.ClockOptions{Refresh: f.Refresh}).Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer clock.Wait()
		defer stop()
		both := []vault.Identity{lent("a", tokenA), lent("b", tokenB)}
		for range 2 {
			for _, id := range both {
				f.do(id, "GET", "/v1/db/creds/app", "")
			}
		}
		time.Sleep(31 * time.Minute)
		asked := sent()
		slices.Sort(asked)
		if !slices.Equal(asked, []string{tokenA, tokenA, tokenB, tokenB}) {
			t.Errorf("Vault was sent %q", asked)
		}
		for _, id := range both {
			wantCache(t, f.do(id, "GET", "/v1/db/creds/app", ""), "HIT")
		}
	})
}
