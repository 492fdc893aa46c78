package lease_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// renewal is one call that reached Vault.
type renewal struct {
	at        time.Time
	namespace vault.Namespace
	token     string
	lease     vault.LeaseID // "" when the token renewed itself
}

// fakeVault grants what answer says, and remembers who asked. A nil answer grants an hour.
type fakeVault struct {
	answer func(ctx context.Context, r renewal) (vault.Grant, error)

	mu            sync.Mutex
	calls         []renewal
	running, peak int
}

func (f *fakeVault) RenewLease(ctx context.Context, ns vault.Namespace, t vault.Token, id vault.LeaseID) (vault.Grant, error) {
	return f.renew(ctx, renewal{time.Now(), ns, t.Reveal(), id})
}

func (f *fakeVault) RenewSelf(ctx context.Context, ns vault.Namespace, t vault.Token) (vault.Grant, error) {
	return f.renew(ctx, renewal{time.Now(), ns, t.Reveal(), ""})
}

func (f *fakeVault) renew(ctx context.Context, r renewal) (vault.Grant, error) {
	f.mu.Lock()
	f.calls = append(f.calls, r)
	f.running++
	f.peak = max(f.peak, f.running)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	if f.answer == nil {
		return vault.Grant{TTL: time.Hour, Renewable: true}, nil
	}
	return f.answer(ctx, r)
}

// renewals are the calls up to now.
func (f *fakeVault) renewals() []renewal {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]renewal(nil), f.calls...)
}

// most is how many calls there were at a time.
func (f *fakeVault) most() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peak
}

func grant(ttl time.Duration) func(context.Context, renewal) (vault.Grant, error) {
	return func(context.Context, renewal) (vault.Grant, error) {
		return vault.Grant{TTL: ttl, Renewable: true}, nil
	}
}

var (
	errDown    = errors.New("connection refused")
	errRefused = fmt.Errorf("renew: %w", vault.ErrRefused)
)

// running calls test in a bubble with an index that holds app, and a clock over it that runs until the test ends.
func running(t *testing.T, f *fakeVault, test func(t *testing.T, x *lease.Index)) {
	synctest.Test(t, func(t *testing.T) {
		x := lease.NewIndex(lease.Options{})
		x.Hold("", app, "acc-app", "", time.Time{})
		go func() {
			if err := lease.NewClock(x, f, slog.New(slog.DiscardHandler), lease.ClockOptions{}).Run(t.Context()); err != nil {
				t.Errorf("Run() = %v", err)
			}
		}()
		test(t, x)
	})
}

// sleep lets d pass and everything that is due by then happen.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// has reports whether a request with this key would be a hit now.
func has(x *lease.Index, key lease.Key) bool {
	e := x.Get(&key, time.Now())
	return e != nil && !e.Due()
}

func TestRenewedAtTwoThirdsWithJitter(t *testing.T) {
	const leases = 1000
	f := &fakeVault{}
	running(t, f, func(t *testing.T, x *lease.Index) {
		start := time.Now()
		for i := range leases {
			path := fmt.Sprintf("aws/creds/%d", i)
			mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), start)
		}
		sleep(36*time.Minute + 59*time.Second)
		if n := len(f.renewals()); n != 0 {
			t.Errorf("%d renewals before 37 minutes", n)
		}
		sleep(6*time.Minute + 20*time.Second)
		calls := f.renewals()
		seen := map[vault.LeaseID]bool{}
		for _, r := range calls {
			seen[r.lease] = true
		}
		if len(calls) != leases || len(seen) != leases {
			t.Errorf("%d renewals of %d leases by 43 minutes, want one of each of %d", len(calls), len(seen), leases)
		}
		if spread := calls[len(calls)-1].at.Sub(calls[0].at); spread < 3*time.Minute {
			t.Errorf("leases made together are renewed within %v of each other", spread)
		}
	})
}

func TestALeaseOfThreeSecondsOutlivesADay(t *testing.T) {
	key := keyOf("aws/creds/a hvs.app")
	for name, tc := range map[string]struct{ failing, hours int }{
		"all is well":           {0, 25},
		"every other one fails": {2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var x *lease.Index
			var calls, gaps int
			f := &fakeVault{answer: func(context.Context, renewal) (vault.Grant, error) {
				if calls++; !has(x, key) {
					gaps++
				}
				if tc.failing != 0 && calls%tc.failing == 0 {
					return vault.Grant{}, errDown
				}
				return vault.Grant{TTL: 3 * time.Second, Renewable: true}, nil
			}}
			running(t, f, func(t *testing.T, index *lease.Index) {
				x = index
				mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3), time.Now())
				sleep(time.Duration(tc.hours) * time.Hour)
				if !has(x, key) {
					t.Error("the lease is gone")
				}
			})
			if gaps != 0 {
				t.Errorf("no hit at %d of %d renewals", gaps, calls)
			}
			if seconds := tc.hours * 3600; tc.failing == 0 && (calls < seconds*10/22 || calls > seconds*10/15+1) { // at half to two thirds of its life
				t.Errorf("%d renewals in %d hours of a lease of 3 s", calls, tc.hours)
			}
		})
	}
}

