package lease_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// started runs a clock over x until the test ends.
func started(t *testing.T, x *lease.Index, f *fakeVault, o lease.ClockOptions) {
	go func() {
		if err := lease.NewClock(x, f, slog.New(slog.DiscardHandler), o).Run(t.Context()); err != nil {
			t.Errorf("Run() = %v", err)
		}
	}()
}

func TestRenewAt(t *testing.T) {
	for _, share := range []float64{0.2, 0.5, 0.67, 0.9} {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, f := lease.NewIndex(lease.Options{RenewAt: share}), &fakeVault{}
				x.Hold("", app, "", "", time.Time{})
				started(t, x, f, lease.ClockOptions{})
				begun := time.Now()
				for i := range 200 {
					path := fmt.Sprintf("aws/creds/%d", i)
					mustKeep(t, x, path, app, leaseAnswer(path+"/x", 36_000), begun)
				}
				sleep(10 * time.Hour)
				for _, r := range f.renewals()[:200] {
					if at := r.at.Sub(begun).Hours() / 10; at < share-0.0501 || at > share+0.0501 {
						t.Fatalf("renewed after %.3f of its life, want %v with 0.05 of jitter", at, share)
					}
				}
			})
		})
	}
}

// After an outage all are due at once. The rate is kept, and those that end first come first, whatever their number is behind the others.
func TestTheRateIsKeptAndTheUrgentComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, f := lease.NewIndex(lease.Options{}), &fakeVault{}
		x.Hold("", app, "", "", time.Time{})
		now := time.Now()
		for i := range 3000 { // an hour, due for ten minutes, with ten left
			path := fmt.Sprintf("aws/creds/%d", i)
			mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), now.Add(-50*time.Minute))
		}
		for i := range 100 { // due just now, with fifteen seconds left
			path := fmt.Sprintf("db/creds/%d", i)
			mustKeep(t, x, path, app, leaseAnswer(path+"/x", 60), now.Add(-45*time.Second))
		}
		started(t, x, f, lease.ClockOptions{RenewRate: 20})
		sleep(14 * time.Second)
		urgent := 0
		for _, r := range f.renewals() {
			if strings.HasPrefix(string(r.lease), "db/") {
				urgent++
			}
		}
		if n := len(f.renewals()); n < 270 || n > 285 || urgent != 100 {
			t.Errorf("%d renewals in 14 s at 20 a second, %d of the 100 that end soon", n, urgent)
		}
		sleep(8 * time.Minute)
		seen := map[vault.LeaseID]bool{}
		for _, r := range f.renewals() {
			seen[r.lease] = true
		}
		if len(seen) != 3100 {
			t.Errorf("%d of 3100 leases were renewed in time", len(seen))
		}
		wantStats(t, x, 3100, 1)
	})
}

// A renewal that says that Vault does not know the token is the last for all that hangs on it (hashicorp/vault#25712).
func TestAGoneTokenIsNotAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := lease.NewIndex(lease.Options{})
		x.Hold("", app, "acc-app", "", time.Time{})
		child := vault.NewToken("hvs.child")
		var cancelled atomic.Int32
		f := &fakeVault{answer: func(ctx context.Context, r renewal) (vault.Grant, error) {
			if r.lease == "aws/creds/0/x" {
				time.Sleep(100 * time.Millisecond) // the other workers have begun by then
				return vault.Grant{}, fmt.Errorf("renew: %w", vault.ErrTokenGone)
			}
			<-ctx.Done() // under way when that one comes back
			cancelled.Add(1)
			return vault.Grant{}, ctx.Err()
		}}
		var mu sync.Mutex
		var gone []string
		var done atomic.Int32
		now := time.Now()
		mustKeep(t, x, "auth/token/create", app, tokenAnswer("hvs.child", "", false, 3600), now)
		for i := range 500 {
			path, owner := fmt.Sprintf("aws/creds/%d", i), app
			if i%2 == 1 {
				owner = child
			}
			mustKeep(t, x, path, owner, leaseAnswer(path+"/x", 3600), now.Add(-50*time.Minute).Add(time.Duration(i)*time.Millisecond))
		}
		started(t, x, f, lease.ClockOptions{
			OnGone: func(t vault.Token) { mu.Lock(); defer mu.Unlock(); gone = append(gone, t.Reveal()) },
			OnDone: func(error) { done.Add(1) },
		})
		sleep(time.Second) // long before a renewal would be given up
		wantStats(t, x, 0, 0)
		underWay := len(f.renewals()) - 1
		if int(cancelled.Load()) != underWay || underWay == 0 {
			t.Errorf("%d of %d renewals under way were cancelled at once", cancelled.Load(), underWay)
		}
		sleep(2 * time.Hour)
		if n := len(f.renewals()); n > 17 || done.Load() != 1 || int(cancelled.Load()) != n-1 {
			t.Errorf("%d renewals were begun, %d of them cancelled, %d told", n, cancelled.Load(), done.Load())
		}
		if len(gone) != 1 || gone[0] != "hvs.app" {
			t.Errorf("told of %d tokens", len(gone))
		}
	})
}

