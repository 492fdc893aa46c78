package autoauth_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
)

// wantStatus checks the state, since when it is so, and what comes next.
func (r *running) wantStatus(t *testing.T, what string, want autoauth.State, since time.Time, next string) autoauth.Status {
	t.Helper()
	s := r.Status()
	if s.State != want || !s.Since.Equal(since) || s.Next != next {
		t.Errorf("%s: %s since %v, next %q; want %s since %v, next %q", what, s.State, s.Since, s.Next, want, since, next)
	}
	return s
}

// The whole life of a token: each step takes a minute at Vault, so that it can be looked at.
func TestStatusTellsEachStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{}
		slow := func(a *reply) *reply { a.delay = time.Minute / 2; return a }
		v.onLogin = func(n int) *reply {
			if n == 1 {
				return slow(refused(400, "invalid role or secret ID"))
			}
			return slow(granted("hvs.2", time.Hour, true))
		}
		v.onRenew = func(n int) *reply {
			if n == 1 {
				return slow(unreachable())
			}
			return slow(granted("hvs.2", 30*time.Minute, true)) // the max TTL is in sight
		}
		r := prepare(t, v, method{}, autoauth.Options{MinBackoff: time.Minute})
		r.wantStatus(t, "before Run", autoauth.Unauthenticated, v.start, "")
		r.start()
		synctest.Wait()
		r.wantStatus(t, "first login", autoauth.LoggingIn, v.start, "login")
		time.Sleep(40 * time.Second)
		s := r.wantStatus(t, "after a failure", autoauth.Unauthenticated, v.start, "login")
		if pause := s.NextAt.Sub(v.start.Add(30 * time.Second)); s.Failures != 1 || !strings.Contains(s.LastError, "invalid role or secret ID") || pause < 45*time.Second || pause > time.Minute {
			t.Errorf("after a failure: %+v", s)
		}
		time.Sleep(time.Until(s.NextAt) + time.Second)
		r.wantStatus(t, "second login", autoauth.LoggingIn, v.start, "login")
		held := s.NextAt.Add(30 * time.Second)
		time.Sleep(time.Minute)
		s = r.wantStatus(t, "held", autoauth.Holding, held, "renewal")
		if left, known := s.SafeOutage(time.Now()); s.Failures != 0 || s.LastError != "" || s.Accessor != "acc.2" || !known || left != time.Until(s.Expires) || left < 58*time.Minute {
			t.Errorf("held: %+v, safe for %v", s, left)
		}
		time.Sleep(time.Until(s.NextAt) + time.Second)
		r.wantStatus(t, "renewing", autoauth.Renewing, held, "renewal")
		time.Sleep(30 * time.Second)
		s = r.wantStatus(t, "after a renewal that failed", autoauth.Holding, held, "renewal")
		if !strings.Contains(s.LastError, "connection refused") || s.Failures != 1 {
			t.Errorf("after a renewal that failed: %+v", s)
		}
		time.Sleep(time.Until(s.NextAt) + 40*time.Second)
		s = r.wantStatus(t, "after the renewal", autoauth.Holding, held, "login")
		if s.Failures != 0 || s.LastError != "" {
			t.Errorf("after the renewal: %+v", s)
		}
		time.Sleep(time.Until(s.NextAt) + time.Second)
		r.wantStatus(t, "replacing", autoauth.Replacing, held, "login")
		time.Sleep(time.Minute)
		r.Invalidate(r.Token())
		synctest.Wait()
		if s := r.Status(); s.State != autoauth.LoggingIn || !s.Since.Equal(time.Now()) || !s.Expires.IsZero() || s.Accessor != "" {
			t.Errorf("after the token's loss: %+v", s)
		}
		r.stop()
		time.Sleep(time.Minute) // for what is under way
	})
}

// The token of the last run is there since the start, and confirmed since Vault has answered; another token that replaces it is there since its login.
func TestStatusTellsSinceWhenATokenIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true}
		v.backAt(10*time.Second, unreachable())
		r := run(t, v, method{}, autoauth.Options{Resume: lastRun(time.Hour)})
		time.Sleep(5 * time.Second)
		if s := r.wantStatus(t, "restored", autoauth.Holding, v.start, "lookup"); !s.Resuming || s.Failures == 0 {
			t.Errorf("restored: %+v", s)
		}
		time.Sleep(time.Minute / 2)
		if s := r.Status(); s.Resuming || s.Since.Sub(v.start) < 10*time.Second || s.Since.Sub(v.start) > 25*time.Second {
			t.Errorf("confirmed: %+v", s)
		}
		if err := r.Reauth(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		now := time.Now()
		time.Sleep(time.Hour)
		r.wantStatus(t, "replaced, and renewed since", autoauth.Holding, now, "renewal")
		r.end(t)
	})
}

func TestStatusOfATokenThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, &fakeVault{}, method{}, autoauth.Options{})
		synctest.Wait()
		s := r.wantStatus(t, "held", autoauth.Holding, time.Now(), "")
		if _, known := s.SafeOutage(time.Now()); known || !s.NextAt.IsZero() {
			t.Errorf("%+v", s)
		}
		r.stop()
		synctest.Wait()
	})
}
