package cache_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// request is what may change from one request to the next.
type request struct {
	id           vault.Identity
	method       string
	target, body string
	fields       []with
}

func TestWhatMakesAnotherEntry(t *testing.T) {
	read := request{id: injected, method: "GET", target: "/v1/db/creds/app?a=1&b=2"}
	write := request{id: injected, method: "POST", target: "/v1/db/creds/app", body: `{"ttl":"1h"}`}
	login := request{id: noToken, method: "POST", target: "/v1/auth/kerberos/login"}
	for name, tc := range map[string]struct {
		first  request
		change func(*request)
	}{
		"method":                     {write, func(r *request) { r.method = "PUT" }},
		"token":                      {read, func(r *request) { r.id = other }},
		"no token":                   {read, func(r *request) { r.id = noToken }},
		"path":                       {read, func(r *request) { r.target = "/v1/db/creds/app2?a=1&b=2" }},
		"spelling of the path":       {read, func(r *request) { r.target = "/v1/db/creds/%61pp?a=1&b=2" }},
		"trailing slash":             {write, func(r *request) { r.target += "/" }},
		"query value":                {read, func(r *request) { r.target = "/v1/db/creds/app?a=1&b=3" }},
		"query name":                 {read, func(r *request) { r.target = "/v1/db/creds/app?a=1&c=2" }},
		"no query":                   {read, func(r *request) { r.target = "/v1/db/creds/app" }},
		"a parameter twice":          {read, func(r *request) { r.target = "/v1/db/creds/app?a=1&b=2&b=2" }},
		"body":                       {write, func(r *request) { r.body = `{"ttl":"2h"}` }},
		"no body":                    {write, func(r *request) { r.body = "" }},
		"namespace header":           {read, func(r *request) { r.fields = []with{{"X-Vault-Namespace", "ns1"}} }},
		"policy override":            {write, func(r *request) { r.fields = []with{{"X-Vault-Policy-Override", "true"}} }},
		"a form instead of JSON":     {write, func(r *request) { r.fields = []with{{"Content-Type", "application/x-www-form-urlencoded"}} }},
		"what Kerberos sends":        {login, func(r *request) { r.fields = []with{{"Authorization", "Negotiate YII"}} }},
		"a client's TLS certificate": {login, func(r *request) { r.fields = []with{{"X-Forwarded-Client-Cert", "MII"}} }},
		"a bearer token beside the token": {
			request{id: ownAuto, method: "GET", target: "/v1/db/creds/app", fields: []with{{"X-Vault-Token", autoToken}}},
			func(r *request) { r.fields = append(r.fields, with{"Authorization", "Bearer hvs.for-a-plugin"}) },
		},
		"order of one parameter's values": {
			request{id: injected, method: "GET", target: "/v1/db/creds/app?a=1&a=2"},
			func(r *request) { r.target = "/v1/db/creds/app?a=2&a=1" },
		},
		"order of one parameter's values, spelled differently": {
			request{id: injected, method: "GET", target: "/v1/db/creds/app?%61=1&a=2"},
			func(r *request) { r.target = "/v1/db/creds/app?a=2&%61=1" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			second := tc.first
			tc.change(&second)
			wantShared(t, tc.first, second, "MISS")
		})
	}
}