func TestRenewalsOfTokensToo(t *testing.T) {
	f := &fakeVault{answer: grant(10 * time.Minute)}
	running(t, f, func(t *testing.T, x *lease.Index) {
		login := mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc", true, 600), time.Now())
		sleep(12 * time.Hour)
		if !has(x, login) {
			t.Error("the login is gone")
		}
		for _, r := range f.renewals() {
			if r.lease != "" || r.token != "hvs.login" {
				t.Fatalf("%+v is not the login's renewal of itself", r)
			}
		}
		if n := len(f.renewals()); n < 100 || n > 117 { // every 6 min 10 s to 7 min 10 s
			t.Errorf("%d renewals in twelve hours of ten minutes", n)
		}
	})
}

// A renewal is sent with the token and in the namespace of what it renews (CCH-16).
func TestRenewalsAreTheEntrysOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		path, body string
		caller     vault.Token
		header     vault.Namespace
		want       renewal
	}{
		"lease":                  {"aws/creds/a", leaseAnswer("aws/creds/a/x1", 60), app, "", renewal{token: "hvs.app", lease: "aws/creds/a/x1"}},
		"lease, by header":       {"ns1/aws/creds/a", leaseAnswer("aws/creds/a/x1.i1", 60), app, "ns1/", renewal{namespace: "ns1/", token: "hvs.app", lease: "aws/creds/a/x1.i1"}},
		"lease, by path":         {"ns1/aws/creds/a", leaseAnswer("aws/creds/a/x1.i1", 60), app, "", renewal{namespace: "ns1/", token: "hvs.app", lease: "aws/creds/a/x1.i1"}},
		"lease, header and path": {"ns1/ns2/aws/creds/a", leaseAnswer("aws/creds/a/x1.i2", 60), app, "ns1/", renewal{namespace: "ns1/ns2/", token: "hvs.app", lease: "aws/creds/a/x1.i2"}},
		"lease, trailing slash":  {"ns1/aws/creds/a/", leaseAnswer("aws/creds/a/x1.i1", 60), app, "", renewal{namespace: "ns1/", token: "hvs.app", lease: "aws/creds/a/x1.i1"}},
		"lease of another path":  {"ns1/aws/creds/a", leaseAnswer("aws/sts/a/x1.i1", 60), app, "ns1/", renewal{namespace: "ns1/", token: "hvs.app", lease: "aws/sts/a/x1.i1"}},
		"lease without a path":   {"ns1/aws/creds/a", leaseAnswer("x1", 60), app, "ns1/", renewal{namespace: "ns1/", token: "hvs.app", lease: "x1"}},
		"half a segment":         {"myaws/creds/a", leaseAnswer("aws/creds/a/x1", 60), app, "", renewal{token: "hvs.app", lease: "aws/creds/a/x1"}},
		"login":                  {"auth/approle/login", tokenAnswer("hvs.n", "", true, 60), vault.Token{}, "", renewal{token: "hvs.n"}},
		"login, by header":       {"ns1/auth/approle/login", tokenAnswer("hvs.n", "", true, 60), vault.Token{}, "ns1/", renewal{namespace: "ns1/", token: "hvs.n"}},
		"login, by path":         {"ns1/ns2/auth/approle/login", tokenAnswer("hvs.n", "", true, 60), vault.Token{}, "", renewal{namespace: "ns1/ns2/", token: "hvs.n"}},
		"child":                  {"ns1/auth/token/create", tokenAnswer("hvs.n", "", false, 60), app, "", renewal{namespace: "ns1/", token: "hvs.n"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeVault{answer: grant(time.Minute)}
			running(t, f, func(t *testing.T, x *lease.Index) {
				o := offerOf(x, tc.path, tc.caller, tc.body, time.Now())
				o.Namespace = tc.header
				if _, v := x.Keep(o); !v.Kept() {
					t.Fatalf("Keep() = %q", v)
				}
				sleep(50 * time.Second)
				calls := f.renewals()
				if len(calls) != 1 {
					t.Fatalf("%d renewals, want one", len(calls))
				}
				got := calls[0]
				got.at = time.Time{}
				if got != tc.want {
					t.Errorf("renewed %+v, want %+v", got, tc.want)
				}
			})
		})
	}
}

