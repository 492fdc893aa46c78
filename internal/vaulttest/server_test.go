package vaulttest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/vaulttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reply is what the tests look at in an answer.
type reply struct {
	status        int
	LeaseID       string         `json:"lease_id"`
	LeaseDuration int            `json:"lease_duration"`
	Renewable     bool           `json:"renewable"`
	Data          map[string]any `json:"data"`
	Auth          struct {
		ClientToken   string `json:"client_token"`
		LeaseDuration int    `json:"lease_duration"`
	} `json:"auth"`
	Errors []string `json:"errors"`
}

// caller sends requests to one server as one client.
type caller struct {
	t      *testing.T
	server *vaulttest.Server
	client *http.Client
}

func newCaller(t *testing.T, s *vaulttest.Server) caller {
	return caller{t, s, &http.Client{Transport: s.Transport(t)}}
}

func (c caller) try(method, target, token, body string) (reply, error) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.server.URL+target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", token)
	resp, err := c.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	out := reply{status: resp.StatusCode}
	raw, err := io.ReadAll(resp.Body)
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &out)
	}
	return out, err
}

func (c caller) do(method, target, token, body string) reply {
	c.t.Helper()
	out, err := c.try(method, target, token, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	return out
}

func TestLeasesLiveAsTheReadAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := vaulttest.NewInMemory(t)
		c := newCaller(t, s)

		lease := c.do("GET", "/v1/leaser/creds/app?ttl=60&max_ttl=90s", vaulttest.RootToken, "")
		if lease.LeaseDuration != 60 || !lease.Renewable || lease.Data["name"] != "app" {
			t.Fatalf("read = %+v, want a renewable lease of 60 s for app", lease)
		}
		time.Sleep(50 * time.Second)
		renewed := c.do("PUT", "/v1/sys/leases/renew", vaulttest.RootToken, `{"lease_id":"`+lease.LeaseID+`","increment":0}`)
		if renewed.LeaseDuration != 40 {
			t.Errorf("renewal gave %d s, want the 40 s left of max_ttl", renewed.LeaseDuration)
		}
		time.Sleep(40 * time.Second)
		if left := s.Leases(); len(left) != 0 {
			t.Errorf("leases after max_ttl = %v, want none", left)
		}
		if again := c.do("PUT", "/v1/sys/leases/renew", vaulttest.RootToken, `{"lease_id":"`+lease.LeaseID+`"}`); again.status != 400 {
			t.Errorf("renewal of an ended lease = %d, want 400", again.status)
		}

		fixed := c.do("GET", "/v1/leaser/creds/app?renewable=false", vaulttest.RootToken, "")
		if no := c.do("POST", "/v1/sys/leases/renew", vaulttest.RootToken, `{"lease_id":"`+fixed.LeaseID+`"}`); no.status != 400 {
			t.Errorf("renewal of a fixed lease = %d, want 400", no.status)
		}
		if done := c.do("POST", "/v1/sys/leases/revoke", vaulttest.RootToken, `{"lease_id":"`+fixed.LeaseID+`"}`); done.status != 204 {
			t.Errorf("revocation = %d, want 204", done.status)
		}
	})
}

func TestTokensDieWithTheirParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := vaulttest.NewInMemory(t)
		s.SetAppRole(vaulttest.AppRole{RoleID: "r", SecretID: "s", TTL: time.Minute, MaxTTL: time.Hour})
		c := newCaller(t, s)

		if no := c.do("POST", "/v1/auth/approle/login", "", `{"role_id":"r","secret_id":"wrong"}`); no.status != 400 {
			t.Errorf("login with a wrong secret ID = %d, want 400", no.status)
		}
		login := c.do("POST", "/v1/auth/approle/login", "", `{"role_id":"r","secret_id":"s"}`).Auth
		if login.LeaseDuration != 60 {
			t.Fatalf("login gave %d s, want 60", login.LeaseDuration)
		}
		child := c.do("POST", "/v1/auth/token/create", login.ClientToken, `{"ttl":"1h"}`).Auth
		orphan := c.do("POST", "/v1/auth/token/create-orphan", login.ClientToken, `{"ttl":"1h"}`).Auth
		c.do("GET", "/v1/leaser/creds/app", child.ClientToken, "")

		time.Sleep(30 * time.Second)
		if ttl := c.do("GET", "/v1/auth/token/lookup-self", login.ClientToken, "").Data["ttl"]; ttl != 30.0 {
			t.Errorf("ttl after 30 s = %v, want 30", ttl)
		}
		if got := c.do("PUT", "/v1/auth/token/renew-self", login.ClientToken, `{"increment":0}`).Auth; got.LeaseDuration != 60 {
			t.Errorf("renew-self gave %d s, want 60", got.LeaseDuration)
		}
		time.Sleep(time.Minute)
		if no := c.do("GET", "/v1/auth/token/lookup-self", child.ClientToken, ""); no.status != 403 {
			t.Errorf("child of an ended token = %d, want 403", no.status)
		}
		if left := s.Leases(); len(left) != 0 {
			t.Errorf("leases of an ended token = %v, want none", left)
		}
		c.do("POST", "/v1/auth/token/revoke", vaulttest.RootToken, `{"token":"`+orphan.ClientToken+`"}`)
		if left := s.Tokens(); len(left) != 1 || left[0] != vaulttest.RootToken {
			t.Errorf("tokens left = %v, want only the root token", left)
		}
	})
}

