package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

func TestAHitIsTheStoredAnswerWithWhatIsLeft(t *testing.T) {
	for name, tc := range map[string]struct {
		target, body, want string
		id                 vault.Identity
	}{
		"lease": {"/v1/db/creds/app", leaseBody("db/creds/app/1", 3600), leaseBody("db/creds/app/1", 3000), injected},
		"token": {"/v1/auth/approle/login", tokenBody("hvs.login", 3600), tokenBody("hvs.login", 3000), noToken},
		"fewer digits": {
			"/v1/db/creds/app", leaseBody("db/creds/app/1", 1500), leaseBody("db/creds/app/1", 900), injected,
		},
		"spaces around the digits": {
			"/v1/db/creds/app",
			"{ \"lease_id\" : \"db/creds/app/1\" ,\n \"lease_duration\" :\t3600 , \"renewable\" : true }\n",
			"{ \"lease_id\" : \"db/creds/app/1\" ,\n \"lease_duration\" :\t3000 , \"renewable\" : true }\n", injected,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, always(http.StatusOK, tc.body), cache.Options{})
				miss := f.do(tc.id, "POST", tc.target, "{}")
				wantCache(t, miss, "MISS")
				if miss.Body.String() != tc.body || miss.Header().Get("Age") != "" {
					t.Errorf("miss = %s with Age %q, want Vault's own answer", miss.Body, miss.Header().Get("Age"))
				}
				time.Sleep(10 * time.Minute)
				hit := f.do(tc.id, "POST", tc.target, "{}")
				wantCache(t, hit, "HIT")
				if hit.Body.String() != tc.want {
					t.Errorf("hit = %s, want %s", hit.Body, tc.want)
				}
				if got, want := hit.Header().Get("Content-Length"), strconv.Itoa(len(tc.want)); got != want {
					t.Errorf("Content-Length = %q, want %q", got, want)
				}
				if got := hit.Header().Get("Age"); got != "600" {
					t.Errorf("Age = %q, want 600", got)
				}
				f.wantCalls(1)
			})
		})
	}
}

func TestAHitReplaysTheHeader(t *testing.T) {
	stored := reply(http.StatusCreated, leaseBody("db/creds/app/1", 3600),
		with{"Cache-Control", "no-store"}, with{"Content-Type", "application/json; charset=utf-8"}, with{"Strict-Transport-Security", "max-age=1"},
		with{"Date", "Mon, 01 Jan 2001 00:00:00 GMT"}, with{"Content-Length", "1"}, with{"Connection", "close"}, with{"Age", "7"},
		with{"X-Cache", "HIT from elsewhere"}, with{"Trailer", "X-Sum"})
	stored.Header["Warning"] = []string{"199 - one", "199 - two"}
	var f *fixture
	var w *httptest.ResponseRecorder
	synctest.Test(t, func(t *testing.T) {
		f = newFixture(t, func(*http.Request) (*http.Response, error) { return stored, nil }, cache.Options{})
		wantCache(t, f.get("/v1/db/creds/app"), "MISS")
		w = f.get("/v1/db/creds/app")
	})
	wantCache(t, w, "HIT")
	if w.Code != http.StatusCreated {
		t.Errorf("status = %d, want 201", w.Code)
	}
	for name, want := range map[string][]string{
		"Cache-Control":             {"no-store"},
		"Content-Type":              {"application/json; charset=utf-8"},
		"Strict-Transport-Security": {"max-age=1"},
		"Warning":                   {"199 - one", "199 - two"},
		"Age":                       {"0"},
		"X-Cache":                   {"HIT"},
		"Date":                      nil, // net/http writes the present one
		"Connection":                nil,
		"Trailer":                   nil,
		"Content-Length":            {strconv.Itoa(w.Body.Len())},
	} {
		if got := w.Header()[name]; !slices.Equal(got, want) {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if hits, misses, answered := f.meter.hits.Load(), f.meter.misses.Load(), f.meter.answered.Load(); hits != 1 || misses != 1 || answered != 2 {
		t.Errorf("counted %d hits, %d misses, %d answers; want 1, 1, 2", hits, misses, answered)
	}
}

func TestReplayTTLRepeatsTheFirstDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, leases(), cache.Options{ReplayTTL: true})
		first := f.get("/v1/db/creds/app").Body.String()
		time.Sleep(59 * time.Minute)
		w := f.get("/v1/db/creds/app")
		wantCache(t, w, "HIT")
		if got := w.Body.String(); got != first {
			t.Errorf("hit = %s, want %s", got, first)
		}
	})
}

