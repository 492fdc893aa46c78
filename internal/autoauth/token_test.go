package autoauth_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
	"leasehold/internal/vault"
)

// within checks that a time lies in a range.
func within(t *testing.T, what string, got, lo, hi time.Duration) {
	t.Helper()
	if got < lo || got > hi {
		t.Errorf("%s after %v, want %v to %v", what, got, lo, hi)
	}
}

func TestRenewalAtTwoThirdsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true}
		j := &journal{}
		r := run(t, v, method{}, autoauth.Options{Observers: []autoauth.Observer{j}, Meter: j})
		time.Sleep(24 * time.Hour)
		r.stop()
		synctest.Wait()

		renewals := v.requests(renewPath)
		var last time.Duration
		for _, got := range renewals {
			within(t, "renewal", got.at-last, 36*time.Minute, 40*time.Minute)
			last = got.at
		}
		if n := len(renewals); v.logins() != 1 || n < 36 || n > 40 || j.success != n+1 {
			t.Errorf("%d logins, %d renewals, %d successes counted in a day", v.logins(), n, j.success)
		}
		h := j.held[len(j.held)-1]
		if len(j.held) != len(renewals)+1 || h.Token.Reveal() != "hvs.1" || !h.Previous.IsZero() ||
			!h.Expires.Equal(v.start.Add(last+time.Hour)) || h.Accessor != "acc.1" || h.Grant != (vault.Grant{TTL: time.Hour, Renewable: true}) {
			t.Errorf("the observer was told %d times, the last time %+v", len(j.held), h)
		}
		r.wantToken(t, "hvs.1") // a request that is being drained still needs it
	})
}

func TestATokenIsReplacedBeforeItsEndWhenItCannotBeRenewed(t *testing.T) {
	hour := func(n int) *reply { return granted("hvs.1", time.Hour, true) }
	for name, tc := range map[string]struct {
		vault    *fakeVault
		lo, hi   time.Duration // when the second login comes
		renewals int
	}{
		"not renewable":   {vault: &fakeVault{ttl: time.Hour}, lo: 48 * time.Minute, hi: 54 * time.Minute},
		"renewal refused": {vault: &fakeVault{ttl: time.Hour, renewable: true, onRenew: func(int) *reply { return refused(403, "permission denied") }}, lo: 48 * time.Minute, hi: 54 * time.Minute, renewals: 1},
		"batch token":     {vault: &fakeVault{ttl: time.Hour, renewable: true, onRenew: func(int) *reply { return refused(400, "batch tokens cannot be renewed") }}, lo: 48 * time.Minute, hi: 54 * time.Minute, renewals: 1},
		"token gone": {vault: &fakeVault{ttl: time.Hour, renewable: true, onRenew: func(int) *reply {
			return refused(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
		}}, lo: 36 * time.Minute, hi: 40 * time.Minute, renewals: 1},
		"no longer renewable": {vault: &fakeVault{onLogin: hour, onRenew: func(int) *reply { return granted("hvs.1", time.Hour, false) }}, lo: (36 + 48) * time.Minute, hi: (40 + 54) * time.Minute, renewals: 1},
		"max TTL in sight":    {vault: &fakeVault{onLogin: hour, onRenew: func(int) *reply { return granted("hvs.1", 30*time.Minute, true) }}, lo: (36 + 24) * time.Minute, hi: (40 + 27) * time.Minute, renewals: 1},
		"max TTL reached":     {vault: &fakeVault{onLogin: hour, onRenew: func(int) *reply { return granted("hvs.1", 0, true) }}, lo: 36 * time.Minute, hi: 40 * time.Minute, renewals: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := tc.vault
				r := run(t, v, method{}, autoauth.Options{})
				for v.logins() < 2 && time.Since(v.start) < 3*time.Hour {
					time.Sleep(time.Second)
					synctest.Wait()
				}
				r.stop()
				synctest.Wait()
				logins := v.requests(loginPath)
				if len(logins) != 2 || v.renewals() != tc.renewals {
					t.Fatalf("%d logins, %d renewals, want 2 and %d", len(logins), v.renewals(), tc.renewals)
				}
				within(t, "second login", logins[1].at, tc.lo, tc.hi)
			})
		})
	}
}