func TestTenThousandAtOnce(t *testing.T) {
	const leases = 10_000
	f := &fakeVault{answer: func(context.Context, renewal) (vault.Grant, error) {
		time.Sleep(100 * time.Millisecond)
		return vault.Grant{TTL: time.Hour, Renewable: true}, nil
	}}
	running(t, f, func(t *testing.T, x *lease.Index) {
		synctest.Wait()
		idle := runtime.NumGoroutine()
		now := time.Now()
		for i := range leases {
			path := fmt.Sprintf("aws/creds/%d", i)
			mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), now.Add(-45*time.Minute)) // all are due
		}
		sleep(10 * time.Second)
		if n := runtime.NumGoroutine(); n > idle+2 {
			t.Errorf("%d goroutines for renewals under way, %d without", n, idle)
		}
		sleep(time.Minute)
		if n := len(f.renewals()); n != leases {
			t.Errorf("%d renewals, want one of each of %d", n, leases)
		}
		if peak := f.most(); peak != 16 {
			t.Errorf("%d renewals at a time, want 16", peak)
		}
		wantStats(t, x, leases, 1)
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	for name, answer := range map[string]func(context.Context, renewal) (vault.Grant, error){
		"idle": grant(time.Hour),
		"with renewals under way": func(ctx context.Context, _ renewal) (vault.Grant, error) {
			<-ctx.Done()
			return vault.Grant{}, fmt.Errorf("renew: %w", ctx.Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				x, f := lease.NewIndex(lease.Options{}), &fakeVault{answer: answer}
				x.Hold("", app, "", "", time.Time{})
				var done atomic.Int32
				ended := make(chan error, 1)
				go func() {
					ended <- lease.NewClock(x, f, slog.New(slog.DiscardHandler), lease.ClockOptions{OnDone: func(error) { done.Add(1) }}).Run(ctx)
				}()
				for i := range 100 {
					path := fmt.Sprintf("aws/creds/%d", i)
					mustKeep(t, x, path, app, leaseAnswer(path+"/x", 60), time.Now().Add(-45*time.Second))
				}
				sleep(time.Second)
				before := done.Load()
				cancel()
				synctest.Wait()
				select {
				case err := <-ended:
					if err != nil {
						t.Errorf("Run() = %v, want nil: it was asked to stop", err)
					}
				default:
					t.Error("Run goes on")
				}
				if n := done.Load() - before; n != 0 {
					t.Errorf("%d renewals count as failed because the daemon stops", n)
				}
			})
		})
	}
}

// The log names leases and accessors, never a token; each renewal is reported once.
func TestWhatIsLoggedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		var granted, failed atomic.Int32
		f := &fakeVault{}
		f.answer = func(_ context.Context, r renewal) (vault.Grant, error) {
			switch n := len(f.renewals()); {
			case n <= 2:
				return vault.Grant{TTL: time.Hour, Renewable: true}, nil
			case n <= 4:
				return vault.Grant{}, errDown
			default:
				return vault.Grant{}, errRefused
			}
		}
		x := lease.NewIndex(lease.Options{})
		x.Hold("", app, "acc-app", "", time.Time{})
		log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		go lease.NewClock(x, f, log, lease.ClockOptions{OnDone: func(err error) {
			if err == nil {
				granted.Add(1)
			} else {
				failed.Add(1)
			}
		}}).Run(t.Context())
		mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), time.Now())
		mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc-login", true, 3600), time.Now())
		sleep(24 * time.Hour)
		wantStats(t, x, 0, 1)
		if calls := len(f.renewals()); granted.Load() != 2 || int(granted.Load()+failed.Load()) != calls {
			t.Errorf("%d renewals: %d counted as granted, %d as failed", calls, granted.Load(), failed.Load())
		}
		text := logged.String()
		for _, want := range []string{"lease=aws/creds/a/x1", "accessor=acc-login", "level=DEBUG", "level=WARN", "level=INFO"} {
			if !strings.Contains(text, want) {
				t.Errorf("nothing logged with %s:\n%s", want, text)
			}
		}
		if strings.Contains(text, "hvs.") {
			t.Errorf("a token is in the log:\n%s", text)
		}
	})
}
