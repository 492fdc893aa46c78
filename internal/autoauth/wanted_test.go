package autoauth_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
)

// watched is a method whose credentials change when somebody says so.
type watched struct {
	method
	began   chan struct{} // closed when Watch is called
	changes chan struct{}
}

func newWatched() *watched {
	return &watched{began: make(chan struct{}), changes: make(chan struct{})}
}

func (w *watched) Watch(ctx context.Context, changed func()) {
	close(w.began)
	for {
		select {
		case <-w.changes:
			changed()
		case <-ctx.Done():
			return
		}
	}
}

func TestNewCredentialsAreUsedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, w, j := &fakeVault{ttl: time.Hour, renewable: true}, newWatched(), &journal{}
		r := run(t, v, w, autoauth.Options{ReauthOnNewCredentials: true, Observers: []autoauth.Observer{j}})
		time.Sleep(10 * time.Minute)
		w.changes <- struct{}{}
		synctest.Wait()
		r.wantToken(t, "hvs.2")
		if h := j.soFar().held[1]; h.Previous.Reveal() != "hvs.1" || !h.PreviousAlive || len(j.lost) != 0 {
			t.Errorf("the old token was lost: %+v", h)
		}
		time.Sleep(time.Minute)
		for range 1000 { // a file system that tells of everything
			w.changes <- struct{}{}
		}
		synctest.Wait()
		r.stop()
		synctest.Wait()
		if n := v.logins(); n < 3 || n > 4 {
			t.Errorf("%d logins, want one for the first change and one or two for the many", n)
		}
	})
}

func TestNewCredentialsAreNobodysBusinessUnlessEnabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, w := &fakeVault{ttl: time.Hour, renewable: true}, newWatched()
		r := run(t, v, w, autoauth.Options{})
		time.Sleep(10 * time.Minute)
		select {
		case <-w.began:
			t.Error("the credentials are watched")
		default:
		}
		r.stop()
		synctest.Wait()
	})
}

// Somebody writes a secret id that is no good, and then one that is. The token that is held lives through it, and is renewed.
func TestBadNewCredentialsCostNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		bad.Store(true)
		v, w, j := &fakeVault{ttl: time.Hour, renewable: true}, newWatched(), &journal{}
		v.onLogin = func(n int) *reply {
			if n > 1 && bad.Load() {
				return refused(400, "invalid role or secret ID")
			}
			return nil
		}
		r := run(t, v, w, autoauth.Options{ReauthOnNewCredentials: true, Observers: []autoauth.Observer{j}})
		time.Sleep(time.Minute)
		w.changes <- struct{}{}
		for range 240 {
			time.Sleep(time.Minute)
			synctest.Wait()
			r.wantToken(t, "hvs.1")
		}
		s := r.Status()
		if s.State != autoauth.Holding || v.renewals() < 5 || len(j.soFar().lost) > 0 {
			t.Fatalf("%+v, %d renewals, %d lost", s, v.renewals(), len(j.soFar().lost))
		}
		tried := v.logins()
		if tried < 40 || tried > 80 { // every 5 minutes, after the first few
			t.Errorf("%d logins in four hours", tried)
		}
		bad.Store(false)
		w.changes <- struct{}{}
		synctest.Wait()
		if got := r.Token().Reveal(); v.logins() != tried+1 || got == "hvs.1" {
			t.Errorf("%d logins after good credentials came, token %s", v.logins()-tried, got)
		}
		r.stop()
		synctest.Wait()
	})
}

// A pod that starts with a wrong secret id should not wait for the end of a long pause once the right one is there.
func TestNewCredentialsCutThePauseAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, w := &fakeVault{ttl: time.Hour}, newWatched()
		v.onLogin = func(n int) *reply {
			if n < 20 {
				return refused(400, "invalid role or secret ID")
			}
			return nil
		}
		r := run(t, v, w, autoauth.Options{ReauthOnNewCredentials: true})
		for v.logins() < 12 {
			time.Sleep(time.Second)
		}
		for range 100 { // more than once a second, and never the right one
			w.changes <- struct{}{}
			time.Sleep(50 * time.Millisecond)
		}
		if n := v.logins() - 12; n < 4 || n > 8 {
			t.Errorf("%d logins in the five seconds of changes", n)
		}
		time.Sleep(30 * time.Minute)
		r.stop()
		synctest.Wait()
		r.wantToken(t, "hvs.20")
	})
}

func TestReauthLogsInNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true}
		var refuse atomic.Bool
		v.onLogin = func(int) *reply {
			if refuse.Load() {
				return refused(403, "permission denied")
			}
			return nil
		}
		r := run(t, v, method{}, autoauth.Options{})
		time.Sleep(10 * time.Minute)
		var calls sync.WaitGroup
		for range 1000 {
			calls.Go(func() {
				if err := r.Reauth(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if n := v.logins(); n < 2 || n > 3 { // who comes when a login has begun gets the next one
			t.Errorf("%d logins, want one or two more than the first", n)
		}
		held := r.Token()
		refuse.Store(true)
		time.Sleep(time.Minute)
		if err := r.Reauth(t.Context()); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("Reauth() = %v, want Vault's refusal", err)
		}
		r.wantToken(t, held.Reveal())
		refuse.Store(false)
		time.Sleep(time.Minute)
		if r.Token().Equal(held) {
			t.Error("the login was not tried again")
		}
		r.stop()
		synctest.Wait()
		if err := r.Reauth(t.Context()); err == nil || !strings.Contains(err.Error(), "stopping") {
			t.Errorf("Reauth() after the end = %v", err)
		}
	})
}

// While Vault is away, somebody asks again and again. That is not what max_attempts is to bound.
func TestReauthUsesUpNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{onLogin: func(int) *reply { return unreachable() }}
		r := run(t, v, method{}, autoauth.Options{MaxAttempts: 8, MaxBackoff: time.Hour})
		time.Sleep(10 * time.Second)
		for range 100 {
			_ = r.Reauth(t.Context())
		}
		select {
		case err := <-r.done:
			t.Errorf("Run = %v after %d logins", err, v.logins())
		default:
		}
		r.stop()
		synctest.Wait()
	})
}

func TestReauthIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour}
		v.onLogin = func(n int) *reply {
			switch {
			case n == 2:
				return &reply{hang: true}
			case n > 2:
				return unreachable()
			}
			return nil
		}
		r := run(t, v, method{}, autoauth.Options{})
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Reauth(ctx); err == nil || !strings.Contains(err.Error(), "wait for the forced login") {
			t.Errorf("Reauth() = %v", err)
		}
		time.Sleep(2 * time.Minute)
		before := v.logins()
		for range 100 { // somebody who does not take no for an answer
			_ = r.Reauth(t.Context())
		}
		if took, n := time.Since(v.start)-3*time.Minute, v.logins()-before; n > 101 || took < time.Minute {
			t.Errorf("%d logins in %v", n, took)
		}
		r.wantToken(t, "hvs.1")
		r.stop()
		synctest.Wait()
	})
}