// A minute without Vault once made agents throw good tokens away, and with them all their leases (hashicorp/vault#10918).
func TestAnHourWithoutVaultCostsNoToken(t *testing.T) {
	for name, outage := range map[string]*reply{
		"unreachable":    unreachable(),
		"sealed":         refused(503, "Vault is sealed"),
		"overloaded":     refused(429, "rate limit quota exceeded"),
		"standby behind": refused(412, "required index state not present"),
		"silent":         {hang: true},
		"no auth":        {status: 200, body: `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{ttl: 3 * time.Hour, renewable: true}
				v.onRenew = func(int) *reply {
					if at := time.Since(v.start); at > 100*time.Minute && at < 160*time.Minute {
						return outage
					}
					return nil
				}
				j := &journal{}
				r := run(t, v, method{}, autoauth.Options{Observers: []autoauth.Observer{j}, Meter: j})
				for range 170 { // minutes
					time.Sleep(time.Minute)
					synctest.Wait()
					r.wantToken(t, "hvs.1")
				}
				r.stop()
				synctest.Wait()
				if v.logins() != 1 || len(j.lost) != 0 || j.failures == 0 || j.failures != v.renewals()-j.success+1 { // one success is the login
					t.Errorf("%d logins, %d tokens lost; of %d renewals and a login %d failures and %d successes", v.logins(), len(j.lost), v.renewals(), j.failures, j.success)
				}
				if n := v.renewals(); n < 5 || n > 30 {
					t.Errorf("%d attempts to renew in the hour", n)
				}
				if h := j.held[len(j.held)-1]; h.Expires.Sub(v.start) < 5*time.Hour {
					t.Errorf("token ends %v after the login: not renewed when Vault came back", h.Expires.Sub(v.start))
				}
			})
		})
	}
}

func TestRenewalIsTriedToTheLast(t *testing.T) {
	for name, tc := range map[string]struct {
		back time.Duration // when Vault is back, in the life of a token of one hour
	}{
		"a short failure":        {41 * time.Minute},
		"seconds before the end": {time.Hour - 3*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{ttl: time.Hour, renewable: true}
				v.onRenew = func(int) *reply {
					if time.Since(v.start) < tc.back {
						return unreachable()
					}
					return nil
				}
				r := run(t, v, method{}, autoauth.Options{})
				time.Sleep(62 * time.Minute)
				r.wantToken(t, "hvs.1")
				r.stop()
				synctest.Wait()
				for _, got := range v.requests(renewPath) {
					if got.at >= tc.back {
						within(t, "renewal", got.at, tc.back, tc.back+(tc.back-36*time.Minute))
						break
					}
				}
			})
		})
	}
}

func TestTheFirstRetryOfARenewalComesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true, onRenew: func(n int) *reply {
			if n%2 == 1 { // each success starts the backoff again
				return unreachable()
			}
			return nil
		}}
		r := run(t, v, method{}, autoauth.Options{})
		time.Sleep(24 * time.Hour)
		r.stop()
		synctest.Wait()
		renewals := v.requests(renewPath)
		for i := 1; i < len(renewals); i += 2 {
			within(t, "retry", renewals[i].at-renewals[i-1].at, 750*time.Millisecond, time.Second)
		}
	})
}

func TestARenewalWithoutAnswerDoesNotOutliveItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: 50 * time.Second, renewable: true, onRenew: func(int) *reply { return &reply{hang: true} }}
		r := run(t, v, method{}, autoauth.Options{})
		time.Sleep(50 * time.Second)
		synctest.Wait()
		r.wantToken(t, "hvs.2")
		r.stop()
		synctest.Wait()
	})
}

func TestATokenThatIsGoneIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true,
			onRenew: func(int) *reply { return refused(400, "token not found") },
			onLogin: func(n int) *reply {
				if n > 1 {
					return unreachable()
				}
				return nil
			},
		}
		r := run(t, v, method{}, autoauth.Options{})
		time.Sleep(41 * time.Minute)
		r.wantToken(t, "")
		r.stop()
		synctest.Wait()
	})
}

func TestAnOutageLongerThanTheTokensLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true}
		away := func(int) *reply {
			if at := time.Since(v.start); at > time.Minute && at < 2*time.Hour {
				return unreachable()
			}
			return nil
		}
		v.onLogin, v.onRenew = away, away
		j := &journal{}
		r := run(t, v, method{}, autoauth.Options{Observers: []autoauth.Observer{j}, Meter: j})

		time.Sleep(time.Hour - time.Millisecond)
		synctest.Wait()
		r.wantToken(t, "hvs.1")
		if v.logins() != 1 {
			t.Errorf("%d logins while the token lives, want 1", v.logins())
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		r.wantToken(t, "")
		time.Sleep(time.Hour - time.Minute)
		if got, err := r.Await(t.Context()); err != nil || got.IsZero() {
			t.Errorf("Await after the outage: %v", err)
		}
		within(t, "login", time.Since(v.start), 2*time.Hour, 2*time.Hour+5*time.Minute)
		if j.failures == 0 {
			t.Error("no failure counted")
		}
		if len(j.lost) != 1 || j.lost[0].Reveal() != "hvs.1" {
			t.Errorf("%d tokens lost", len(j.lost))
		}
		if h := j.held[len(j.held)-1]; h.Previous.Reveal() != "hvs.1" || h.PreviousAlive {
			t.Errorf("previous token %q, alive %t", h.Previous.Reveal(), h.PreviousAlive)
		}
		r.stop()
		synctest.Wait()
	})
}

func TestATokenServesWhileItsSuccessorIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour}
		v.onLogin = func(n int) *reply {
			if n > 1 && time.Since(v.start) < 58*time.Minute {
				return unreachable()
			}
			return nil
		}
		j := &journal{}
		r := run(t, v, method{}, autoauth.Options{MaxBackoff: 10 * time.Second, Observers: []autoauth.Observer{j}})
		for range 58 {
			time.Sleep(time.Minute - time.Millisecond)
			synctest.Wait()
			r.wantToken(t, "hvs.1")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(j.held) != 2 || len(j.lost) != 0 || j.held[1].Previous.Reveal() != "hvs.1" || !j.held[1].PreviousAlive {
			t.Errorf("held %d, lost %d; the last %+v", len(j.held), len(j.lost), j.held[len(j.held)-1])
		}
		r.stop()
		synctest.Wait()
	})
}

func TestShortLivesMakeNoHotLoop(t *testing.T) {
	for name, v := range map[string]*fakeVault{
		"not renewable":            {ttl: time.Second},
		"gone at once":             {ttl: time.Second, renewable: true, onRenew: func(int) *reply { return refused(403, "invalid token") }},
		"renewed by nothing":       {ttl: time.Second, renewable: true, onRenew: func(int) *reply { return granted("hvs.1", 0, true) }},
		"renewed a little":         {ttl: 2 * time.Second, renewable: true, onRenew: func(int) *reply { return granted("hvs.1", time.Second, true) }},
		"no right to be renewed":   {ttl: time.Second, renewable: true, onRenew: func(int) *reply { return refused(403, "permission denied") }},
		"every renewal fails":      {ttl: time.Second, renewable: true, onRenew: func(int) *reply { return unreachable() }},
		"invalidated all the time": {ttl: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := run(t, v, method{}, autoauth.Options{})
				for range 600 {
					time.Sleep(100 * time.Millisecond)
					if name == "invalidated all the time" {
						r.Invalidate(r.Token())
					}
				}
				r.stop()
				synctest.Wait()
				logins := v.requests(loginPath)
				for i := 1; i < len(logins); i++ {
					if apart := logins[i].at - logins[i-1].at; apart < time.Second {
						t.Errorf("logins %d and %d are %v apart", i, i+1, apart)
					}
				}
				if len(logins) < 20 || v.renewals() > 120 {
					t.Errorf("%d logins and %d renewals in a minute", len(logins), v.renewals())
				}
			})
		})
	}
}

func TestATokenWithoutTTLIsLeftAlone(t *testing.T) {
	for name, body := range map[string]string{
		"root token, looked up":   `{"data":{"id":"hvs.1","accessor":"acc.1","policies":["root"],"ttl":0,"expire_time":null,"renewable":false}}`,
		"login answer":            `{"auth":{"client_token":"hvs.1","lease_duration":0,"renewable":false}}`,
		"renewable, for all that": `{"auth":{"client_token":"hvs.1","lease_duration":0,"renewable":true}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{onLogin: func(int) *reply { return &reply{status: 200, body: body} }}
				j := &journal{}
				r := run(t, v, method{}, autoauth.Options{Observers: []autoauth.Observer{j}})
				time.Sleep(1000 * time.Hour)
				r.wantToken(t, "hvs.1")
				r.stop()
				synctest.Wait()
				if v.logins() != 1 || v.renewals() != 0 {
					t.Errorf("%d logins and %d renewals, want 1 and 0", v.logins(), v.renewals())
				}
				if len(j.held) != 1 || !j.held[0].Expires.IsZero() {
					t.Errorf("told %+v", j.held)
				}
			})
		})
	}
}

func TestInvalidateByManyCausesOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true}
		j := &journal{}
		r := run(t, v, method{}, autoauth.Options{Observers: []autoauth.Observer{j}})
		time.Sleep(time.Minute)
		bad := r.Token()
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				r.Invalidate(bad)
				if got, err := r.Await(t.Context()); err != nil || got.Reveal() != "hvs.2" {
					t.Errorf("token after Invalidate = %q, %v", got.Reveal(), err)
				}
				r.Invalidate(bad) // news that comes late
			})
		}
		wg.Wait()
		if took := time.Since(v.start); took != time.Minute {
			t.Errorf("the new token came %v late", took-time.Minute)
		}
		time.Sleep(10 * time.Minute)
		r.stop()
		synctest.Wait()
		if v.logins() != 2 {
			t.Errorf("%d logins, want 2", v.logins())
		}
		if h := j.held[1]; len(j.lost) != 1 || h.Previous.Reveal() != "hvs.1" || h.PreviousAlive {
			t.Errorf("%d lost; previous %q, alive %t", len(j.lost), h.Previous.Reveal(), h.PreviousAlive)
		}
	})
}

func TestInvalidateDropsTheTokenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour}
		v.onLogin = func(n int) *reply {
			if n == 2 {
				return &reply{hang: true} // for the client's 60 s
			}
			return nil
		}
		j := &journal{}
		r := run(t, v, method{}, autoauth.Options{Observers: []autoauth.Observer{j}})
		synctest.Wait()
		for _, other := range []string{"", "hvs.other"} {
			r.Invalidate(vault.NewToken(other))
			r.wantToken(t, "hvs.1")
		}
		for v.logins() < 2 { // until the token is due to be replaced
			time.Sleep(time.Second)
		}
		r.Invalidate(r.Token())
		r.wantToken(t, "")
		time.Sleep(90 * time.Second)
		r.wantToken(t, "hvs.3")
		r.stop()
		synctest.Wait()
		if v.logins() != 3 || len(j.lost) != 1 || j.held[1].PreviousAlive {
			t.Errorf("%d logins, %d lost, previous alive %t", v.logins(), len(j.lost), j.held[1].PreviousAlive)
		}
	})
}

