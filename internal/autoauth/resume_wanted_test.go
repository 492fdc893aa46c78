package autoauth_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
)

func TestStatusWhileResuming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: 3 * time.Hour, renewable: true}
		v.backAt(time.Hour, unreachable())
		r := run(t, v, method{}, autoauth.Options{Resume: lastRun(2 * time.Hour)})
		time.Sleep(30 * time.Minute)
		s := r.Status()
		if s.State != autoauth.Holding || !s.Resuming || s.Next != "lookup" || s.NextAt.Before(time.Now()) || s.Failures < 50 || !strings.Contains(s.LastError, "connection refused") {
			t.Errorf("%+v", s)
		}
		if left, known := s.SafeOutage(time.Now()); !known || left != 90*time.Minute {
			t.Errorf("safe for %v, %t", left, known)
		}
		time.Sleep(time.Hour)
		if s := r.Status(); s.Resuming || s.Next != "renewal" || s.Failures != 0 || s.LastError != "" {
			t.Errorf("when Vault is back: %+v", s)
		}
		r.end(t)
	})
}

// Credentials are watched although no login has used any.
func TestNewCredentialsAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, w := &fakeVault{ttl: time.Hour, renewable: true}, newWatched()
		v.backAt(time.Minute, unreachable())
		r := run(t, v, w, autoauth.Options{Resume: lastRun(0), ReauthOnNewCredentials: true})
		time.Sleep(10 * time.Minute)
		w.changes <- struct{}{}
		synctest.Wait()
		r.wantToken(t, "hvs.1")
		r.end(t)
	})
}

// A login that was asked for while Vault had not confirmed the last run's token, and that failed: the token is as good as before, and asked about again.
func TestReauthWhileResuming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, j := &fakeVault{ttl: 3 * time.Hour, renewable: true, onLogin: func(int) *reply { return unreachable() }}, &journal{}
		v.backAt(time.Hour, unreachable())
		v.onLogin = func(n int) *reply {
			if n == 1 {
				return unreachable()
			}
			return nil
		}
		r := run(t, v, method{}, autoauth.Options{Resume: lastRun(5 * time.Hour), Observers: []autoauth.Observer{j}})
		time.Sleep(time.Minute)
		if err := r.Reauth(t.Context()); err == nil {
			t.Fatal("Reauth succeeded without Vault")
		}
		time.Sleep(time.Minute)
		if s := r.Status(); !s.Resuming || s.State != autoauth.Holding || s.Next != "lookup" {
			t.Errorf("%+v", s)
		}
		r.wantToken(t, "hvs.0")
		// One that succeeds takes the place of the last run's token, which lives on until its end with all that hangs on it.
		if err := r.Reauth(t.Context()); err != nil {
			t.Fatal(err)
		}
		h := j.soFar().held[0]
		if h.Token.Reveal() != "hvs.2" || h.Previous.Reveal() != "hvs.0" || !h.PreviousAlive || !h.PreviousEnds.Equal(v.start.Add(5*time.Hour)) {
			t.Errorf("told of %+v", h)
		}
		r.end(t)
	})
}
