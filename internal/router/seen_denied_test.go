package router_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/router"
)

// What a listener refuses before it looks at a request is logged like what its rights deny: one line a second for each reason.
func TestRefusalsAreLogged(t *testing.T) {
	for name, tc := range map[string]struct {
		opt    router.Options
		method string
		body   string
		status int
		reason string
	}{
		"request header": {router.Options{RequireRequestHeader: true}, "GET", "", http.StatusPreconditionFailed, "X-Vault-Request"},
		"size":           {router.Options{MaxRequestSize: 3}, "POST", "long", http.StatusRequestEntityTooLarge, "raise max_request_size"},
		"method":         {router.Options{}, "TRACE", "", http.StatusMethodNotAllowed, "CONNECT and TRACE are not served"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(tc.opt)
				const target = "/v1/auth/token/lookup/hvs.not-to-be-seen?query=not-to-be-seen"
				for range 4 {
					if w := f.do(tc.method, target, tc.body); w.Code != tc.status {
						t.Fatalf("status = %d, want %d", w.Code, tc.status)
					}
				}
				if len(f.failures) != 4 || f.failures[0].status != tc.status {
					t.Errorf("counted: %v", f.failures)
				}
				time.Sleep(1100 * time.Millisecond)
				f.do(tc.method, target, tc.body)
				log := f.log.String()
				if n := strings.Count(log, "request denied"); n != 2 || !strings.Contains(log, "not_logged=3") || strings.Count(log, tc.reason) != 2 {
					t.Errorf("%d lines, want 2 and 3 that were not logged:\n%s", n, log)
				}
				if !strings.Contains(log, "method="+tc.method) || !strings.Contains(log, "path=/v1/auth/token/lookup/[redacted]") || !strings.Contains(log, "address=192.0.2.1:1234") {
					t.Errorf("it is not said who asked for what:\n%s", log)
				}
				if strings.Contains(log, "not-to-be-seen") {
					t.Errorf("a secret is in the log:\n%s", log)
				}
			})
		})
	}
}

// A crowd that is too large for one reason does not hide another.
func TestRefusalsDoNotHideEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(router.Options{MaxRequestSize: 3})
		f.do("POST", "/v1/x", "long")
		f.do("TRACE", "/v1/x", "")
		f.do("POST", "/v1/x", "long")
		if n := strings.Count(f.log.String(), "request denied"); n != 2 {
			t.Errorf("%d lines, want 2:\n%s", n, f.log)
		}
	})
}
