package upstream_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// A dead Vault costs the first requests their retries and all others nothing; it is found again within a second or two.
func TestCircuitBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		stop := c.run(t)
		defer stop()
		all := c.nodes
		c.mu.Lock()
		c.nodes = map[string]http.HandlerFunc{}
		c.mu.Unlock()
		_, _, err := c.ask("GET", "/v1/x", "")
		var told interface{ ClientStatus() int }
		if !errors.As(err, &told) || told.ClientStatus() != 503 || !errors.Is(err, upstream.ErrAway) {
			t.Fatalf("Forward = %v, want the breaker's 503", err)
		}
		const want = "Vault at https://a.test, https://b.test, https://c.test cannot be reached; check that it runs"
		start := time.Now()
		for range 100 {
			if _, _, err := c.ask("POST", "/v1/x", "body"); err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("Forward = %v", err)
			}
			if _, err := c.RenewSelf(t.Context(), "", vault.NewToken("hvs.x")); err == nil || errors.Is(err, vault.ErrRefused) {
				t.Fatalf("RenewSelf = %v, want an error that is no refusal", err)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("100 requests took %v", d)
		}
		time.Sleep(time.Minute)
		c.mu.Lock()
		c.nodes = all
		c.mu.Unlock()
		time.Sleep(2 * time.Second)
		if got, _, err := c.ask("GET", "/v1/x", ""); got != "a" && got != "b" && got != "c" || err != nil {
			t.Errorf("two seconds after Vault came back: %q, %v", got, err)
		}
		if n := c.reached.Load(); n != 1 {
			t.Errorf("told %d times that Vault can be reached again, want once", n)
		}
		if log := c.logged(); strings.Count(log, "requests are refused") != 1 || strings.Count(log, "can be reached again") != 1 {
			t.Errorf("log: %s", log)
		}
	})
}

// A restart of Vault takes some seconds: retries bridge them, and so do answers that fail otherwise.
func TestTheBreakerWaitsForSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		all := c.nodes
		c.mu.Lock()
		c.nodes = map[string]http.HandlerFunc{}
		c.mu.Unlock()
		time.AfterFunc(2*time.Second, func() {
			c.mu.Lock()
			c.nodes = all
			c.mu.Unlock()
		})
		if _, status, err := c.ask("POST", "/v1/x", "body"); status != 200 || err != nil {
			t.Errorf("answer %d, %v", status, err)
		}
	})
}

// One client that leaves while a connection is made says nothing about Vault.
func TestClientsThatLeaveDoNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		c.fails = &net.OpError{Op: "dial", Err: context.Canceled}
		c.set("a.test", nil)
		for range 20 {
			ctx, leave := context.WithCancel(t.Context())
			leave()
			_ = c.Forward(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/x", nil).WithContext(ctx), vault.Identity{}, nil)
			time.Sleep(time.Second)
		}
		if c.log.Len() > 0 {
			t.Errorf("log: %s", c.log)
		}
	})
}
