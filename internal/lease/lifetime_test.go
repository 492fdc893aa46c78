package lease_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

func TestNearItsMaximumALeaseMakesRoom(t *testing.T) {
	for name, last := range map[string]vault.Grant{
		"granted less":                   {TTL: 30 * time.Minute, Renewable: true},
		"granted all, for the last time": {TTL: 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			grants := 0
			f := &fakeVault{answer: func(context.Context, renewal) (vault.Grant, error) {
				if grants++; grants == 3 {
					return last, nil
				}
				return vault.Grant{TTL: time.Hour, Renewable: true}, nil
			}}
			running(t, f, func(t *testing.T, x *lease.Index) {
				key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), time.Now())
				for len(f.renewals()) < 3 {
					sleep(time.Second)
				}
				asked := f.renewals()[2].at
				leaves := asked.Add(30*time.Minute - 6*time.Minute) // a tenth of its first life before the end
				sleep(time.Until(leaves) - time.Millisecond)
				if !has(x, key) {
					t.Error("gone before a new one is needed")
				}
				sleep(time.Millisecond)
				if has(x, key) {
					t.Error("still answered with near its end")
				}
				wantStats(t, x, 1, 1) // until it ends: its client may still revoke it
				sleep(24 * time.Hour)
				wantStats(t, x, 0, 1)
				if n := len(f.renewals()); n != 3 {
					t.Errorf("%d renewals after the last", n-3)
				}
			})
		})
	}
}

// Vault answers in whole seconds, so a grant may look a little short without being the last.
func TestARoundedGrantIsNotTheLast(t *testing.T) {
	f := &fakeVault{answer: grant(59 * time.Second)}
	running(t, f, func(t *testing.T, x *lease.Index) {
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 60), time.Now())
		sleep(time.Hour)
		if !has(x, key) {
			t.Error("the lease is gone")
		}
	})
}

func TestATokenThatBecameEndlessIsAskedAgain(t *testing.T) {
	f := &fakeVault{answer: grant(0)}
	running(t, f, func(t *testing.T, x *lease.Index) {
		key := mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc", true, 60), time.Now())
		sleep(time.Hour)
		if n := len(f.renewals()); !has(x, key) || n < 80 || n > 100 {
			t.Errorf("after an hour and %d renewals there is an entry: %t", n, has(x, key))
		}
	})
}

func TestWhatIsRemovedDuringItsRenewalStaysRemoved(t *testing.T) {
	for name, answer := range map[string]error{"granted": nil, "failed": errDown, "refused": errRefused} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			f := &fakeVault{}
			f.answer = func(context.Context, renewal) (vault.Grant, error) {
				<-release
				return vault.Grant{TTL: time.Hour, Renewable: true}, answer
			}
			synctest.Test(t, func(t *testing.T) {
				release = make(chan struct{}) // of the bubble
				x := lease.NewIndex(lease.Options{})
				x.Hold("", app, "", "", time.Time{})
				go lease.NewClock(x, f, slog.New(slog.DiscardHandler), lease.ClockOptions{}).Run(t.Context())
				key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 60), time.Now())
				sleep(45 * time.Second)
				x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "aws/creds/a/x1"})
				second := leaseAnswer("aws/creds/a/x1", 7200) // even if Vault gave the same id again
				mustKeep(t, x, "aws/creds/a", app, second, time.Now())
				close(release)
				synctest.Wait()
				if e := x.Get(&key, time.Now()); e == nil || e.Remaining(time.Now()) != 2*time.Hour {
					t.Error("a renewal that came too late reached its successor")
				}
				x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "aws/creds/a/x1"})
				sleep(24 * time.Hour)
				wantStats(t, x, 0, 1)
				if n := len(f.renewals()); has(x, key) || n != 1 {
					t.Errorf("resurrected: %t, renewals: %d", has(x, key), n)
				}
			})
		})
	}
}