// What is due and was hit is refreshed, once; what was not is left to the next request.
func TestRefreshAhead(t *testing.T) {
	for name, c := range map[string]struct {
		hit, off bool
		want     int
	}{"hit": {hit: true, want: 1}, "not hit": {}, "hit, without the rule": {hit: true, off: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := lease.NewIndex(lease.Options{Rules: []lease.Rule{{RefreshAhead: !c.off, ReplaceBefore: 0.25}}})
				x.Hold("", app, "", "", time.Time{})
				f := &fakeVault{answer: grant(20 * time.Minute)} // of an hour: it cannot be extended further
				var refreshed []time.Duration
				begun := time.Now()
				started(t, x, f, lease.ClockOptions{Refresh: func(_ context.Context, e *lease.Entry) {
					q, token := e.Request()
					if q.Target != "/v1/aws/creds/a" || !token.Equal(app) || !e.Due() {
						t.Errorf("%+v is to be sent", q)
					}
					refreshed = append(refreshed, time.Since(begun))
				}})
				o := offerOf(x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x", 3600), begun)
				o.Rule = x.RuleOf("", "/v1/aws/creds/a")
				o.Request = &lease.Request{Method: "GET", Target: "/v1/aws/creds/a"}
				e, _ := x.Keep(o)
				e.Touch() // before its renewal: that does not count
				for len(f.renewals()) == 0 {
					sleep(time.Minute)
				}
				if c.hit {
					e.Touch()
				}
				sleep(2 * time.Hour)
				if len(refreshed) != c.want {
					t.Errorf("refreshed %d times, want %d", len(refreshed), c.want)
				}
				renewed := f.renewals()[0].at.Sub(begun)
				for _, at := range refreshed {
					if at != renewed+5*time.Minute { // a quarter of its life before the end
						t.Errorf("refreshed after %v, renewed for 20 minutes after %v", at, renewed)
					}
				}
				wantStats(t, x, 0, 1)
			})
		})
	}
}

// wall is a wall clock that may be set, beside timers that know nothing of it: as when a machine sleeps.
type wall struct{ ahead atomic.Int64 }

