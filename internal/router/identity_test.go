package router_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/router"
	"leasehold/internal/vault"
)

func TestWhichTokenARequestCarries(t *testing.T) {
	for name, tc := range map[string]struct {
		fields                    []string
		never, whenAbsent, forced string // "auto" is the injected one
	}{
		"no token":                          {nil, "", "auto", "auto"},
		"X-Vault-Token":                     {[]string{"X-Vault-Token", "hvs.mine"}, "hvs.mine", "hvs.mine", "auto"},
		"bearer":                            {[]string{"Authorization", "Bearer hvs.mine"}, "hvs.mine", "hvs.mine", "auto"},
		"bearer with blanks":                {[]string{"Authorization", "Bearer  hvs.mine "}, "hvs.mine", "hvs.mine", "auto"},
		"a bearer that Vault does not read": {[]string{"Authorization", "bearer hvs.mine"}, "", "", "auto"},
		"both":                              {[]string{"X-Vault-Token", "hvs.mine", "Authorization", "Bearer hvs.2"}, "hvs.mine", "hvs.mine", "auto"},
		"an empty one":                      {[]string{"X-Vault-Token", ""}, "", "auto", "auto"},
		"an empty one and a bearer":         {[]string{"X-Vault-Token", "", "Authorization", "Bearer hvs.mine"}, "hvs.mine", "hvs.mine", "auto"},
		"an empty bearer":                   {[]string{"Authorization", "Bearer "}, "", "auto", "auto"},
		"two of them":                       {[]string{"X-Vault-Token", "hvs.mine", "X-Vault-Token", "hvs.2"}, "hvs.mine", "hvs.mine", "auto"},
		"a bearer among others":             {[]string{"Authorization", "Basic YTpi", "Authorization", "Bearer hvs.mine"}, "hvs.mine", "hvs.mine", "auto"},
		"another authorization":             {[]string{"Authorization", "Negotiate YII"}, "", "auto", "auto"},
		"the auto-auth token by its owner":  {[]string{"X-Vault-Token", autoToken}, autoToken, autoToken, "auto"},
	} {
		for use, want := range map[router.TokenUse]string{router.Never: tc.never, router.WhenAbsent: tc.whenAbsent, router.Force: tc.forced} {
			t.Run(fmt.Sprint(name, " ", use), func(t *testing.T) {
				f := newFixture(router.Options{TokenUse: use})
				r := newRequest("GET", "/v1/secret/app", "", tc.fields...)
				before := r.Header.Clone()
				if w := f.serve(r); w.Code != http.StatusOK {
					t.Fatalf("status = %d %s", w.Code, w.Body)
				}
				injected := want == "auto"
				if injected {
					want = autoToken
				}
				if got := f.answer.id; got.Token.Reveal() != want || got.Injected != injected {
					t.Errorf("token = %q, injected %v; want %q, %v", got.Token.Reveal(), got.Injected, want, injected)
				}
				if !maps.EqualFunc(before, f.answer.got.Header, slices.Equal[[]string]) {
					t.Errorf("header = %v, want it untouched: what leaves is upstream's affair", f.answer.got.Header)
				}
			})
		}
	}
}

func TestWithoutAutoAuthARequestKeepsItsOwnToken(t *testing.T) {
	answer := &fakeAnswer{}
	h := router.New(router.Parts{Answer: answer, Metrics: http.NotFoundHandler()}, router.Options{TokenUse: router.Force})
	h.ServeHTTP(nopWriter{}, newRequest("GET", "/v1/secret/app", "", "X-Vault-Token", "hvs.mine"))
	if got := answer.id; got.Token.Reveal() != "hvs.mine" || got.Injected {
		t.Errorf("token = %q, injected %v; want the request's own", got.Token.Reveal(), got.Injected)
	}
}

type nopWriter struct{}

func (nopWriter) Header() http.Header         { return nil }
func (nopWriter) WriteHeader(int)             {}
func (nopWriter) Write(p []byte) (int, error) { return len(p), nil }

