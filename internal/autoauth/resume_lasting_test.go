package autoauth_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
)

// Requests that want more life than the last run's token has do not drive the lookups, however many they are.
func TestLastingWhileTheLastRunsTokenIsNotConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: 3 * time.Hour, renewable: true}
		v.backAt(time.Hour, unreachable())
		r := run(t, v, method{}, autoauth.Options{Resume: lastRun(2 * time.Hour), MinTokenTTL: 150 * time.Minute})
		ask := func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := r.Lasting(ctx); err != nil && !errors.Is(err, autoauth.ErrNotLasting) {
				t.Errorf("Lasting() = %v", err)
			}
		}
		for time.Since(v.start) < time.Hour {
			go ask()
			time.Sleep(500 * time.Millisecond)
		}
		r.wantToken(t, "hvs.0")
		asked := v.requests(lookupPath)
		if n := len(asked); n < 3000 || n > 3610 {
			t.Errorf("%d lookups in the hour", n)
		}
		for i := 1; i < len(asked); i++ {
			within(t, "attempt", asked[i].at-asked[i-1].at, 750*time.Millisecond, 1100*time.Millisecond)
		}
		if got, err := r.Lasting(t.Context()); err != nil || got.Reveal() != "hvs.0" || v.logins() != 0 {
			t.Errorf("Lasting() = %v, %d logins", err, v.logins())
		}
		within(t, "the lasting token", time.Since(v.start), time.Hour, time.Hour+2*time.Second)
		r.end(t)
	})
}

// One request that comes right after a failure, when the pauses have grown, need neither wait for their end nor ask again.
func TestOneHurryCutsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		v := &fakeVault{ttl: 3 * time.Hour, renewable: true}
		v.onLookup = func(int) *reply {
			if !back.Load() {
				return unreachable()
			}
			return nil
		}
		r := run(t, v, method{}, autoauth.Options{Resume: lastRun(2 * time.Hour), MinTokenTTL: 150 * time.Minute})
		time.Sleep(30 * time.Minute)
		for n := v.lookups(); v.lookups() == n; {
			time.Sleep(10 * time.Millisecond)
		}
		back.Store(true)
		asked := time.Now()
		if got, err := r.Lasting(t.Context()); err != nil || got.Reveal() != "hvs.0" {
			t.Errorf("Lasting() = %v", err)
		}
		within(t, "the lasting token", time.Since(asked), 900*time.Millisecond, time.Second)
		r.end(t)
	})
}

func TestLastingUnderAConfirmedToken(t *testing.T) {
	for name, tc := range map[string]struct {
		lookup           *reply
		renewal          *reply        // nil: for the hour that a login gives as well
		role             time.Duration // of a login; 0: an hour
		logins, renewals int           // for the first request
		short            bool          // the log warns of the role
	}{
		"lasts":                        {lookup: lookedUp("hvs.0", time.Hour, time.Hour, true)},
		"does not expire":              {lookup: lookedUp("hvs.0", 0, 0, false)},
		"too short, renewable":         {lookup: lookedUp("hvs.0", 3*time.Minute, time.Hour, true), renewals: 1},
		"too short, not renewable":     {lookup: lookedUp("hvs.0", 3*time.Minute, time.Hour, false), logins: 1},
		"its renewal brings little":    {lookup: lookedUp("hvs.0", 3*time.Minute, time.Hour, true), renewal: granted("hvs.0", 5*time.Minute, true), renewals: 1, logins: 1},
		"its renewal brings less":      {lookup: lookedUp("hvs.0", 3*time.Minute, time.Hour, true), renewal: granted("hvs.0", time.Minute, true), renewals: 1, logins: 1},
		"its renewal is refused":       {lookup: lookedUp("hvs.0", 3*time.Minute, time.Hour, true), renewal: refused(403, "permission denied"), renewals: 1, logins: 1},
		"a role of short lives":        {lookup: lookedUp("hvs.0", 4*time.Minute, 5*time.Minute, true), role: 5 * time.Minute, short: true},
		"a role of short lives, later": {lookup: lookedUp("hvs.0", 2*time.Minute, 5*time.Minute, true), role: 5 * time.Minute, renewals: 1, short: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{ttl: tc.role, renewable: true, onLookup: func(int) *reply { return tc.lookup }}
				if v.ttl == 0 {
					v.ttl = time.Hour
				}
				v.onRenew = func(n int) *reply {
					if n == 1 {
						return tc.renewal
					}
					return nil
				}
				r := run(t, v, method{}, autoauth.Options{Resume: lastRun(0), MinTokenTTL: 10 * time.Minute})
				synctest.Wait()
				begun := time.Now()
				if got, err := r.Lasting(t.Context()); err != nil || got.IsZero() {
					t.Errorf("Lasting() = %v", err)
				}
				synctest.Wait()
				if took := time.Since(begun); took != 0 || v.logins() != tc.logins || v.renewals() != tc.renewals || v.lookups() != 1 {
					t.Errorf("%d logins, %d renewals, %d lookups in %v, want %d and %d at once", v.logins(), v.renewals(), v.lookups(), took, tc.logins, tc.renewals)
				}
				asks(t, r, v, time.Hour, 0)
				if n := v.renewals() + v.logins(); n > 40 {
					t.Errorf("%d requests in an hour", n)
				}
				if short := strings.Contains(r.log.String(), "live so short"); short != tc.short {
					t.Errorf("the log calls the role short-lived: %t", short)
				}
				r.end(t)
			})
		})
	}
}
