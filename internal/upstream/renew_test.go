package upstream_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

func TestRenewLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 12)
		root := vault.NewToken(vaulttest.RootToken)
		read := func() { b.get(t, "/v1/leaser/creds/app?ttl=60&max_ttl=100") }
		read()
		id := vault.LeaseID(b.vault.Leases()[0])

		got, err := b.RenewLease(t.Context(), "ns1/", root, id)
		if want := (vault.Grant{TTL: time.Minute, Renewable: true}); got != want || err != nil {
			t.Errorf("renewal gave %+v, %v; want %+v", got, err, want)
		}
		log := b.vault.Requests()
		r := log[len(log)-1]
		if r.Method != "PUT" || r.Target != "/v1/sys/leases/renew" || string(r.Body) != `{"lease_id":"`+string(id)+`","increment":0}` {
			t.Errorf("sent %s %s %s", r.Method, r.Target, r.Body)
		}
		for k, want := range map[string]string{
			"X-Vault-Token": vaulttest.RootToken, "X-Vault-Namespace": "ns1/", "X-Vault-Request": "true",
			"User-Agent": own(), "Content-Type": "application/json",
		} {
			if r.Header.Get(k) != want {
				t.Errorf("%s = %q, want %q", k, r.Header.Get(k), want)
			}
		}

		time.Sleep(50 * time.Second)
		if got, err = b.RenewLease(t.Context(), "", root, id); got.TTL != 50*time.Second || err != nil {
			t.Errorf("late renewal gave %+v, %v; want the 50 s left", got, err)
		}
		time.Sleep(time.Minute)
		_, err = b.RenewLease(t.Context(), "", root, id)
		if !errors.Is(err, vault.ErrRefused) || !strings.Contains(err.Error(), "renew lease of leaser/creds/app: Vault answered 400: lease not found") {
			t.Errorf("renewal of an ended lease = %v, want it refused in Vault's words", err)
		}
	})
}

func (b rig) get(t *testing.T, target string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://h"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w, _, err := b.forward(r); err != nil || w.Code != 200 {
		t.Fatalf("GET %s = %d, %v", target, w.Code, err)
	}
}

func TestRenewSelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 12)
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://h/v1/auth/token/create", strings.NewReader(`{"ttl":"90"}`))
		if err != nil {
			t.Fatal(err)
		}
		b.forward(r)
		token := vault.NewToken(b.vault.Tokens()[1])
		got, err := b.RenewSelf(t.Context(), "", token)
		if want := (vault.Grant{TTL: 90 * time.Second, Renewable: true}); got != want || err != nil {
			t.Errorf("renewal gave %+v, %v; want %+v", got, err, want)
		}
		time.Sleep(2 * time.Minute)
		if _, err := b.RenewSelf(t.Context(), "", token); !errors.Is(err, vault.ErrRefused) {
			t.Errorf("renewal of an ended token = %v, want it refused", err)
		}
	})
}

func TestRenewalErrors(t *testing.T) {
	const secret = "hvs.verysecret"
	var timeout net.Error
	for name, tc := range map[string]struct {
		fault   vaulttest.Fault
		refused bool
		says    string
		is      error
	}{
		"bad request": {
			fault:   vaulttest.Answer(400, nil, `{"errors":["lease is not renewable"]}`),
			refused: true,
			says:    "400: lease is not renewable",
		},
		"forbidden": {
			fault:   vaulttest.Answer(403, nil, `{"errors":["1 error","permission denied"]}`),
			refused: true,
			says:    "403: 1 error; permission denied",
		},
		"not found":       {fault: vaulttest.Answer(404, nil, ``), refused: true, says: "Vault answered 404"},
		"sealed":          {fault: vaulttest.Answer(503, nil, `{"errors":["Vault is sealed"]}`), says: "503: Vault is sealed"},
		"not caught up":   {fault: vaulttest.Answer(412, nil, ``), says: "412"},
		"too many":        {fault: vaulttest.Answer(429, nil, ``), says: "429"},
		"redirect":        {fault: vaulttest.Answer(307, nil, ``), says: "307"},
		"no JSON":         {fault: vaulttest.Answer(200, nil, `<html>`), says: "read Vault's answer"},
		"reply lost":      {fault: vaulttest.ResetAfter(), says: "renew token: "},
		"short body":      {fault: vaulttest.ShortBody(), says: "renew token: "},
		"hang":            {fault: vaulttest.Hang(), is: context.DeadlineExceeded},
		"talkative Vault": {fault: vaulttest.Answer(403, nil, `{"errors":["bad token `+secret+`"]}`), refused: true, says: "bad token [redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, 12)
				b.vault.Fail(vaulttest.On("", "/"), tc.fault)
				_, err := b.RenewSelf(t.Context(), "", vault.NewToken(secret))
				if err == nil || errors.Is(err, vault.ErrRefused) != tc.refused || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("err = %v, want %q and refused to be %v", err, tc.says, tc.refused)
				}
				if tc.is != nil && (!errors.Is(err, tc.is) || !errors.As(err, &timeout)) {
					t.Errorf("err = %v, want %v", err, tc.is)
				}
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("%v has the token in it", err)
				}
				if n := len(b.vault.Requests()); n != 1 {
					t.Errorf("Vault was asked %d times, want once: the renewal clock has its own retries", n)
				}
			})
		})
	}
}

func TestRenewalsGoThroughTheBasePath(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/base/v1/auth/token/renew-self" {
			t.Errorf("arrived at %s", r.RequestURI)
		}
		io.WriteString(w, `{"auth":{"lease_duration":5,"renewable":false}}`)
	})
	c := newClient(t, upstream.Settings{Address: back.URL + "/base"})
	if got, err := c.RenewSelf(t.Context(), "", vault.NewToken("t")); err != nil || got.TTL != 5*time.Second || got.Renewable {
		t.Errorf("got %+v, %v", got, err)
	}
}
