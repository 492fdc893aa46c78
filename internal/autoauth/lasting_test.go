package autoauth_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
)

// asks has somebody want to create something every second for d, and checks what they are given. It returns how often that was no token.
func asks(t *testing.T, r *running, v *fakeVault, d, least time.Duration) (without int) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		token, err := r.Lasting(ctx)
		cancel()
		if err != nil {
			without++
			continue
		}
		var last time.Duration // when the token was granted or renewed
		for _, q := range append(v.requests(loginPath), v.requests(renewPath)...) {
			last = max(last, q.at)
		}
		if left := v.ttl - (time.Since(v.start) - last); v.ttl > 0 && left < least {
			t.Fatalf("given %v with %v left, want %v at least", token, left, least)
		}
	}
	return without
}

func TestLasting(t *testing.T) {
	for name, c := range map[string]struct {
		vault          *fakeVault
		min, least     time.Duration
		logins, atMost int
	}{
		"replaced in good time":   {&fakeVault{ttl: 10 * time.Minute}, 4 * time.Minute, 4 * time.Minute, 10, 11},
		"renewed in good time":    {&fakeVault{ttl: 10 * time.Minute, renewable: true}, 4 * time.Minute, 4 * time.Minute, 1, 1},
		"shorter than is asked":   {&fakeVault{ttl: 10 * time.Minute}, time.Hour, 5 * time.Minute, 12, 13},
		"without a bound":         {&fakeVault{ttl: 10 * time.Minute}, 0, 0, 6, 8},
		"no right to be renewed":  {&fakeVault{ttl: 10 * time.Minute, renewable: true, onRenew: func(int) *reply { return refused(403, "permission denied") }}, 4 * time.Minute, 3 * time.Minute, 9, 17},
		"does not expire":         {&fakeVault{}, time.Hour, 0, 1, 1},
		"renewal never goes well": {&fakeVault{ttl: 10 * time.Minute, renewable: true, onRenew: func(int) *reply { return unreachable() }}, 0, 0, 6, 7},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := run(t, c.vault, method{}, autoauth.Options{MinTokenTTL: c.min})
				if n := asks(t, r, c.vault, time.Hour, c.least); n != 0 {
					t.Errorf("%d times no token", n)
				}
				if n := c.vault.logins(); n < c.logins || n > c.atMost {
					t.Errorf("%d logins in an hour, want %d to %d", n, c.logins, c.atMost)
				}
				r.stop()
				synctest.Wait()
			})
		})
	}
}

// While no login succeeds, nothing is created under the old token at its end; it serves for all else.
func TestLastingWhileLoginsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: 10 * time.Minute}
		v.onLogin = func(n int) *reply {
			if n > 1 {
				return unreachable()
			}
			return nil
		}
		r := run(t, v, method{}, autoauth.Options{MinTokenTTL: 4 * time.Minute})
		time.Sleep(9 * time.Minute)
		r.wantToken(t, "hvs.1")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := r.Lasting(ctx); !errors.Is(err, autoauth.ErrNotLasting) || autoauth.ErrNotLasting.ClientStatus() != 503 {
			t.Errorf("Lasting() = %v", err)
		}
		if n := v.logins(); n > 12 {
			t.Errorf("%d logins", n)
		}
		r.stop()
		synctest.Wait()
	})
}

// Nor do those who ask make the renewals of a Vault that is away come faster than once a second.
func TestLastingWhileRenewalsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true, onRenew: func(int) *reply { return unreachable() }}
		r := run(t, v, method{}, autoauth.Options{MinTokenTTL: 25 * time.Minute})
		time.Sleep(36 * time.Minute)
		before := v.renewals()
		for range 600 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if _, err := r.Lasting(ctx); !errors.Is(err, autoauth.ErrNotLasting) {
				t.Fatalf("Lasting() = %v", err)
			}
			cancel()
		}
		if n := v.renewals() - before; n < 30 || n > 61 {
			t.Errorf("%d renewals in the minute of 600 requests", n)
		}
		r.stop()
		synctest.Wait()
	})
}

// The wall clock goes on while the machine sleeps, and may be set; timers know nothing of it.
func TestTheWallClockJumps(t *testing.T) {
	for name, c := range map[string]struct {
		jump             time.Duration
		logins, renewals int
		lost             int
	}{
		"past the end":         {2 * time.Hour, 2, 0, 1},
		"past the renewal":     {50 * time.Minute, 1, 1, 0},
		"back":                 {-time.Hour, 1, 0, 0},
		"a little, and nobody": {time.Minute, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ahead atomic.Int64
				v, j := &fakeVault{ttl: time.Hour, renewable: true}, &journal{}
				r := run(t, v, method{}, autoauth.Options{
					Observers: []autoauth.Observer{j},
					Now:       func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
				})
				time.Sleep(time.Minute)
				ahead.Store(int64(c.jump))
				time.Sleep(time.Minute)
				synctest.Wait()
				if v.logins() != c.logins || v.renewals() != c.renewals || len(j.lost) != c.lost || r.Token().IsZero() {
					t.Errorf("%d logins, %d renewals, %d tokens lost", v.logins(), v.renewals(), len(j.lost))
				}
				r.stop()
				synctest.Wait()
			})
		})
	}
}