// A duration of 0 means "does not expire" to Vault's clients.
func TestAHitNeverSaysZeroSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, leases(), cache.Options{})
		f.get("/v1/db/creds/app")
		time.Sleep(time.Hour - 2*time.Second)
		for range 12 {
			if got := read(t, f.get("/v1/db/creds/app")).LeaseDuration; got < 1 {
				t.Errorf("lease_duration = %d", got)
			}
			time.Sleep(250 * time.Millisecond)
		}
		f.wantCalls(2)
	})
}

// renewing is a Vault that renews everything by an hour.
type renewing struct{}

func (renewing) RenewLease(context.Context, vault.Namespace, vault.Token, vault.LeaseID) (vault.Grant, error) {
	return vault.Grant{TTL: time.Hour, Renewable: true}, nil
}

func (renewing) RenewSelf(context.Context, vault.Namespace, vault.Token) (vault.Grant, error) {
	return vault.Grant{TTL: time.Hour, Renewable: true}, nil
}

func TestTheClockExtendsWhatAHitReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, leases(), cache.Options{})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- lease.NewClock(f.index, renewing{}, slog.New(slog.DiscardHandler), lease.ClockOptions{}).Run(ctx)
		}()
		first := read(t, f.get("/v1/db/creds/app"))
		time.Sleep(24*time.Hour + time.Minute)
		w := f.get("/v1/db/creds/app")
		wantCache(t, w, "HIT")
		got := read(t, w)
		if got.LeaseID != first.LeaseID || got.LeaseDuration < 600 || got.LeaseDuration > 3600 {
			t.Errorf("after a day: lease %s of %d s, want the first one, renewed", got.LeaseID, got.LeaseDuration)
		}
		if got := w.Header().Get("Age"); got != "86460" {
			t.Errorf("Age = %q, want 86460: the answer is a day old", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAClientsRenewalMovesWhatAHitReports(t *testing.T) {
	for name, tc := range map[string]struct {
		create, renew, asked string
		first, renewed       string
		duration             func(secret) int
	}{
		"lease": {
			"/v1/db/creds/app", "/v1/sys/leases/renew", `{"lease_id":"db/creds/app/1"}`,
			leaseBody("db/creds/app/1", 3600), `{"lease_id":"db/creds/app/1","renewable":true,"lease_duration":7200}`,
			func(s secret) int { return s.LeaseDuration },
		},
		"lease, shortened": {
			"/v1/db/creds/app", "/v1/sys/leases/renew/db/creds/app/1", `{"increment":60}`,
			leaseBody("db/creds/app/1", 3600), `{"lease_id":"db/creds/app/1","renewable":true,"lease_duration":60}`,
			func(s secret) int { return s.LeaseDuration },
		},
		"token": {
			"/v1/auth/approle/login", "/v1/auth/token/renew-self", "",
			tokenBody("hvs.login", 3600), tokenBody("hvs.login", 7200),
			func(s secret) int { return s.Auth.LeaseDuration },
		},
		"token, by its accessor": {
			"/v1/auth/approle/login", "/v1/auth/token/renew-accessor", `{"accessor":"accessor.hvs.login"}`,
			tokenBody("hvs.login", 3600),
			strings.Replace(tokenBody("hvs.login", 7200), `"client_token":"hvs.login"`, `"client_token":""`, 1),
			func(s secret) int { return s.Auth.LeaseDuration },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == tc.create {
						return reply(http.StatusOK, tc.first), nil
					}
					return reply(http.StatusOK, tc.renewed), nil
				}, cache.Options{})
				f.do(ownAuto, "POST", tc.create, "")
				time.Sleep(30 * time.Minute)
				w := f.do(ownAuto, "POST", tc.renew, tc.asked)
				wantCache(t, w, "BYPASS")
				if got := w.Body.String(); got != tc.renewed {
					t.Errorf("renewal = %s, want it as Vault gave it: %s", got, tc.renewed)
				}
				want := tc.duration(read(t, w)) - 10
				time.Sleep(10 * time.Second)
				w = f.do(ownAuto, "POST", tc.create, "")
				wantCache(t, w, "HIT")
				if got := tc.duration(read(t, w)); got != want {
					t.Errorf("lease_duration 10 s after the renewal = %d, want %d", got, want)
				}
			})
		})
	}
}

// A client that leaves while a hit is written does no harm.
func TestAHitToAClientThatLeft(t *testing.T) {
	f := newFixture(t, leases(), cache.Options{})
	f.get("/v1/db/creds/app")
	if err := f.Answer(gone{httptest.NewRecorder()}, newRequest(t.Context(), "GET", "/v1/db/creds/app", ""), injected); err != nil {
		t.Errorf("error = %v, want none: the header was written", err)
	}
}

type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) { return 0, fmt.Errorf("write: %w", errLost) }
