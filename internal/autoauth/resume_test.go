package autoauth_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
	"leasehold/internal/vault"
)

// lastRun is the token that is resumed, with so much of its life left; 0 when that is not known.
func lastRun(left time.Duration) autoauth.Resumed {
	r := autoauth.Resumed{Token: vault.NewToken("hvs.0"), Accessor: "acc.0"}
	if left != 0 {
		r.Expires = time.Now().Add(left)
	}
	return r
}

// backAt has Vault answer lookups and renewals with outage, before at.
func (v *fakeVault) backAt(at time.Duration, outage *reply) {
	script := func(int) *reply {
		if time.Since(v.start) < at {
			return outage
		}
		return nil
	}
	v.onLookup, v.onRenew = script, script
}

// end stops the manager and looks for secrets in what it logged.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	synctest.Wait()
	for _, secret := range []string{"hvs.", "s3cr3t"} {
		if log := r.log.String(); strings.Contains(log, secret) {
			t.Errorf("the log shows %q:\n%s", secret, log)
		}
	}
}

// isReady reports whether Ready is closed.
func (r *running) isReady() bool {
	select {
	case <-r.Ready():
		return true
	default:
		return false
	}
}

func TestTheLastRunsTokenIsInUseFromTheStart(t *testing.T) {
	for name, left := range map[string]time.Duration{"its end is known": time.Hour, "its end is not known": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, j, sink := &fakeVault{ttl: time.Hour, renewable: true}, &journal{}, &fakeSink{}
				v.backAt(10*time.Second, unreachable())
				r := prepare(t, v, method{}, autoauth.Options{
					Resume: lastRun(left), MinTokenTTL: 10 * time.Minute, Namespace: "ns1/",
					Observers: []autoauth.Observer{j}, Sinks: []autoauth.Sink{sink}, Meter: j,
				})
				check := func(when string) {
					t.Helper()
					r.wantToken(t, "hvs.0")
					if got, err := r.Await(t.Context()); err != nil || got.Reveal() != "hvs.0" {
						t.Errorf("%s: Await = %q, %v", when, got.Reveal(), err)
					}
					if got, err := r.Lasting(t.Context()); err != nil || got.Reveal() != "hvs.0" {
						t.Errorf("%s: Lasting = %q, %v", when, got.Reveal(), err)
					}
				}
				check("before Run")
				r.start()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				check("before Vault answers")
				told := j.soFar()
				if !r.Resuming() || r.isReady() || len(told.held)+len(told.lost)+told.success+len(sink.written()) != 0 {
					t.Errorf("taken for confirmed: resuming %t, ready %t, %+v, stored %q", r.Resuming(), r.isReady(), told, sink.written())
				}
				time.Sleep(15 * time.Second)
				synctest.Wait()
				check("when Vault has answered")
				told = j.soFar()
				if r.Resuming() || !r.isReady() || len(told.held) != 1 || told.success != 1 || told.failures != 0 || !slices.Equal(sink.written(), []string{"hvs.0"}) {
					t.Errorf("not taken for confirmed: resuming %t, ready %t, %+v, stored %q", r.Resuming(), r.isReady(), told, sink.written())
				}
				r.end(t)
			})
		})
	}
}

func TestTheLastRunsTokenIsLookedUpInsteadOfALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, j := &fakeVault{ttl: time.Hour, renewable: true}, &journal{}
		r := run(t, v, method{}, autoauth.Options{Resume: lastRun(time.Minute), Namespace: "ns1/", Observers: []autoauth.Observer{j}})
		time.Sleep(24 * time.Hour)
		r.wantToken(t, "hvs.0")
		r.end(t)
		if v.lookups() != 1 || v.logins() != 0 || v.renewals() < 36 || len(j.lost) != 0 {
			t.Fatalf("%d lookups, %d logins, %d renewals, %d tokens lost in a day", v.lookups(), v.logins(), v.renewals(), len(j.lost))
		}
		q := v.requests(lookupPath)[0]
		if q.at != 0 || q.method != "GET" || q.header.Get("X-Vault-Token") != "hvs.0" || q.header.Get("X-Vault-Namespace") != "ns1/" {
			t.Errorf("looked up after %v by %s with %v", q.at, q.method, q.header)
		}
		h := j.held[0]
		if h.Token.Reveal() != "hvs.0" || h.Accessor != "acc.0" || !h.Previous.IsZero() || h.PreviousAlive || len(h.Policies) != 2 ||
			!h.Expires.Equal(v.start.Add(time.Hour)) || h.Grant != (vault.Grant{TTL: time.Hour, Renewable: true}) {
			t.Errorf("told of %+v", h)
		}
		for _, want := range []string{
			"the token of the last run is good", "accessor=acc.0", `policies="[default app]"`, "namespace=ns1/", "ttl=1h0m0s", "renewable=true", "next_renewal_in=",
		} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log does not say %q", want)
			}
		}
		if strings.Contains(r.log.String(), "logged in") {
			t.Error("the log says that a login was made")
		}
	})
}

