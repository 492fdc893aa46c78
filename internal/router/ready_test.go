package router_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"leasehold/internal/router"
)

func TestReadyz(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	for name, tc := range map[string]struct {
		now    router.Readiness
		status int
		body   string
	}{
		"without parts": {router.Readiness{Ready: true}, http.StatusOK, `{"ready":true,"parts":[]}`},
		"ready": {
			router.Readiness{Ready: true, Parts: []router.PartState{{Name: "auto_auth", Ready: true, State: "restored, not logged in", Since: since}}}, http.StatusOK,
			`{"ready":true,"parts":[{"name":"auto_auth","ready":true,"state":"restored, not logged in","since":"2026-01-02T02:04:05Z"}]}`,
		},
		"not ready": {
			router.Readiness{Parts: []router.PartState{{Name: "state_file", State: "the disk refuses it", Since: since, Pending: 3}}}, http.StatusServiceUnavailable,
			`{"ready":false,"parts":[{"name":"state_file","ready":false,"state":"the disk refuses it","since":"2026-01-02T02:04:05Z","pending":3}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range []router.Options{{}, {MetricsOnly: true}, {RequireRequestHeader: true}} {
				mux := router.New(router.Parts{Ready: func() router.Readiness { return tc.now }, Metrics: http.NotFoundHandler()}, o)
				for _, app := range []string{"agent", "proxy"} {
					w := httptest.NewRecorder()
					mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+app+"/v1/readyz", nil))
					if w.Code != tc.status || w.Body.String() != tc.body+"\n" || w.Header().Get("Content-Type") != "application/json" {
						t.Errorf("%s with %+v = %d %s", app, o, w.Code, w.Body)
					}
				}
			}
		})
	}
}
