package autoauth_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
)

func TestATokenIsLookedUpAfterItsLogin(t *testing.T) {
	data := func(more string) *reply {
		return &reply{status: 200, body: `{"data":{"id":"hvs.1","accessor":"acc.1","policies":["app"],"ttl":3600,"expire_time":"2030-01-01T00:00:00Z","type":"service","entity_id":"e-1"` + more + `}}`}
	}
	limited := &reply{status: 200, body: `{"auth":{"client_token":"hvs.1","accessor":"acc.1","policies":["app"],"lease_duration":3600,"num_uses":3}}`}
	for name, tc := range map[string]struct {
		login, lookup *reply
		lookups       int
		says          string
		silent        string // what it does not say
	}{
		"good":              {nil, data(`,"namespace_path":"ns1/"`), 1, `msg="token looked up" accessor=acc.1 policies=[app] namespace=ns1/ type=service entity=e-1`, "level=WARN"},
		"of no Enterprise":  {nil, data(""), 1, `msg="token looked up"`, "level=WARN"},
		"another namespace": {nil, data(`,"namespace_path":"ns2/"`), 1, `level=WARN msg="the token is of another namespace than the one configured" accessor=acc.1`, "looked up"},
		"not known":         {nil, refused(403, "bad token"), 1, `level=WARN msg="Vault gave a token and does not know it`, "looked up"},
		"no right":          {nil, refused(403, "permission denied"), 1, `level=DEBUG msg="the token could not be looked up"`, "level=WARN"},
		"Vault is away":     {nil, unreachable(), 1, `level=DEBUG msg="the token could not be looked up"`, "level=WARN"},
		"limited uses":      {limited, data(""), 0, "num_uses=3", "looked up"},
		"login by lookup":   {data(""), data(""), 0, "logged in to Vault", "token looked up"},
		"no answer":         {nil, &reply{hang: true}, 1, "logged in to Vault", "looked up"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{ttl: time.Hour, renewable: true, onLookup: func(int) *reply { return tc.lookup }}
				if tc.login != nil {
					v.onLogin = func(int) *reply { return tc.login }
				}
				r := run(t, v, method{}, autoauth.Options{Namespace: "ns1/"})
				time.Sleep(time.Minute)
				r.wantToken(t, "hvs.1") // whatever comes of it
				r.stop()
				synctest.Wait()
				if n := v.lookupsOf("hvs.1"); n != tc.lookups || v.logins() != 1 {
					t.Errorf("%d lookups and %d logins, want %d and 1", n, v.logins(), tc.lookups)
				}
				if log := r.log.String(); !strings.Contains(log, tc.says) || strings.Contains(log, tc.silent) || strings.Contains(log, "hvs.") {
					t.Errorf("it is to say %q, not %q, and no token:\n%s", tc.says, tc.silent, log)
				}
			})
		})
	}
}