func TestWhatDoesNotMakeAnotherEntry(t *testing.T) {
	read := request{id: injected, method: "GET", target: "/v1/db/creds/app?a=1&b=2&c"}
	write := request{id: injected, method: "POST", target: "/v1/db/creds/app", body: `{"ttl":"1h"}`}
	for name, tc := range map[string]struct {
		first  request
		change func(*request)
	}{
		"nothing":                         {read, func(*request) {}},
		"User-Agent":                      {read, func(r *request) { r.fields = []with{{"User-Agent", "curl/8"}} }},
		"traceparent":                     {read, func(r *request) { r.fields = []with{{"Traceparent", "00-1-2-01"}, {"Tracestate", "a=b"}} }},
		"X-Request-Id":                    {read, func(r *request) { r.fields = []with{{"X-Request-Id", "7"}} }},
		"Accept-Encoding":                 {read, func(r *request) { r.fields = []with{{"Accept-Encoding", "gzip"}} }},
		"X-Vault-Request":                 {read, func(r *request) { r.fields = []with{{"X-Vault-Request", "true"}} }},
		"X-Vault-Index":                   {read, func(r *request) { r.fields = []with{{"X-Vault-Index", "djE6"}} }},
		"query order":                     {read, func(r *request) { r.target = "/v1/db/creds/app?c&b=2&a=1" }},
		"the token by X-Vault-Token":      {read, func(r *request) { r.id, r.fields = ownAuto, []with{{"X-Vault-Token", autoToken}} }},
		"the token by Bearer":             {read, func(r *request) { r.id, r.fields = ownAuto, []with{{"Authorization", "Bearer " + autoToken}} }},
		"a bearer token that is replaced": {read, func(r *request) { r.fields = []with{{"Authorization", "Bearer hvs.mine"}} }},
		"Content-Type of JSON":            {write, func(r *request) { r.fields = []with{{"Content-Type", "application/json"}} }},
		"Content-Type with a charset":     {write, func(r *request) { r.fields = []with{{"Content-Type", "application/json; charset=utf-8"}} }},
		"Content-Type in another case":    {write, func(r *request) { r.fields = []with{{"Content-Type", "Application/JSON"}} }},
		"namespace, spelled with slashes": {withNamespace(read, "ns1"), func(r *request) { *r = withNamespace(read, "/ns1/") }},
		"the root namespace by name":      {read, func(r *request) { *r = withNamespace(read, "root") }},
	} {
		t.Run(name, func(t *testing.T) {
			second := tc.first
			tc.change(&second)
			wantShared(t, tc.first, second, "HIT")
		})
	}
}

func TestHostDoesNotMakeAnotherEntry(t *testing.T) {
	f := newFixture(t, leases(), cache.Options{})
	f.get("/v1/db/creds/app")
	r := newRequest(t.Context(), http.MethodGet, "/v1/db/creds/app", "")
	r.Host = "other.example:8100"
	w := httptest.NewRecorder()
	if err := f.Answer(w, r, injected); err != nil {
		t.Fatal(err)
	}
	wantCache(t, w, "HIT")
}

func withNamespace(r request, ns string) request {
	r.fields = []with{{"X-Vault-Namespace", ns}}
	return r
}

// wantShared sends the first request until it is answered from memory, then the second, and looks at its answer.
func wantShared(t *testing.T, first, second request, want string) {
	t.Helper()
	f := newFixture(t, leases(), cache.Options{})
	wantCache(t, f.do(first.id, first.method, first.target, first.body, first.fields...), "MISS")
	wantCache(t, f.do(first.id, first.method, first.target, first.body, first.fields...), "HIT")
	wantCache(t, f.do(second.id, second.method, second.target, second.body, second.fields...), want)
}

// Keys are the same after a restart when their secret is, and mean nothing without it.
func TestKeysOutliveTheProcess(t *testing.T) {
	index := lease.NewIndex(lease.Options{})
	index.Hold("", injected.Token, "accessor.auto-auth", "", time.Time{})
	up := &fakeVault{script: leases()}
	for _, tc := range []struct {
		name   string
		secret *[32]byte
		want   string
	}{
		{"first", &[32]byte{1}, "MISS"},
		{"the same", &[32]byte{1}, "HIT"},
		{"another", &[32]byte{2}, "MISS"},
		{"a random one", nil, "MISS"},
		{"a second random one", nil, "MISS"},
	} {
		c, err := cache.New(index, up, nil, &counts{}, cache.Options{KeySecret: tc.secret})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		if err := c.Answer(w, newRequest(t.Context(), http.MethodGet, "/v1/db/creds/app", ""), injected); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("X-Cache"); got != tc.want {
			t.Errorf("%s secret: X-Cache = %q, want %s", tc.name, got, tc.want)
		}
		c.Close()
	}
}
