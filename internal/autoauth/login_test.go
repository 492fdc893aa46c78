package autoauth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth"
	"leasehold/internal/vault"
)

func TestFailedLoginsAreRetriedWithVaultAgentsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{onLogin: func(int) *reply { return refused(503, "Vault is sealed") }}
		r := run(t, v, method{}, autoauth.Options{MinBackoff: time.Second, MaxBackoff: 10 * time.Second})
		time.Sleep(2 * time.Minute)
		r.stop()
		synctest.Wait()

		seen := v.requests(loginPath)
		if len(seen) < 12 || seen[0].at != 0 {
			t.Fatalf("%d logins, the first after %v; want at least 12, the first at once", len(seen), seen[0].at)
		}
		base := time.Second
		for i := 1; i < len(seen); i++ {
			pause := seen[i].at - seen[i-1].at
			if pause < base*3/4 || pause > base {
				t.Errorf("pause %d = %v, want %v to %v", i, pause, base*3/4, base)
			}
			base = min(2*pause, 10*time.Second)
		}
	})
}

func TestBackoffStartsAgainAfterASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, onLogin: func(n int) *reply {
			if n <= 6 || n == 8 { // seven is the success
				return unreachable()
			}
			return nil
		}}
		r := run(t, v, method{}, autoauth.Options{})
		time.Sleep(59 * time.Minute)
		r.stop()
		synctest.Wait()
		seen := v.requests(loginPath)
		if len(seen) != 9 {
			t.Fatalf("%d logins, want 9", len(seen))
		}
		if pause := seen[8].at - seen[7].at; pause > time.Second {
			t.Errorf("first pause after a success = %v, want 1s at most", pause)
		}
	})
}

// The pause grows to minutes while Vault is away; nobody should wait for its end when Vault is back.
func TestVaultAnswersCutsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true, onLogin: func(n int) *reply {
			if n < 12 {
				return unreachable()
			}
			return nil
		}}
		r := run(t, v, method{}, autoauth.Options{})
		for v.logins() < 11 {
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
		r.VaultAnswers()
		synctest.Wait()
		r.wantToken(t, "hvs.12")
		for range 100 { // with nothing to be made good it means nothing
			r.VaultAnswers()
			synctest.Wait()
		}
		if v.logins() != 12 || v.renewals() != 0 {
			t.Errorf("%d logins, %d renewals", v.logins(), v.renewals())
		}
		v.onRenew = func(int) *reply {
			if v.renewals() < 6 {
				return unreachable()
			}
			return nil
		}
		for v.renewals() < 5 {
			time.Sleep(time.Second)
		}
		r.VaultAnswers()
		synctest.Wait()
		if s := r.Status(); v.renewals() != 6 || s.Failures != 0 {
			t.Errorf("%d renewals, %+v", v.renewals(), s)
		}
		r.stop()
		synctest.Wait()
	})
}

func TestExitOnErrReturnsTheFirstFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		answer  *reply
		want    string
		refused bool
	}{
		"refused":    {refused(400, "invalid role or secret ID"), "Vault refused the login at auth/test/login (400: invalid role or secret ID); write a new secret ID", true},
		"sealed":     {refused(503, "Vault is sealed"), "Vault could not answer the login at auth/test/login (503: Vault is sealed)", false},
		"over quota": {refused(429, "request path \"x\": rate limit quota exceeded"), `Vault could not answer the login at auth/test/login (429: request path "x": rate limit quota exceeded)`, false},
		"several":    {&reply{status: 403, body: `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`}, "Vault refused the login at auth/test/login (403: 2 errors occurred: * permission denied * invalid token); write a new secret ID", true},
		"a signature": {refused(500, `error making upstream request: Post "https://sts.test/?AccessKeyId=s3cr3t&Signature=s3cr3t": dial tcp`),
			`(500: error making upstream request: Post "https://sts.test/?...": dial tcp)`, false},
		"not Vault":   {&reply{status: 502, body: "<html>s3cr3t</html>"}, "Vault could not answer the login at auth/test/login (502: Bad Gateway)", false},
		"unreachable": {unreachable(), "connection refused", false},
		"no token":    {&reply{status: 200, body: `{"data":{}}`}, "login: Vault's answer has no token; check mount_path", false},
		"no content":  {&reply{status: 204}, "login: Vault's answer has no token; check mount_path", false},
		"not JSON":    {&reply{status: 200, body: "hello"}, "login: invalid character", false},
		"wants MFA":   {&reply{status: 200, body: `{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"1"}}}`}, "second factor (mfa_requirement)", false},
		"ends at once": {&reply{status: 200, body: `{"data":{"id":"hvs.1","ttl":0,"expire_time":"2030-01-01T00:00:00Z"}}`},
			"login: the token ends within a second", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{onLogin: func(int) *reply { return tc.answer }}
				j := &journal{}
				r := run(t, v, method{}, autoauth.Options{ExitOnErr: true, Meter: j})
				err := <-r.done
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Fatalf("Run = %v, want ...%s...", err, tc.want)
				}
				if got := errors.Is(err, vault.ErrRefused); got != tc.refused {
					t.Errorf("is a vault.ErrRefused: %t, want %t", got, tc.refused)
				}
				if v.logins() != 1 || j.failures != 1 {
					t.Errorf("%d logins, %d failures counted, want 1 and 1", v.logins(), j.failures)
				}
				if strings.Contains(err.Error(), "s3cr3t") {
					t.Error("the error shows a secret")
				}
			})
		})
	}
}

func TestExitOnErrConcernsLaterLoginsButNotRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true,
			onLogin: func(n int) *reply {
				if n > 1 {
					return unreachable()
				}
				return nil
			},
			onRenew: func(int) *reply { return unreachable() },
		}
		r := run(t, v, method{}, autoauth.Options{ExitOnErr: true})
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		select {
		case err := <-r.done:
			t.Fatalf("failed renewals ended Run: %v", err)
		default:
		}
		if err := <-r.done; err == nil || time.Since(v.start) < time.Hour {
			t.Errorf("Run = %v after %v, want the failed login's error after an hour", err, time.Since(v.start))
		}
	})
}

func TestLoginRequestCarriesNothingFromElsewhere(t *testing.T) {
	t.Setenv(api.EnvVaultToken, "hvs.environment")
	t.Setenv(api.EnvVaultWrapTTL, "5m")
	t.Setenv(api.EnvVaultNamespace, "other")
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true, onLogin: func(n int) *reply {
			if n == 1 {
				return unreachable()
			}
			return nil
		}}
		greet := method{before: func(c *api.Client) {
			c.AddHeader("Authorization", "Negotiate")
			if v.logins() == 0 {
				c.SetToken("hvs.method")
			}
		}}
		r := run(t, v, greet, autoauth.Options{Namespace: "ns1/"})
		time.Sleep(time.Hour)
		r.stop()
		synctest.Wait()

		if v.logins() != 2 || v.renewals() != 1 {
			t.Fatalf("%d logins and %d renewals, want 2 and 1", v.logins(), v.renewals())
		}
		want := map[string]string{
			"X-Vault-Request": "true", "X-Vault-Namespace": "ns1/", "X-Vault-Wrap-Ttl": "", "Authorization": "Negotiate",
		}
		for n, got := range v.requests(loginPath) {
			want["X-Vault-Token"] = []string{"hvs.method", ""}[n]
			for name, value := range want {
				if all := strings.Join(got.header.Values(name), ","); all != value {
					t.Errorf("login: %s = %q, want %q", name, all, value)
				}
			}
			if got.method != "PUT" {
				t.Errorf("login by %s, want PUT", got.method)
			}
		}
		want["X-Vault-Token"], want["Authorization"] = "hvs.2", ""
		renewal := v.requests(renewPath)[0]
		for name, value := range want {
			if all := strings.Join(renewal.header.Values(name), ","); all != value {
				t.Errorf("renewal: %s = %q, want %q", name, all, value)
			}
		}
		if renewal.method != "PUT" || renewal.body != `{"increment":0}` {
			t.Errorf("renewal: %s %s", renewal.method, renewal.body)
		}
	})
}

func TestTheLogTellsTheStoryWithoutSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true, onLogin: func(n int) *reply {
			if n == 1 {
				return refused(400, "invalid role or secret ID")
			}
			return &reply{status: 200, body: `{"auth":{"client_token":"hvs.2","accessor":"acc.2","policies":["app"],"lease_duration":3600,"renewable":true,"num_uses":7}}`}
		}}
		r := run(t, v, method{}, autoauth.Options{Namespace: "ns1/"})
		time.Sleep(time.Hour)
		r.Invalidate(r.Token())
		synctest.Wait()
		r.stop()
		synctest.Wait()

		log := r.log.String()
		for _, want := range []string{
			"login failed", "write a new secret ID", "next_attempt_in=",
			"logged in to Vault", "accessor=acc.2", "policies=[app]", "namespace=ns1/", "ttl=1h0m0s", "next_renewal_in=",
			"num_uses=7", "token renewed", "token lost",
		} {
			if !strings.Contains(log, want) {
				t.Errorf("the log does not say %q", want)
			}
		}
		for _, secret := range []string{"hvs.", "s3cr3t"} {
			if strings.Contains(log, secret) {
				t.Errorf("the log shows %q", secret)
			}
		}
		if t.Failed() {
			t.Log(log)
		}
	})
}

func TestAwaitAndReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, onLogin: func(n int) *reply {
			if n == 1 {
				return unreachable()
			}
			return nil
		}}
		r := run(t, v, method{}, autoauth.Options{MinBackoff: 20 * time.Second})
		synctest.Wait()
		r.wantToken(t, "")
		select {
		case <-r.Ready():
			t.Error("ready before the first login")
		default:
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Await within 1 s = %v, want the deadline's error", err)
		}
		if got, err := r.Await(t.Context()); err != nil || got.Reveal() != "hvs.2" {
			t.Errorf("Await = %q, %v", got.Reveal(), err)
		}
		<-r.Ready()
		r.wantToken(t, "hvs.2")
		r.stop()
		synctest.Wait()
	})
}

func TestRunEndsAtOnceWhereverItWaits(t *testing.T) {
	for name, tc := range map[string]struct {
		vault *fakeVault
		sink  *fakeSink
		after time.Duration // when to stop
	}{
		"a login without an answer":   {vault: &fakeVault{onLogin: func(int) *reply { return &reply{hang: true} }}, after: time.Second},
		"the pause after a failure":   {vault: &fakeVault{onLogin: func(int) *reply { return unreachable() }}, after: time.Hour},
		"a token that does not end":   {vault: &fakeVault{}, after: time.Hour},
		"a token to be renewed":       {vault: &fakeVault{ttl: time.Hour, renewable: true}, after: time.Minute},
		"a token to be replaced":      {vault: &fakeVault{ttl: time.Hour}, after: time.Minute},
		"a renewal without an answer": {vault: &fakeVault{ttl: time.Hour, renewable: true, onRenew: func(int) *reply { return &reply{hang: true} }}, after: 40*time.Minute + time.Second},
		"the pause of a renewal":      {vault: &fakeVault{ttl: time.Hour, renewable: true, onRenew: func(int) *reply { return unreachable() }}, after: 50 * time.Minute},
		"the least time per login":    {vault: &fakeVault{ttl: time.Second}, after: 999 * time.Millisecond},
		"a sink that fails":           {vault: &fakeVault{}, sink: &fakeSink{fail: func(int) bool { return true }}, after: time.Hour},
		"a sink that is slow":         {vault: &fakeVault{}, sink: &fakeSink{hang: true}, after: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o autoauth.Options
				if tc.sink != nil {
					o.Sinks = []autoauth.Sink{tc.sink}
				}
				r := run(t, tc.vault, method{}, o)
				time.Sleep(tc.after)
				stopped := time.Now()
				r.stop()
				if err := <-r.done; err != nil {
					t.Errorf("Run = %v, want nil", err)
				}
				if late := time.Since(stopped); late != 0 {
					t.Errorf("Run ended %v late", late)
				}
			})
		})
	}
}
