package cache_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// explain asks what would become of a request, and checks that asking has no effect.
func (f *fixture) explain(t rapid.TB, id vault.Identity, method, target string, fields ...with) cache.Explanation {
	t.Helper()
	calls, entries, bytes := f.vault.calls.Load(), f.entries(), f.bytes()
	e := f.Explain(newRequest(f.t.Context(), method, target, "", fields...), id)
	if f.vault.calls.Load() != calls || f.entries() != entries || f.bytes() != bytes {
		t.Errorf("to explain %s %s asks Vault, or changes what is held", method, target)
	}
	return e
}

func (f *fixture) bytes() int64 {
	_, n, _ := f.index.Stats()
	return n
}

// agrees sends what was explained, and compares: the outcome, and whether the answer is kept.
func (f *fixture) agrees(t rapid.TB, said cache.Explanation, id vault.Identity, method, target string, fields ...with) {
	t.Helper()
	before := f.entries()
	w := httptest.NewRecorder()
	err := f.Answer(w, newRequest(f.t.Context(), method, target, "", fields...), id)
	got := w.Header().Get("X-Cache")
	switch {
	case errors.Is(err, cache.ErrConcealed):
		got = cache.Refused
	case err != nil:
		t.Fatalf("%s %s: %v", method, target, err)
	}
	if got != said.Outcome || said.Why == "" {
		t.Errorf("%s %s with %v, %v is %q; it was said to be %q, because %q", method, target, id, fields, got, said.Outcome, said.Why)
	}
	if f.entries() > before && said.Kept == "" {
		t.Errorf("%s %s is kept, and nothing was said of that (%s)", method, target, said.Why)
	}
	if (said.Entry != nil) != (said.Outcome == "HIT") || said.Entry != nil && read(f.t, w).LeaseID+read(f.t, w).Auth.ClientToken == "" {
		t.Errorf("%s %s: said to be %s, from %v; it is %s", method, target, said.Outcome, said.Entry, w.Body)
	}
}

// Whatever was asked before, Explain says what Answer does then.
func TestExplainAgreesWithAnswer(t *testing.T) {
	rules := []lease.Rule{{Path: "off/*", Pass: true}, {Path: "short/*", NonRenewable: true}}
	identities := []vault.Identity{injected, ownAuto, other, noToken, {Token: vault.NewToken("hvs.login1")}}
	paths := []string{
		"/v1/db/creds/a", "/v1/db/creds/b", "/v1/db/creds/a?x=1", "/v1/off/creds/a", "/v1/short/creds/a", "/v1/auth/approle/login", "/v1/kv/data/a",
		"/v1/sys/health", "/v1/sys/leases/renew", "/v1/sys/leases/revoke/db/creds/a/1", "/v1/sys/leases/revoke-prefix/db", "/v1/auth/token/lookup-self",
		"/v1/auth/token/renew-self", "/v1/auth/token/revoke-self", "/v1/auth/token/create", "/v1/team/db/creds/a", "/", "/v1/",
	}
	headers := [][]with{nil, nil, nil, {{"X-Vault-Namespace", "team"}}, {{"X-Vault-Wrap-TTL", "60"}}, {{"X-Vault-MFA", "m:1"}}, {{"Traceparent", "x"}}}
	for name, off := range map[string]bool{"with a cache": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				f := &fixture{t: t, vault: &fakeVault{script: leases()}, index: lease.NewIndex(lease.Options{Rules: rules}), tokens: &fakeTokens{}, meter: &counts{}}
				f.index.Hold("", injected.Token, "accessor.auto-auth", "", time.Time{})
				var err error
				if f.Cache, err = cache.New(f.index, f.vault, f.tokens, f.meter, cache.Options{Off: off}); err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				for range rapid.IntRange(1, 25).Draw(r, "requests") {
					id, target := rapid.SampledFrom(identities).Draw(r, "token"), rapid.SampledFrom(paths).Draw(r, "path")
					method := rapid.SampledFrom([]string{"GET", "GET", "GET", "PUT", "POST", "LIST", "DELETE", "HEAD"}).Draw(r, "method")
					fields := rapid.SampledFrom(headers).Draw(r, "headers")
					f.agrees(r, f.explain(r, id, method, target, fields...), id, method, target, fields...)
				}
			})
		})
	}
}

// What waits for another request, and what goes alone since the last answer was not kept.
func TestExplainWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, slowly(always(http.StatusOK, kvBody)), cache.Options{})
		const target = "/v1/kv/a"
		first := f.begin(target)
		if e := f.explain(t, injected, "GET", target); e.Outcome != "COALESCED" || e.Kept != "" {
			t.Errorf("while the same is under way: %+v", e)
		}
		if e := f.explain(t, other, "GET", target); e.Outcome != "MISS" {
			t.Errorf("with another token: %+v", e)
		}
		<-first.done
		synctest.Wait()
		if e := f.explain(t, injected, "GET", target); e.Outcome != "MISS" || e.Why == "nothing is held" {
			t.Errorf("after an answer that was not kept: %+v", e)
		}
		alone := f.begin(target)
		if e := f.explain(t, injected, "GET", target); e.Outcome != "MISS" {
			t.Errorf("while one that nobody waits for is under way: %+v", e)
		}
		<-alone.done
	})
}

// What is due is a miss, and the entry is told that answers when Vault does not.
func TestExplainWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Value
		f := withRules(t, fixed(&fail), dueRule(false))
		const target = "/v1/db/creds/app"
		f.get(target)
		if e := f.explain(t, injected, "GET", target); e.Outcome != "HIT" || e.Entry == nil || e.Rule == nil {
			t.Errorf("what is held: %+v", e)
		}
		time.Sleep(31 * time.Minute)
		e := f.explain(t, injected, "GET", target)
		if e.Outcome != "MISS" || e.Entry == nil || e.Kept != "any lease that ends, and a token that can be renewed" {
			t.Errorf("what is due: %+v", e)
		}
		wantCache(t, f.get(target), "MISS")
		fail.Store(http.StatusServiceUnavailable)
		time.Sleep(31 * time.Minute)
		held := f.explain(t, injected, "GET", target).Entry
		if held == nil || held == e.Entry {
			t.Errorf("what is due is %v, after %v", held, e.Entry)
		}
		wantCache(t, f.get(target), "STALE")
	})
}

func TestExplainWhatIsKept(t *testing.T) {
	f := newFixture(t, leases(), cache.Options{})
	for _, c := range []struct {
		id   vault.Identity
		want string
	}{
		{injected, "a lease or a token that can be renewed"},
		{other, "a login's token that can be renewed, or an orphan token; no lease, since the request's token was not issued through here"},
		{noToken, "a login's token that can be renewed, or an orphan token; no lease, since the request's token was not issued through here"},
	} {
		if e := f.explain(t, c.id, "GET", "/v1/db/creds/a"); e.Kept != c.want || e.Kind != lease.Creation {
			t.Errorf("with %v: %+v", c.id, e)
		}
	}
}