func TestReadsKV(t *testing.T) {
	s := vaulttest.NewServer(t)
	c := newCaller(t, s)
	s.SetKV("app/db", map[string]any{"user": "old"})
	s.SetKV("app/db", map[string]any{"user": "new"})

	got := c.do("GET", "/v1/secret/data/app/db", vaulttest.RootToken, "")
	if user := got.Data["data"].(map[string]any)["user"]; user != "new" {
		t.Errorf("user = %v, want new", user)
	}
	if version := got.Data["metadata"].(map[string]any)["version"]; version != 2.0 {
		t.Errorf("version = %v, want 2", version)
	}
	if missing := c.do("GET", "/v1/secret/data/none", vaulttest.RootToken, ""); missing.status != 404 || len(missing.Errors) != 0 {
		t.Errorf("missing secret = %d %v, want 404 without errors", missing.status, missing.Errors)
	}
}

const readCreds = "/v1/leaser/creds/app"

func TestFaults(t *testing.T) {
	servers := map[string]func(testing.TB) *vaulttest.Server{"socket": vaulttest.NewServer, "memory": vaulttest.NewInMemory}
	for name, tc := range map[string]struct {
		fault  vaulttest.Fault
		status int // 0: no whole answer arrives
		leases int // what Vault has granted all the same
	}{
		"answer":       {vaulttest.Answer(503, http.Header{"Retry-After": {"1"}}, `{"errors":["sealed"]}`), 503, 0},
		"reset before": {vaulttest.ResetBefore(), 0, 0},
		"reset after":  {vaulttest.ResetAfter(), 0, 1},
		"half headers": {vaulttest.HalfHeaders(), 0, 1},
		"short body":   {vaulttest.ShortBody(), 0, 1},
	} {
		for kind, start := range servers {
			t.Run(name+"/"+kind, func(t *testing.T) {
				s := start(t)
				c := newCaller(t, s)
				s.Fail(vaulttest.Times(1, vaulttest.On("GET", "/v1/leaser/")), tc.fault)

				got, err := c.try("GET", readCreds, vaulttest.RootToken, "")
				if (err != nil) != (tc.status == 0) || err == nil && got.status != tc.status {
					t.Errorf("first read = %d, %v; want status %d", got.status, err, tc.status)
				}
				if n := len(s.Leases()); n != tc.leases {
					t.Errorf("leases granted = %d, want %d", n, tc.leases)
				}
				if got := c.do("GET", readCreds, vaulttest.RootToken, ""); got.status != 200 {
					t.Errorf("read after the fault = %d, want 200", got.status)
				}
			})
		}
	}
}

func TestDelayHoldsUntilReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := vaulttest.NewInMemory(t)
		c := newCaller(t, s)
		release := make(chan struct{})
		s.Fail(vaulttest.On("", "/v1/leaser/"), vaulttest.Delay(release))

		done := make(chan int, 1)
		go func() { done <- c.do("GET", readCreds, vaulttest.RootToken, "").status }()
		synctest.Wait()
		if len(s.Requests()) != 1 || len(done) != 0 || len(s.Leases()) != 0 {
			t.Fatal("want the request to have arrived, and to be neither processed nor answered")
		}
		close(release)
		if status := <-done; status != 200 {
			t.Errorf("released read = %d, want 200", status)
		}
	})
}

func TestHangLetsGoWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := vaulttest.NewInMemory(t)
		c := newCaller(t, s)
		c.client.Timeout = time.Minute
		s.Fail(vaulttest.On("", "/"), vaulttest.Hang())

		start := time.Now()
		if got, err := c.try("GET", readCreds, vaulttest.RootToken, ""); err == nil {
			t.Fatalf("read = %d, want none", got.status)
		}
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("waited %v, want the client's minute", waited)
		}
		s.Heal()
		if got := c.do("GET", readCreds, vaulttest.RootToken, ""); got.status != 200 {
			t.Errorf("read after Heal = %d, want 200", got.status)
		}
	})
}

func TestRefuse(t *testing.T) {
	s := vaulttest.NewServer(t)
	c := newCaller(t, s)
	s.Refuse(true)
	if _, err := c.try("GET", readCreds, vaulttest.RootToken, ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("err = %v, want connection refused", err)
	}
	s.Refuse(false)
	if got := c.do("GET", readCreds, vaulttest.RootToken, ""); got.status != 200 {
		t.Errorf("status = %d, want 200", got.status)
	}
}

func TestRequestsAreLoggedAsTheyArrived(t *testing.T) {
	s := vaulttest.NewServer(t)
	c := newCaller(t, s)
	c.do("PUT", "/v1/a%2Fb?x=1;y", "hvs.some", `{"token":"t"}`)

	log := s.Requests()
	if len(log) != 1 {
		t.Fatalf("logged %d requests, want 1", len(log))
	}
	got := log[0]
	if got.Method != "PUT" || got.Target != "/v1/a%2Fb?x=1;y" || string(got.Body) != `{"token":"t"}` || got.Header.Get("X-Vault-Token") != "hvs.some" {
		t.Errorf("logged %s %s %q %v", got.Method, got.Target, got.Body, got.Header)
	}
}