func (w *wall) Now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func TestTheWallClockJumps(t *testing.T) {
	for name, c := range map[string]struct {
		jump  time.Duration
		lives bool
		life  time.Duration // that hits report afterwards, at most
	}{
		"the machine sleeps past the end": {2 * time.Hour, false, 0},
		"it sleeps past the renewal":      {50 * time.Minute, true, time.Hour},
		"the clock is set back":           {-3 * time.Hour, true, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w wall
				x, f := lease.NewIndex(lease.Options{}), &fakeVault{}
				x.Hold("", app, "", "", time.Time{})
				started(t, x, f, lease.ClockOptions{Now: w.Now})
				key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x", 3600), w.Now())
				sleep(time.Minute)
				w.ahead.Store(int64(c.jump))
				sleep(time.Minute) // no wait is longer than half of that
				e := x.Get(&key, w.Now())
				if (e != nil) != c.lives {
					t.Fatalf("there is an entry: %t", e != nil)
				}
				if e != nil && e.Remaining(w.Now()) > c.life {
					t.Errorf("%v left of an hour", e.Remaining(w.Now()))
				}
				if want := map[bool]int{true: 1}[c.jump > 0 && c.lives]; len(f.renewals()) != want {
					t.Errorf("%d renewals, want %d", len(f.renewals()), want)
				}
				sleep(45 * time.Minute)
				if c.jump < 0 && len(f.renewals()) != 1 {
					t.Errorf("%d renewals after 47 minutes, though the clock was set back", len(f.renewals()))
				}
			})
		})
	}
}

// A lease that is replaced under its key is renewed no more, and ends.
func TestWhatIsReplacedRunsOut(t *testing.T) {
	f := &fakeVault{}
	running(t, f, func(t *testing.T, x *lease.Index) {
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 3600), time.Now())
		o := offerOf(x, "aws/creds/a", app, leaseAnswer("aws/creds/a/2", 3600), time.Now())
		o.Replace = true
		second, _ := x.Keep(o)
		if x.Get(&key, time.Now()) != second {
			t.Fatal("the key does not answer with the second")
		}
		wantStats(t, x, 2, 1)
		sleep(time.Hour + time.Minute)
		wantStats(t, x, 1, 1)
		for _, r := range f.renewals() {
			if r.lease != "aws/creds/a/2" {
				t.Errorf("%s was renewed", r.lease)
			}
		}
		if x.Get(&key, time.Now()) != second {
			t.Error("the second went with the first")
		}
	})
}

// A lease that cannot be renewed is kept where a rule says so, until a share of its life is left, and never renewed.
func TestNonRenewable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, f := lease.NewIndex(lease.Options{Rules: []lease.Rule{{Path: "sts/*", NonRenewable: true, ReplaceBefore: 0.2}}}), &fakeVault{}
		x.Hold("", app, "", "", time.Time{})
		started(t, x, f, lease.ClockOptions{})
		fixed := func(path string) (lease.Key, lease.Verdict) {
			body := strings.Replace(leaseAnswer(path+"/x", 3600), `"renewable":true`, `"renewable":false`, 1)
			o := offerOf(x, path, app, body, time.Now())
			o.Rule = x.RuleOf("", "/v1/"+path)
			_, v := x.Keep(o)
			return o.Key, v
		}
		if _, v := fixed("aws/creds/a"); v != lease.NotRenewable {
			t.Errorf("without the rule: %q", v)
		}
		key, v := fixed("sts/creds/a")
		if v != lease.KeepLease {
			t.Fatalf("with the rule: %q", v)
		}
		sleep(48*time.Minute - time.Second)
		if !has(x, key) {
			t.Error("gone before four fifths of its life")
		}
		sleep(time.Second)
		if has(x, key) {
			t.Error("not to be replaced after four fifths of its life")
		}
		sleep(time.Hour)
		wantStats(t, x, 0, 1)
		if len(f.renewals()) != 0 {
			t.Error("it was renewed")
		}
	})
}

// What hangs on a token that was set aside ends with it, and hits say so.
func TestNothingOutlivesItsToken(t *testing.T) {
	running(t, &fakeVault{}, func(t *testing.T, x *lease.Index) {
		now := time.Now()
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 36_000), now)
		x.Hold("", vault.NewToken("hvs.next"), "", "", now.Add(time.Hour))
		late := mustKeep(t, x, "aws/creds/b", app, leaseAnswer("aws/creds/b/1", 36_000), now)
		for _, k := range []lease.Key{key, late} {
			if left := x.Get(&k, now).Remaining(now); left != time.Hour {
				t.Errorf("%v left of a lease whose token ends in an hour", left)
			}
		}
	})
}