func TestATokenThatCannotBeSentIsRefused(t *testing.T) {
	for _, fields := range [][]string{
		{"X-Vault-Token", "hvs.\x01"}, {"X-Vault-Token", "hvs.\u00e4"}, {"X-Vault-Token", "hvs.a\tb"}, {"Authorization", "Bearer hvs.\x7f"},
	} {
		for _, use := range []router.TokenUse{router.Never, router.WhenAbsent} {
			f := newFixture(router.Options{TokenUse: use})
			w := f.do("GET", "/v1/secret/app", "", fields...)
			wantError(t, w, http.StatusBadRequest, "the request's Vault token contains non-printable characters and cannot be used")
			if f.answer.got != nil {
				t.Errorf("%q was handed on", fields)
			}
		}
	}
}

// A listener lends the tokens of one login, and says whose they are.
func TestATokenIsLentUnderItsName(t *testing.T) {
	f := newFixture(router.Options{TokenUse: router.WhenAbsent, AutoAuth: "payments"})
	f.do("GET", "/v1/secret/app", "")
	if got := f.answer.id; !got.Injected || got.AutoAuth != "payments" {
		t.Errorf("identity of %q, injected %t; want the listener's", got.AutoAuth, got.Injected)
	}
	f.do("GET", "/v1/secret/app", "", "X-Vault-Token", "hvs.mine")
	if got := f.answer.id; got.Injected || got.AutoAuth != "" {
		t.Errorf("the client's own token is said to be that of %q", got.AutoAuth)
	}
}

// later gives a token after a while.
func later(d time.Duration) fakeTokens {
	return fakeTokens{await: func(ctx context.Context) (vault.Token, error) {
		select {
		case <-time.After(d):
			return vault.NewToken(autoToken), nil
		case <-ctx.Done():
			return vault.Token{}, context.Cause(ctx)
		}
	}}
}

func TestARequestWaitsForTheFirstLogin(t *testing.T) {
	for name, tc := range map[string]struct {
		login, wait, want time.Duration
		use               router.TokenUse
		own               []string
		status            int
	}{
		"login in time":           {3 * time.Second, 0, 3 * time.Second, router.WhenAbsent, nil, 200},
		"login in time, forced":   {3 * time.Second, 0, 3 * time.Second, router.Force, []string{"X-Vault-Token", "hvs.mine"}, 200},
		"login too late":          {6 * time.Second, 0, 5 * time.Second, router.WhenAbsent, nil, 503},
		"another wait":            {6 * time.Second, 10 * time.Second, 6 * time.Second, router.WhenAbsent, nil, 200},
		"a token of its own":      {time.Hour, 0, 0, router.WhenAbsent, []string{"X-Vault-Token", "hvs.mine"}, 200},
		"auto-auth not asked for": {time.Hour, 0, 0, router.Never, nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixtureWith(later(tc.login), router.Options{TokenUse: tc.use, TokenWait: tc.wait})
				start := time.Now()
				w := f.do("GET", "/v1/secret/app", "", tc.own...)
				if got := time.Since(start); got != tc.want {
					t.Errorf("answered after %v, want %v", got, tc.want)
				}
				if tc.status == http.StatusOK {
					if w.Code != http.StatusOK || f.answer.id.Injected != (tc.login < time.Hour) {
						t.Errorf("status = %d, injected %v", w.Code, f.answer.id.Injected)
					}
					return
				}
				wantError(t, w, tc.status, "auto-auth token not available yet")
				if f.answer.got != nil {
					t.Error("the request went to Vault without a token")
				}
			})
		})
	}
}

func TestAClientThatLeavesDoesNotWaitForTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(later(time.Hour), router.Options{TokenUse: router.WhenAbsent})
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		start := time.Now()
		f.serve(newRequest("GET", "/v1/secret/app", "").WithContext(ctx))
		if got := time.Since(start); got != time.Second {
			t.Errorf("request ended after %v, want 1s", got)
		}
		if len(f.failures) != 1 || f.failures[0].status != 499 || !errors.Is(f.failures[0].err, context.Canceled) {
			t.Errorf("failures = %v, want one of status 499 because the client left", f.failures)
		}
	})
}
