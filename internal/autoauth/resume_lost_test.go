package autoauth_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
	"leasehold/internal/vault"
)

func TestTheLastRunsTokenEndsWhileVaultIsAway(t *testing.T) {
	for name, tc := range map[string]struct {
		outage *reply
		jump   time.Duration // of the wall clock, after ten minutes
		ends   time.Duration
	}{
		"unreachable":     {outage: unreachable(), ends: 30 * time.Minute},
		"silent":          {outage: &reply{hang: true}, ends: 30 * time.Minute},
		"the clock jumps": {outage: unreachable(), jump: time.Hour, ends: 11 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, j := &fakeVault{ttl: time.Hour}, &journal{}
				v.backAt(time.Hour, tc.outage)
				v.onLogin = v.onLookup
				var ahead atomic.Int64
				r := run(t, v, method{}, autoauth.Options{
					Resume: lastRun(30 * time.Minute), MaxBackoff: time.Minute, Observers: []autoauth.Observer{j}, Meter: j,
					Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
				})
				time.Sleep(10 * time.Minute)
				r.wantToken(t, "hvs.0")
				ahead.Store(int64(tc.jump))
				time.Sleep(tc.ends - 10*time.Minute - time.Millisecond)
				if tc.jump == 0 {
					r.wantToken(t, "hvs.0")
				}
				time.Sleep(time.Millisecond)
				synctest.Wait()
				r.wantToken(t, "")
				if log := r.log.String(); strings.Contains(log, "token_ends_in=0s") || strings.Contains(log, "token_ends_in=-") {
					t.Error("the log says of an ended token that it stays in use")
				}
				if told := j.soFar(); len(told.lost) != 1 || told.lost[0].Reveal() != "hvs.0" || told.failures == 0 || r.Resuming() || r.isReady() {
					t.Errorf("%+v, resuming %t, ready %t", told, r.Resuming(), r.isReady())
				}
				time.Sleep(63*time.Minute - time.Since(v.start))
				if r.Token().IsZero() || !r.isReady() || len(j.soFar().held) != 1 {
					t.Error("no login when Vault was back")
				}
				r.end(t)
			})
		})
	}
}

func TestALastRunsTokenThatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, j := &fakeVault{ttl: time.Hour, renewable: true}, &journal{}
		r := prepare(t, v, method{}, autoauth.Options{Resume: lastRun(-time.Second), Observers: []autoauth.Observer{j}, Meter: j})
		r.wantToken(t, "")
		if r.Resuming() {
			t.Error("taken up")
		}
		r.start()
		synctest.Wait()
		r.wantToken(t, "hvs.1")
		r.end(t)
		if v.lookups() != 0 || v.logins() != 1 || len(j.lost) != 1 || j.lost[0].Reveal() != "hvs.0" || j.failures != 0 {
			t.Errorf("%d lookups, %d logins, %+v", v.lookups(), v.logins(), j)
		}
	})
}

func TestInvalidateOfTheLastRunsTokenCausesOneLogin(t *testing.T) {
	for name, tc := range map[string]struct {
		lookup *reply
		after  time.Duration // of the start; 0 for before it
		late   time.Duration // how long the login waits for the lookup
	}{
		"before Run":                    {lookup: unreachable()},
		"before Run, and no answer":     {lookup: &reply{hang: true}},
		"in the pause":                  {lookup: unreachable(), after: 20 * time.Minute},
		"while there is no answer":      {lookup: &reply{hang: true}, after: 30 * time.Second},
		"and the answer says otherwise": {lookup: &reply{status: 200, body: lookedUp("hvs.0", time.Hour, time.Hour, true).body, delay: 31 * time.Second}, after: 30 * time.Second, late: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, j := &fakeVault{ttl: time.Hour, onLookup: func(int) *reply { return tc.lookup }}, &journal{}
				r := prepare(t, v, method{}, autoauth.Options{Resume: lastRun(time.Hour), Observers: []autoauth.Observer{j}})
				if tc.after > 0 {
					r.start()
					time.Sleep(tc.after)
					synctest.Wait()
				}
				bad := r.Token()
				var callers sync.WaitGroup
				for range 50 {
					callers.Go(func() {
						r.Invalidate(bad)
						if r.Resuming() {
							t.Error("still resuming")
						}
						if got, err := r.Await(t.Context()); err != nil || got.Reveal() != "hvs.1" {
							t.Errorf("token after Invalidate = %q, %v", got.Reveal(), err)
						}
						r.Invalidate(bad)
					})
				}
				if tc.after == 0 {
					synctest.Wait()
					r.start()
				}
				callers.Wait()
				if took := time.Since(v.start); took != tc.after+tc.late {
					t.Errorf("the new token came after %v", took)
				}
				time.Sleep(10 * time.Minute)
				r.end(t)
				if tc.after < time.Minute && strings.Contains(r.log.String(), "it stays in use") {
					t.Error("the log says of an invalid token that it stays in use")
				}
				if v.logins() != 1 || len(j.lost) != 1 || len(j.held) != 1 || j.held[0].Previous.Reveal() != "hvs.0" || j.held[0].PreviousAlive {
					t.Errorf("%d logins, %+v", v.logins(), j)
				}
			})
		})
	}
}

// doubter invalidates the last run's token at the last moment before it would be confirmed.
type doubter struct {
	journal
	invalidate func(vault.Token)
}

func (d *doubter) TokenHeld(h autoauth.Held) {
	d.journal.TokenHeld(h)
	if h.Token.Reveal() == "hvs.0" {
		d.invalidate(h.Token)
	}
}

func TestAConfirmationDoesNotBringBackAnInvalidToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, d := &fakeVault{ttl: time.Hour}, &doubter{}
		r := prepare(t, v, method{}, autoauth.Options{Resume: lastRun(0), Observers: []autoauth.Observer{d}})
		d.invalidate = r.Invalidate
		r.start()
		synctest.Wait()
		r.wantToken(t, "hvs.1")
		r.end(t)
		if v.lookups() != 1 || v.logins() != 1 || len(d.lost) != 1 || len(d.held) != 2 {
			t.Errorf("%d lookups, %d logins, %d tokens lost, %d held", v.lookups(), v.logins(), len(d.lost), len(d.held))
		}
	})
}