func TestThePreviousTokenMayEndDuringTheLogin(t *testing.T) {
	for name, tc := range map[string]struct {
		delay      time.Duration // of the second login, sent after 48 to 54 s of a life of one minute
		invalidate bool
		alive      bool
	}{
		"no":                {delay: 2 * time.Second, alive: true},
		"it expires":        {delay: 30 * time.Second},
		"it is invalidated": {delay: 2 * time.Second, invalidate: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{ttl: time.Hour, renewable: true, onLogin: func(n int) *reply {
					if n == 1 {
						return granted("hvs.1", time.Minute, false)
					}
					a := granted("hvs.2", time.Hour, true)
					a.delay = tc.delay
					return a
				}}
				j := &journal{}
				r := run(t, v, method{}, autoauth.Options{Observers: []autoauth.Observer{j}})
				for v.logins() < 2 {
					time.Sleep(time.Second)
				}
				if tc.invalidate {
					r.Invalidate(r.Token())
				}
				time.Sleep(50 * time.Minute)
				r.wantToken(t, "hvs.2")
				r.stop()
				synctest.Wait()
				if v.logins() != 2 || len(j.lost) != 0 || len(j.held) != 3 {
					t.Fatalf("%d logins, told of %d lost and %d held; want 2, 0, 3", v.logins(), len(j.lost), len(j.held))
				}
				if h := j.held[1]; h.Previous.Reveal() != "hvs.1" || h.PreviousAlive != tc.alive {
					t.Errorf("previous token %q, alive %t; want hvs.1, %t", h.Previous.Reveal(), h.PreviousAlive, tc.alive)
				}
				if h := j.held[2]; !h.Previous.IsZero() || h.PreviousAlive {
					t.Error("a renewal has a previous token")
				}
			})
		})
	}
}

