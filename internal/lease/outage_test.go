package lease_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// One failed renewal, or an outage, does not cost a lease that is still good (hashicorp/vault#6837, #10918).
func TestAnOutageIsRiddenOut(t *testing.T) {
	var down atomic.Bool
	f := &fakeVault{answer: func(context.Context, renewal) (vault.Grant, error) {
		if down.Load() {
			return vault.Grant{}, errDown
		}
		return vault.Grant{TTL: 10 * time.Minute, Renewable: true}, nil
	}}
	running(t, f, func(t *testing.T, x *lease.Index) {
		down.Store(true)
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 600), time.Now())
		sleep(9 * time.Minute)
		if !has(x, key) {
			t.Error("the lease is gone, though Vault has not taken it back")
		}
		failed := f.renewals()
		if len(failed) < 3 {
			t.Errorf("%d tries in nine minutes", len(failed))
		}
		for i, want := range []time.Duration{30 * time.Second, time.Minute, time.Minute}[:min(3, len(failed)-1)] {
			if pause := failed[i+1].at.Sub(failed[i].at); pause < want*3/4 || pause > want*5/4 {
				t.Errorf("pause %d is %v, want about %v", i+1, pause, want)
			}
		}
		down.Store(false)
		sleep(59 * time.Second)
		if !has(x, key) {
			t.Error("the lease was not renewed when Vault came back")
		}
		down.Store(true)
		back := f.renewals()
		sleep(24 * time.Hour)
		again := f.renewals()[len(back):]
		if pause := again[1].at.Sub(again[0].at); pause > 38*time.Second {
			t.Errorf("the second outage begins with a pause of %v: the first is not forgotten", pause)
		}
	})
}

func TestServedUntilItsRealEnd(t *testing.T) {
	f := &fakeVault{answer: func(context.Context, renewal) (vault.Grant, error) { return vault.Grant{}, errDown }}
	running(t, f, func(t *testing.T, x *lease.Index) {
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 600), time.Now())
		sleep(10*time.Minute - time.Second)
		if !has(x, key) {
			t.Error("gone before its end")
		}
		sleep(time.Millisecond)
		if has(x, key) {
			t.Error("answered with when less than a second is left")
		}
		sleep(time.Second)
		wantStats(t, x, 0, 1)
		tries := len(f.renewals())
		sleep(time.Hour)
		if n := len(f.renewals()); n != tries {
			t.Errorf("%d renewals after its end", n-tries)
		}
	})
}

// The pause stays within its bounds however long the life is and however often a renewal has failed.
func TestLongLivesAreRetriedEveryMinute(t *testing.T) {
	f := &fakeVault{answer: func(context.Context, renewal) (vault.Grant, error) { return vault.Grant{}, errDown }}
	running(t, f, func(t *testing.T, x *lease.Index) {
		const year = 365 * 24 * time.Hour
		mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", int(60*year/time.Second)), time.Now().Add(-44*year)) // due, whatever its jitter
		sleep(time.Hour)
		calls := f.renewals()
		if len(calls) < 48 || len(calls) > 81 {
			t.Fatalf("%d tries in an hour", len(calls))
		}
		first := calls[1].at.Sub(calls[0].at)
		for i := range calls[1:] {
			if calls[i+1].at.Sub(calls[i].at) != first {
				return
			}
		}
		t.Error("retries have no jitter")
	})
}

func TestARefusalEndsItAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		refuse          string
		entries, tokens int
	}{
		"a lease":               {"aws/creds/a/x1", 4, 4},
		"a token and all of it": {"hvs.login", 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			refused := func(r renewal) bool {
				return string(r.lease) == tc.refuse || (r.token == tc.refuse && r.lease == "")
			}
			f := &fakeVault{answer: func(_ context.Context, r renewal) (vault.Grant, error) {
				if refused(r) {
					return vault.Grant{}, errRefused
				}
				return vault.Grant{TTL: 24 * time.Hour, Renewable: true}, nil
			}}
			running(t, f, func(t *testing.T, x *lease.Index) {
				now, login, child := time.Now(), vault.NewToken("hvs.login"), vault.NewToken("hvs.child")
				mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc", true, 3600), now)
				mustKeep(t, x, "auth/token/create", login, tokenAnswer("hvs.child", "acc2", false, 86400), now)
				mustKeep(t, x, "aws/creds/a", child, leaseAnswer("aws/creds/a/x1", 86400), now)
				mustKeep(t, x, "aws/creds/b", login, leaseAnswer("aws/creds/b/x1", 86400), now)
				orphan := offerOf(x, "auth/token/create-orphan", login, tokenAnswer("hvs.orphan", "acc3", true, 86400), now)
				x.Keep(orphan)
				if tc.refuse == "hvs.login" {
					sleep(time.Hour)
				} else {
					sleep(20 * time.Hour)
				}
				wantStats(t, x, tc.entries, tc.tokens)
				if !has(x, orphan.Key) {
					t.Error("an orphan went with the token that made it")
				}
				tries := 0
				for _, r := range f.renewals() {
					if refused(r) {
						tries++
					}
				}
				if tries != 1 {
					t.Errorf("asked %d times, want once", tries)
				}
			})
		})
	}
}

func TestAHungVaultBlocksNobodyForever(t *testing.T) {
	f := &fakeVault{answer: func(ctx context.Context, _ renewal) (vault.Grant, error) {
		<-ctx.Done()
		return vault.Grant{}, ctx.Err()
	}}
	running(t, f, func(t *testing.T, x *lease.Index) {
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), time.Now())
		sleep(55 * time.Minute)
		if n := len(f.renewals()); n < 6 || !has(x, key) {
			t.Errorf("%d tries, each of which may take half a minute; served: %t", n, has(x, key))
		}
	})
}

// A cancellation that is not the clock's own, such as of a connection pool that was replaced, is a failure like others.
func TestACancellationFromElsewhereIsRetried(t *testing.T) {
	tries := 0
	f := &fakeVault{answer: func(context.Context, renewal) (vault.Grant, error) {
		if tries++; tries == 1 {
			return vault.Grant{}, context.Canceled
		}
		return vault.Grant{TTL: time.Hour, Renewable: true}, nil
	}}
	running(t, f, func(t *testing.T, x *lease.Index) {
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), time.Now())
		sleep(24 * time.Hour)
		if !has(x, key) {
			t.Error("the lease is gone")
		}
	})
}
