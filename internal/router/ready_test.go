package router_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/router"
)

// everywhere asks an endpoint of every kind of listener and under both names, and wants the same answer.
func everywhere(t *testing.T, p router.Parts, endpoint string, status int, body string) {
	t.Helper()
	p.Metrics = http.NotFoundHandler()
	for _, o := range []router.Options{{}, {MetricsOnly: true}, {RequireRequestHeader: true}} {
		mux := router.New(p, o)
		for _, app := range []string{"agent", "proxy"} {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+app+"/v1/"+endpoint, nil))
			if w.Code != status || w.Body.String() != body+"\n" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s with %+v = %d %s\nwant %d %s", app, o, w.Code, w.Body, status, body)
			}
		}
	}
}

func TestReadyz(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	for name, tc := range map[string]struct {
		now    api.Readiness
		status int
		body   string
	}{
		"without parts": {api.Readiness{Ready: true}, http.StatusOK, `{"ready":true,"parts":[]}`},
		"ready": {
			api.Readiness{Ready: true, Parts: []api.PartState{{Name: "auto_auth", Ready: true, State: "restored, not logged in", Since: since}}}, http.StatusOK,
			`{"ready":true,"parts":[{"name":"auto_auth","ready":true,"state":"restored, not logged in","since":"2026-01-02T02:04:05Z"}]}`,
		},
		"ready and degraded": {
			api.Readiness{Ready: true, Parts: []api.PartState{{Name: "upstream", Ready: true, Degraded: true, State: "degraded", Reason: "why", Since: since}}}, http.StatusOK,
			`{"ready":true,"parts":[{"name":"upstream","ready":true,"degraded":true,"state":"degraded","reason":"why","since":"2026-01-02T02:04:05Z"}]}`,
		},
		"not ready": {
			api.Readiness{Parts: []api.PartState{{Name: "state_file", State: "the disk refuses it", Since: since, Pending: 3}}}, http.StatusServiceUnavailable,
			`{"ready":false,"parts":[{"name":"state_file","ready":false,"state":"the disk refuses it","since":"2026-01-02T02:04:05Z","pending":3}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, router.Parts{Ready: func() api.Readiness { return tc.now }}, "readyz", tc.status, tc.body)
		})
	}
}

// What require names counts, and nothing else; it is named by kind or by name, and must be well.
func TestReadyzRequires(t *testing.T) {
	parts := []api.PartState{
		{Name: "listeners", Ready: true}, {Name: `auto_auth "a"`, Ready: true}, {Name: `auto_auth "b"`}, {Name: "sink file /run/x", Ready: true},
		{Name: "upstream", Ready: true, Degraded: true},
	}
	const (
		listeners = `{"name":"listeners","ready":true,"state":"","since":"0001-01-01T00:00:00Z"}`
		a         = `{"name":"auto_auth \"a\"","ready":true,"state":"","since":"0001-01-01T00:00:00Z"}`
		b         = `{"name":"auto_auth \"b\"","ready":false,"state":"","since":"0001-01-01T00:00:00Z"}`
		sink      = `{"name":"sink file /run/x","ready":true,"state":"","since":"0001-01-01T00:00:00Z"}`
		upstream  = `{"name":"upstream","ready":true,"degraded":true,"state":"","since":"0001-01-01T00:00:00Z"}`
		strict    = `{"name":"upstream","ready":false,"degraded":true,"state":"","since":"0001-01-01T00:00:00Z"}`
		known     = "; there are listeners, auto_auth, sinks, upstream"
	)
	for query, tc := range map[string]struct {
		status int
		body   string
	}{
		"":                                      {503, `{"ready":false,"parts":[` + listeners + "," + a + "," + b + "," + sink + "," + upstream + `]}`},
		"?require=":                             {503, `{"ready":false,"parts":[` + listeners + "," + a + "," + b + "," + sink + "," + upstream + `]}`},
		"?require=listeners":                    {200, `{"ready":true,"parts":[` + listeners + `]}`},
		"?require=auto_auth":                    {503, `{"ready":false,"parts":[` + a + "," + b + `]}`},
		"?require=auto_auth+%22a%22":            {200, `{"ready":true,"parts":[` + a + `]}`},
		"?require=sinks,listeners":              {200, `{"ready":true,"parts":[` + listeners + "," + sink + `]}`},
		"?require=sinks&require=listeners":      {200, `{"ready":true,"parts":[` + listeners + "," + sink + `]}`},
		"?require=sink+file+/run/x":             {200, `{"ready":true,"parts":[` + sink + `]}`},
		"?require=+sinks+,,sinks":               {200, `{"ready":true,"parts":[` + sink + `]}`},
		"?require=upstream":                     {503, `{"ready":false,"parts":[` + strict + `]}`},
		"?require=upstream,listeners":           {503, `{"ready":false,"parts":[` + listeners + "," + strict + `]}`},
		"?require=clock":                        {400, `{"errors":["there is no part \"clock\" to require` + known + `"]}`},
		"?require=listeners,Auto_Auth":          {400, `{"errors":["there is no part \"Auto_Auth\" to require` + known + `"]}`},
		"?require=auto_auth+%22c%22":            {400, `{"errors":["there is no part \"auto_auth \\\"c\\\"\" to require` + known + `"]}`},
		"?require=listeners&other=x&format=xml": {200, `{"ready":true,"parts":[` + listeners + `]}`},
	} {
		t.Run(query, func(t *testing.T) {
			everywhere(t, router.Parts{Ready: func() api.Readiness { return api.Readiness{Parts: parts} }}, "readyz"+query, tc.status, tc.body)
		})
	}
}

func TestLivez(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	for name, tc := range map[string]struct {
		now    api.Liveness
		status int
		body   string
	}{
		"alive":     {api.Liveness{Alive: true, Since: since}, 200, `{"alive":true,"since":"2026-01-02T02:04:05Z"}`},
		"not alive": {api.Liveness{Reason: "it hangs", Since: since}, 503, `{"alive":false,"reason":"it hangs","since":"2026-01-02T02:04:05Z"}`},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, router.Parts{Live: func(context.Context) api.Liveness { return tc.now }}, "livez", tc.status, tc.body)
		})
	}
}