// firstToKnow checks that requests do not see a token before its observers do.
type firstToKnow struct {
	t *testing.T
	r atomic.Pointer[running]
}

func (f *firstToKnow) TokenHeld(h autoauth.Held) {
	if f.r.Load().Token().Equal(h.Token) {
		f.t.Error("the token is in use before its observers know it")
	}
}

func (f *firstToKnow) TokenWrapped() {}

func (f *firstToKnow) TokenLost(vault.Token) {
	if !f.r.Load().Token().IsZero() {
		f.t.Error("the token is in use after its observers heard of its end")
	}
}

func TestObserversKnowATokenBeforeAnyRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &firstToKnow{t: t}
		v := &fakeVault{ttl: time.Hour, onLogin: func(n int) *reply {
			if n == 1 {
				return unreachable() // gives the test time to set f.r
			}
			if n > 3 && n < 100 {
				return unreachable()
			}
			return nil
		}}
		f.r.Store(run(t, v, method{}, autoauth.Options{Observers: []autoauth.Observer{f}}))
		time.Sleep(10 * time.Hour)
		f.r.Load().stop()
		synctest.Wait()
	})
}

func TestTheSameTokenAgainReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{onLogin: func(int) *reply { return granted("hvs.1", time.Hour, false) }}
		j := &journal{}
		sink := &fakeSink{}
		r := run(t, v, method{}, autoauth.Options{Observers: []autoauth.Observer{j}, Sinks: []autoauth.Sink{sink}})
		time.Sleep(10 * time.Hour)
		r.stop()
		synctest.Wait()
		for _, h := range j.held {
			if !h.Previous.IsZero() || h.PreviousAlive {
				t.Errorf("told of a previous token: %+v", h)
			}
		}
		if got := sink.written(); len(got) != 1 || len(j.held) < 10 {
			t.Errorf("%d logins, sink written %d times, want once", len(j.held), len(got))
		}
	})
}

func TestTokenAllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, &fakeVault{}, method{}, autoauth.Options{})
		synctest.Wait()
		if n := testing.AllocsPerRun(100, func() { _ = r.Token() }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		r.stop()
		synctest.Wait()
	})
}
