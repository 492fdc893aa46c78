package router_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/router"
)

func TestReauth(t *testing.T) {
	for name, tc := range map[string]struct {
		login  func(context.Context) error
		status int
		says   string
	}{
		"done":    {func(context.Context) error { return nil }, http.StatusOK, ""},
		"refused": {func(context.Context) error { return errors.New("Vault refused the login; write a new secret ID") }, http.StatusServiceUnavailable, "write a new secret ID"},
		"slow": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, http.StatusServiceUnavailable,
			"the login is not done after 30s; it goes on"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, target := range []string{"/agent/v1/reauth", "/proxy/v1/reauth"} {
					var log strings.Builder
					h := router.New(router.Parts{Reauth: tc.login, Log: slog.New(slog.NewTextHandler(&log, nil))}, router.Options{EnableReauth: true, RequireRequestHeader: true})
					w := httptest.NewRecorder()
					h.ServeHTTP(w, newRequest("POST", target, "", "X-Vault-Request", "true"))
					if w.Code != tc.status || (tc.says == "") != (w.Body.Len() == 0) || !strings.Contains(w.Body.String(), tc.says) {
						t.Errorf("POST %s = %d %q, want %d ...%s...", target, w.Code, w.Body, tc.status, tc.says)
					}
					if !strings.Contains(log.String(), "reauth was asked for") {
						t.Errorf("the log does not tell: %s", &log)
					}
					w = httptest.NewRecorder()
					h.ServeHTTP(w, newRequest("POST", target, ""))
					wantError(t, w, http.StatusPreconditionFailed, "missing")
					w = httptest.NewRecorder()
					h.ServeHTTP(w, newRequest("GET", target, "", "X-Vault-Request", "true"))
					wantError(t, w, http.StatusMethodNotAllowed, "method not allowed; use POST")
				}
			})
		})
	}
}

// A page in a browser, or a process next door, must not be able to have us log in over and over.
func TestReauthIsOffUnlessEnabled(t *testing.T) {
	asked := false
	login := func(context.Context) error { asked = true; return nil }
	for name, h := range map[string]http.Handler{
		"not enabled":  router.New(router.Parts{Reauth: login}, router.Options{}),
		"no auto-auth": router.New(router.Parts{}, router.Options{EnableReauth: true}),
		"metrics only": router.New(router.Parts{Reauth: login}, router.Options{EnableReauth: true, MetricsOnly: true}),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, newRequest("POST", "/proxy/v1/reauth", ""))
		if w.Code != http.StatusNotFound || asked {
			t.Errorf("%s: %d, login %t; want 404 and none", name, w.Code, asked)
		}
	}
}

func TestReauthEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		var ended time.Duration
		began := time.Now()
		h := router.New(router.Parts{Log: slog.New(slog.DiscardHandler), Reauth: func(ctx context.Context) error {
			<-ctx.Done()
			ended = time.Since(began)
			return ctx.Err()
		}}, router.Options{EnableReauth: true})
		h.ServeHTTP(httptest.NewRecorder(), newRequest("POST", "/proxy/v1/reauth", "").WithContext(ctx))
		if ended != time.Second {
			t.Errorf("the wait ended after %v, want as soon as the client left", ended)
		}
	})
}