// Superseded auto-auth tokens are neither forgotten nor kept for ever (hashicorp/vault#25712).
func TestASupersededTokensLeasesLiveAsLongAsIt(t *testing.T) {
	f := &fakeVault{answer: grant(5 * time.Minute)}
	running(t, f, func(t *testing.T, x *lease.Index) {
		now, next := time.Now(), vault.NewToken("hvs.next")
		old := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 300), now)
		x.Hold("", next, "acc-next", "", now.Add(30*time.Minute))
		mustKeep(t, x, "aws/creds/b", app, leaseAnswer("aws/creds/b/x1", 300), now) // was under way with the old token
		fresh := mustKeep(t, x, "aws/creds/a", next, leaseAnswer("aws/creds/a/x2", 300), now)
		sleep(30*time.Minute - time.Second)
		wantStats(t, x, 3, 2)
		if !has(x, old) {
			t.Error("a lease of the old token is gone before the token")
		}
		sleep(2 * time.Second)
		wantStats(t, x, 1, 1)
		before := len(f.renewals())
		sleep(time.Hour)
		if !has(x, fresh) {
			t.Error("a lease of the new token is gone")
		}
		for _, r := range f.renewals()[before:] {
			if r.token != "hvs.next" {
				t.Fatalf("%+v after the old token has ended", r)
			}
		}
		x.Hold("", app, "acc-app", "", time.Time{})
		wantStats(t, x, 0, 1)
	})
}

func TestARestartKnowsASupersededToken(t *testing.T) {
	next := vault.NewToken("hvs.next")
	m := newMemory()
	x := journaled(m)
	x.Hold("", app, "acc-app", "", time.Time{})
	old := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), noon)
	x.Hold("", next, "acc-next", "", noon.Add(30*time.Minute))
	mustKeep(t, x, "aws/creds/b", next, leaseAnswer("aws/creds/b/x1", 3600), noon)

	restored := func(at time.Time) (*lease.Index, lease.Restored) {
		x, out := restarted(t, m, at)
		if !out.Auto[""].Token.Equal(next) {
			t.Fatalf("Restore() = %+v; want the token held last", out)
		}
		return x, out
	}
	for i := range 10 { // the records come in any order
		m.shuffle = rand.New(rand.NewPCG(uint64(i), 1)).Shuffle
		x, _ := restored(noon)
		wantStats(t, x, 2, 2)
		if x.Get(&old, noon) == nil {
			t.Error("a lease of the superseded token did not come back")
		}
		if _, lost := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.app"}); lost != nil {
			t.Error("the superseded token is taken for the current one")
		}
		if _, lost := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.next"}); len(lost) != 1 {
			t.Error("the token held last is not the current one")
		}
	}
	x, out := restored(noon.Add(31 * time.Minute))
	wantStats(t, x, 1, 1)
	if out.Entries != 1 || out.Expired != 1 || out.Orphaned != 1 {
		t.Errorf("Restore() = %+v after the old token's end; want its lease dropped with it", out)
	}
}

func TestARestoredSupersededTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now, m := time.Now(), newMemory()
		x := journaled(m)
		x.Hold("", app, "acc-app", "", time.Time{})
		mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), now)
		x.Hold("", vault.NewToken("hvs.next"), "acc-next", "", now.Add(30*time.Minute))

		x = journaled(m)
		if _, err := x.Restore(now); err != nil {
			t.Fatal(err)
		}
		go lease.NewClock(x, &fakeVault{}, slog.New(slog.DiscardHandler), lease.ClockOptions{}).Run(t.Context())
		sleep(30*time.Minute - time.Second)
		wantStats(t, x, 1, 2)
		sleep(2 * time.Second)
		wantStats(t, x, 0, 1)
	})
}

func TestATokenThatIsHeldAgainDoesNotEnd(t *testing.T) {
	f := &fakeVault{answer: grant(5 * time.Minute)}
	running(t, f, func(t *testing.T, x *lease.Index) {
		now := time.Now()
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 300), now)
		x.Hold("", vault.NewToken("hvs.next"), "acc-next", "", now.Add(time.Minute))
		x.Hold("", app, "acc-app", "", now.Add(time.Minute))
		sleep(time.Hour)
		if !has(x, key) {
			t.Error("the lease ended with a token that lives")
		}
		wantStats(t, x, 1, 1)
	})
}

func TestAClientsRenewalMovesTheEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		lease  bool // else it concerns the login
		want   time.Duration
	}{
		"lease":         {`{"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":7200}`, true, 2 * time.Hour},
		"lease, less":   {`{"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":600}`, true, 10 * time.Minute},
		"token":         {tokenAnswer("hvs.login", "acc", true, 7200), false, 2 * time.Hour},
		"accessor":      {`{"auth":{"client_token":"","accessor":"acc","renewable":true,"lease_duration":7200}}`, false, 2 * time.Hour},
		"unknown lease": {`{"lease_id":"aws/creds/a/x9","renewable":true,"lease_duration":7200}`, true, time.Hour - time.Minute},
		"unknown token": {tokenAnswer("hvs.x", "acc9", true, 7200), false, time.Hour - time.Minute},
		"auto-auth's":   {tokenAnswer("hvs.app", "acc-app", true, 7200), false, time.Hour - time.Minute},
		"no secret":     {`["renewable"]`, true, time.Hour - time.Minute},
		"neither":       {`{"renewable":true,"lease_duration":7200}`, true, time.Hour - time.Minute},
		"for the last":  {`{"lease_id":"aws/creds/a/x1","renewable":false,"lease_duration":1800}`, true, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeVault{}
			running(t, f, func(t *testing.T, x *lease.Index) {
				now := time.Now()
				key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), now)
				if login := mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc", true, 3600), now); !tc.lease {
					key = login
				}
				sleep(time.Minute)
				x.Renewed([]byte(tc.answer), time.Now())
				if got := x.Get(&key, time.Now()).Remaining(time.Now()); got != tc.want {
					t.Errorf("%v remain, want %v", got, tc.want)
				}
			})
		})
	}
}

// A client may ask for less than a lease is good for. That is no sign that it nears its maximum.
func TestAClientsShortRenewalIsMadeGoodByOurs(t *testing.T) {
	f := &fakeVault{}
	running(t, f, func(t *testing.T, x *lease.Index) {
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), time.Now())
		x.Renewed([]byte(`{"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":60}`), time.Now())
		sleep(36 * time.Second)
		if n := len(f.renewals()); n != 0 {
			t.Errorf("%d renewals too early", n)
		}
		sleep(8 * time.Second)
		if n := len(f.renewals()); n != 1 {
			t.Errorf("%d renewals at two thirds of what the client asked for, want one", n)
		}
		sleep(24 * time.Hour)
		if !has(x, key) {
			t.Error("the lease is gone")
		}
	})
}

func TestAClientsLongRenewalSparesOurs(t *testing.T) {
	f := &fakeVault{}
	running(t, f, func(t *testing.T, x *lease.Index) {
		mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 60), time.Now())
		x.Renewed([]byte(`{"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":7200}`), time.Now())
		sleep(time.Hour)
		if n := len(f.renewals()); n != 0 {
			t.Errorf("%d renewals of what has more than half of its life before it", n)
		}
	})
}

// A login that cannot be extended makes room for a new one; what hangs on its token goes on for as long as the token is good.
func TestATokenNearItsEndKeepsItsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := lease.NewIndex(lease.Options{})
		client := &capped{tokenEnds: time.Now().Add(600 * time.Second)}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- lease.NewClock(x, client, slog.New(slog.DiscardHandler), lease.ClockOptions{}).Run(ctx)
		}()
		begun := time.Now()
		login := mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc", true, 600), begun)
		read := mustKeep(t, x, "db/creds/app", vault.NewToken("hvs.login"), leaseAnswer("db/creds/app/1", 60), begun)
		time.Sleep(560 * time.Second) // the last tenth of the token's life
		synctest.Wait()
		if has(x, login) {
			t.Error("the login is still served")
		}
		if x.Get(&read, time.Now()) == nil {
			t.Error("the lease went with the login's answer, though its token is good")
		}
		fresh := mustKeep(t, x, "db/creds/other", vault.NewToken("hvs.login"), leaseAnswer("db/creds/other/1", 20), time.Now())
		if x.Get(&fresh, time.Now()) == nil {
			t.Error("a new lease of the good token is not kept")
		}
		time.Sleep(50 * time.Second) // past its end
		synctest.Wait()
		wantStats(t, x, 0, 0)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// capped is a Vault that renews leases in full and the token only to its max TTL.
type capped struct{ tokenEnds time.Time }

func (c *capped) RenewLease(context.Context, vault.Namespace, vault.Token, vault.LeaseID) (vault.Grant, error) {
	return vault.Grant{TTL: time.Minute, Renewable: true}, nil
}

func (c *capped) RenewSelf(context.Context, vault.Namespace, vault.Token) (vault.Grant, error) {
	return vault.Grant{TTL: time.Until(c.tokenEnds), Renewable: true}, nil
}
