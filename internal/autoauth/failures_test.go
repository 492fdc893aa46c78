package autoauth_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
	"leasehold/internal/vault"
)

func TestLoginsAreGivenUp(t *testing.T) {
	for name, tc := range map[string]struct {
		options autoauth.Options
		answer  *reply
		logins  int
		took    [2]time.Duration
		says    string
		refused bool
	}{
		"attempts, refused": {autoauth.Options{MaxAttempts: 3}, refused(400, "invalid role or secret ID"), 3, [2]time.Duration{1500 * time.Millisecond, 3 * time.Second},
			"gave up to log in after max_attempts (3): Vault refused the login", true},
		"attempts, away": {autoauth.Options{MaxAttempts: 1}, unreachable(), 1, [2]time.Duration{0, 0}, "gave up to log in after max_attempts (1): login: ", false},
		"time":           {autoauth.Options{TotalTimeout: time.Minute}, unreachable(), 8, [2]time.Duration{time.Minute, time.Minute}, "gave up to log in after total_timeout (1m0s): ", false},
		"time, silent":   {autoauth.Options{TotalTimeout: 20 * time.Second}, &reply{hang: true}, 1, [2]time.Duration{20 * time.Second, 20 * time.Second}, "after total_timeout (20s)", false},
		"what comes first": {autoauth.Options{TotalTimeout: time.Hour, MaxAttempts: 5}, unreachable(), 5, [2]time.Duration{6 * time.Second, 15 * time.Second},
			"after max_attempts (5)", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{onLogin: func(int) *reply { return tc.answer }}
				r := run(t, v, method{}, tc.options)
				err := <-r.done
				if !errors.Is(err, autoauth.ErrGaveUp) || errors.Is(err, vault.ErrRefused) != tc.refused || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("Run = %v, want ...%s...", err, tc.says)
				}
				within(t, "the end", time.Since(v.start), tc.took[0], tc.took[1])
				if n := v.logins(); n < tc.logins || n > tc.logins+2 {
					t.Errorf("%d logins, want about %d", n, tc.logins)
				}
			})
		})
	}
}

// While there is a token nothing is lost, and the daemon serves.
func TestNothingIsGivenUpWhileATokenLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: 10 * time.Hour}
		v.onLogin = func(n int) *reply {
			if n > 1 {
				return unreachable()
			}
			return nil
		}
		r := run(t, v, method{}, autoauth.Options{MaxAttempts: 3, TotalTimeout: time.Minute})
		time.Sleep(10*time.Hour - time.Second)
		select {
		case err := <-r.done:
			t.Fatalf("Run ended with a good token in use: %v", err)
		default:
		}
		if n := v.logins(); n < 10 {
			t.Errorf("%d logins in the token's last hour", n)
		}
		if err := <-r.done; !errors.Is(err, autoauth.ErrGaveUp) || time.Since(v.start) > 10*time.Hour+2*time.Minute {
			t.Errorf("Run = %v after %v", err, time.Since(v.start))
		}
	})
}

func TestASuccessStartsTheCountAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, onLogin: func(n int) *reply {
			if n%3 != 0 {
				return unreachable()
			}
			return nil
		}}
		r := run(t, v, method{}, autoauth.Options{MaxAttempts: 3})
		for range 5 {
			time.Sleep(time.Minute)
			r.Invalidate(r.Token())
		}
		time.Sleep(time.Minute)
		r.wantToken(t, "hvs.18")
		r.stop()
		synctest.Wait()
	})
}