func TestVaultsWordOnTheLastRunsToken(t *testing.T) {
	denied, unknown := refused(403, "permission denied"), refused(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
	ending, page := lookedUp("hvs.0", time.Millisecond, time.Hour, true), &reply{status: 404, body: "<html>default backend</html>"}
	good := granted("hvs.0", time.Hour, true)
	const keeps, loses, waits = "keeps", "loses", "waits"
	for name, tc := range map[string]struct {
		lookup, renewal *reply // nil renewal: none is asked for
		token           string
	}{
		"good":                        {lookup: lookedUp("hvs.0", time.Hour, time.Hour, true), token: keeps},
		"does not expire":             {lookup: lookedUp("hvs.0", 0, 0, false), token: keeps},
		"unknown":                     {lookup: unknown, token: loses},
		"unknown to an older Vault":   {lookup: refused(403, "bad token"), token: loses},
		"may renew itself only":       {lookup: denied, renewal: good, token: keeps},
		"may do neither":              {lookup: denied, renewal: denied, token: loses},
		"is not renewable":            {lookup: denied, renewal: refused(400, "lease is not renewable"), token: loses},
		"unknown to the renewal":      {lookup: denied, renewal: unknown, token: loses},
		"renewed by nothing":          {lookup: denied, renewal: granted("hvs.0", 0, true), token: loses},
		"no answer to the renewal":    {lookup: denied, renewal: unreachable(), token: waits},
		"no backend for the renewal":  {lookup: denied, renewal: page, token: waits},
		"ends at once":                {lookup: ending, renewal: denied, token: loses},
		"ends at once, but renewable": {lookup: ending, renewal: good, token: keeps},
		"another token":               {lookup: lookedUp("hvs.9", time.Hour, time.Hour, true), token: waits},
		"no token":                    {lookup: &reply{status: 200, body: `{"data":{}}`}, token: waits},
		"not Vault":                   {lookup: page, renewal: page, token: waits},
		"unreachable":                 {lookup: unreachable(), token: waits},
		"overloaded":                  {lookup: refused(429, "rate limit quota exceeded"), token: waits},
		"standby behind":              {lookup: refused(412, "required index state not present"), token: waits},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{ttl: time.Hour, renewable: true, onLookup: func(int) *reply { return tc.lookup }, onRenew: func(int) *reply { return tc.renewal }}
				j := &journal{}
				r := run(t, v, method{}, autoauth.Options{Resume: lastRun(0), Observers: []autoauth.Observer{j}})
				synctest.Wait()
				if asked := v.renewals() == 1; asked != (tc.renewal != nil) && tc.lookup != page {
					t.Errorf("%d renewals", v.renewals())
				}
				time.Sleep(time.Minute)
				r.end(t)
				if r.Resuming() != (tc.token == waits) || r.isReady() == (tc.token == waits) {
					t.Errorf("resuming %t, ready %t", r.Resuming(), r.isReady())
				}
				if tc.token != loses {
					r.wantToken(t, "hvs.0")
					if v.logins() != 0 || len(j.lost) != 0 || tc.token == keeps && v.lookups() != 1 || tc.token == waits && v.lookups() < 5 {
						t.Errorf("%d logins, %d lookups, %d tokens lost", v.logins(), v.lookups(), len(j.lost))
					}
					return
				}
				r.wantToken(t, "hvs.1")
				if v.logins() != 1 || v.lookups() != 1 || len(j.lost) != 1 || j.lost[0].Reveal() != "hvs.0" {
					t.Fatalf("%d logins, %d lookups, %d tokens lost", v.logins(), v.lookups(), len(j.lost))
				}
				if h := j.held[0]; len(j.held) != 1 || h.Previous.Reveal() != "hvs.0" || h.PreviousAlive || v.requests(loginPath)[0].at != 0 {
					t.Errorf("told of %+v", j.held)
				}
			})
		})
	}
}

func TestALastRunsTokenThatMayOnlyRenewItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true, onLookup: func(int) *reply { return refused(403, "permission denied") }}
		v.onRenew = func(int) *reply { return granted("hvs.0", time.Hour, true) }
		j := &journal{}
		r := run(t, v, method{}, autoauth.Options{Resume: lastRun(time.Minute), Observers: []autoauth.Observer{j}})
		time.Sleep(30 * time.Minute)
		r.wantToken(t, "hvs.0")
		r.end(t)
		if len(j.held) != 1 {
			t.Fatalf("told of %+v", j.held)
		}
		if h := j.held[0]; h.Accessor != "acc.0" || len(h.Policies) != 2 || !h.Expires.Equal(v.start.Add(time.Hour)) || !h.Previous.IsZero() {
			t.Errorf("told of %+v", h)
		}
	})
}

// The pod that starts while Vault is away is the one for which the state file was made (hashicorp/vault#28305).
func TestAnHourWithoutVaultAtTheStart(t *testing.T) {
	for name, outage := range map[string]*reply{
		"unreachable":     unreachable(),
		"sealed":          refused(503, "Vault is sealed"),
		"overloaded":      refused(429, "rate limit quota exceeded"),
		"silent":          {hang: true},
		"a page about it": {status: 404, body: "<html>default backend</html>"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, j := &fakeVault{ttl: 3 * time.Hour, renewable: true}, &journal{}
				v.backAt(time.Hour, outage)
				r := run(t, v, method{}, autoauth.Options{Resume: lastRun(3 * time.Hour), ExitOnErr: true, Observers: []autoauth.Observer{j}, Meter: j})
				for range 59 { // minutes
					time.Sleep(time.Minute)
					synctest.Wait()
					r.wantToken(t, "hvs.0")
					if !r.Resuming() || r.isReady() {
						t.Fatal("taken for confirmed")
					}
				}
				if n := v.lookups(); n < 48 || n > 330 {
					t.Errorf("%d lookups in the hour", n)
				}
				time.Sleep(3 * time.Minute) // one request may still be without an answer
				r.wantToken(t, "hvs.0")
				if told := j.soFar(); r.Resuming() || v.logins() != 0 || len(told.held) != 1 || len(told.lost) != 0 || told.failures != 0 {
					t.Errorf("resuming %t, %d logins, %+v", r.Resuming(), v.logins(), told)
				}
				asked := v.requests(lookupPath)
				if outage.hang { // the client's 60 s are no pause
					asked = nil
				}
				for i := 1; i < len(asked); i++ {
					within(t, "attempt", asked[i].at-asked[i-1].at, 750*time.Millisecond, 15*time.Second)
				}
				for _, want := range []string{"it stays in use", "accessor=acc.0", "next_attempt_in=", "token_ends_in="} {
					if !strings.Contains(r.log.String(), want) {
						t.Errorf("the log does not say %q", want)
					}
				}
				r.end(t)
			})
		})
	}
}

func TestAwaitStoredWaitsForTheConfirmation(t *testing.T) {
	for name, sinks := range map[string][]autoauth.Sink{"with a sink": {&fakeSink{}}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{ttl: time.Hour}
				v.backAt(time.Hour, unreachable())
				r := run(t, v, method{}, autoauth.Options{Resume: lastRun(0), Sinks: sinks})
				if !r.AwaitStored(t.Context()) {
					t.Error("AwaitStored = false")
				}
				within(t, "exit", time.Since(v.start), time.Hour, time.Hour+15*time.Second)
				r.end(t)
			})
		})
	}
}

func TestExitOnErrAfterTheLastRunsTokenWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{onLogin: func(int) *reply { return unreachable() }, onLookup: func(int) *reply { return refused(403, "invalid token") }}
		r := run(t, v, method{}, autoauth.Options{Resume: lastRun(0), ExitOnErr: true})
		if err := <-r.done; err == nil || time.Since(v.start) != 0 {
			t.Errorf("Run = %v after %v, want the failed login's error at once", err, time.Since(v.start))
		}
		r.end(t)
	})
}

func TestRunEndsAtOnceWhileResuming(t *testing.T) {
	for name, answer := range map[string]*reply{"a lookup without an answer": {hang: true}, "the pause after a failure": unreachable()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, j := &fakeVault{onLookup: func(int) *reply { return answer }}, &journal{}
				r := run(t, v, method{}, autoauth.Options{Resume: lastRun(time.Hour), Observers: []autoauth.Observer{j}})
				time.Sleep(time.Minute + time.Second)
				stopped := time.Now()
				r.stop()
				if err := <-r.done; err != nil || time.Since(stopped) != 0 || len(j.lost) != 0 {
					t.Errorf("Run = %v, %v late, %d tokens lost", err, time.Since(stopped), len(j.lost))
				}
				r.wantToken(t, "hvs.0")
				r.end(t)
			})
		})
	}
}
