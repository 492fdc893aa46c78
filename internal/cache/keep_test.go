package cache_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"leasehold/internal/cache"
	"leasehold/internal/vault"
)

func TestWhatIsNeverKept(t *testing.T) {
	const read, login = "/v1/db/creds/app", "/v1/auth/approle/login"
	leased, logged := leaseBody("db/creds/app/1", 3600), tokenBody("hvs.login", 3600)
	for name, tc := range map[string]struct {
		id             vault.Identity
		method, target string
		fields         []with
		answer         script
	}{
		"a wrapped request":            {injected, "GET", read, []with{{"X-Vault-Wrap-TTL", "5m"}}, always(200, leased)},
		"a wrapped answer":             {injected, "GET", read, nil, always(200, strings.Replace(leased, "{", `{"wrap_info":{"token":"hvs.w"},`, 1))},
		"a request with MFA":           {injected, "POST", login, []with{{"X-Vault-MFA", "totp:123456"}}, always(200, logged)},
		"a login that waits for MFA":   {noToken, "POST", login, nil, always(200, strings.Replace(logged, `"orphan"`, `"mfa_requirement":{"mfa_request_id":"1"},"orphan"`, 1))},
		"an upgrade":                   {injected, "GET", read, []with{{"Connection", "Upgrade"}, {"Upgrade", "websocket"}}, always(200, leased)},
		"sys":                          {injected, "GET", "/v1/sys/leases/lookup", nil, always(200, leased)},
		"sys/wrapping/unwrap":          {injected, "POST", "/v1/sys/wrapping/unwrap", nil, always(200, leased)},
		"sys in a namespace":           {injected, "POST", "/v1/ns1/sys/wrapping/unwrap", nil, always(200, leased)},
		"a lookup":                     {injected, "POST", "/v1/auth/token/lookup", nil, always(200, lookupBody("hvs.x"))},
		"LIST":                         {injected, "LIST", read, nil, always(200, leased)},
		"DELETE":                       {injected, "DELETE", read, nil, always(200, leased)},
		"a path outside of the API":    {injected, "GET", "/ui/creds/app", nil, always(200, leased)},
		"KV":                           {injected, "GET", "/v1/secret/data/app", nil, always(200, kvBody)},
		"not renewable":                {injected, "GET", read, nil, always(200, strings.Replace(leased, "true", "false", 1))},
		"a lease without an end":       {injected, "GET", read, nil, always(200, leaseBody("db/creds/app/1", 0))},
		"a batch token":                {noToken, "POST", login, nil, always(200, strings.Replace(logged, `"renewable":true`, `"renewable":false`, 1))},
		"a token that is not ours":     {other, "GET", read, nil, always(200, leased)},
		"a child of such a token":      {other, "POST", "/v1/auth/token/create", nil, always(200, strings.Replace(logged, `"orphan":true`, `"orphan":false`, 1))},
		"a client error":               {injected, "GET", read, nil, always(403, leased)},
		"a server error":               {injected, "GET", read, nil, always(500, leased)},
		"a redirect":                   {injected, "GET", read, nil, always(307, leased, with{"Location", "/v1/x"})},
		"another media type":           {injected, "GET", read, nil, always(200, leased, with{"Content-Type", "text/plain"})},
		"no media type":                {injected, "GET", read, nil, always(200, leased, with{"Content-Type", ""})},
		"an array":                     {injected, "GET", read, nil, always(200, "["+leased+"]")},
		"broken JSON":                  {injected, "GET", read, nil, always(200, leased[:len(leased)-2])},
		"renewable that is no bool":    {injected, "GET", read, nil, always(200, strings.Replace(leased, "true", `"true"`, 1))},
		"a duplicate field":            {injected, "GET", read, nil, always(200, strings.Replace(leased, "{", `{"lease_id":"x",`, 1))},
		"an encoding that is not ours": {injected, "GET", read, nil, always(200, leased, with{"Content-Encoding", "br"})},
		"gzip that is none":            {injected, "GET", read, nil, always(200, leased, with{"Content-Encoding", "gzip"})},
		"no body":                      {injected, "GET", read, nil, always(204, "")},
		"too large":                    {injected, "GET", read, nil, always(200, strings.TrimSuffix(leased, "}")+strings.Repeat(" ", maxSize)+"}")},
		"too large when unzipped":      {injected, "GET", read, nil, always(200, zipped(t, strings.TrimSuffix(leased, "}")+strings.Repeat(" ", maxSize)+"}"), with{"Content-Encoding", "gzip"})},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tc.answer, cache.Options{MaxEntrySize: maxSize})
			want, err := tc.answer(nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(want.Body)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				w := f.do(tc.id, tc.method, tc.target, "", tc.fields...)
				if w.Code != want.StatusCode || tc.target != "/v1/auth/token/lookup" && !bytes.Equal(w.Body.Bytes(), body) {
					t.Errorf("answer = %d %q, want Vault's own: %d %q", w.Code, w.Body, want.StatusCode, body)
				}
				how, why := w.Header().Get("X-Cache"), w.Header().Get("X-Cache-Reason")
				if ok := want.StatusCode < 300; (how == "MISS" || how == "BYPASS") != ok || (why != "") != ok {
					t.Errorf("X-Cache = %q, because %q, with status %d", how, why, want.StatusCode)
				}
			}
			f.wantCalls(2)
			if got := f.entries(); got != 0 {
				t.Errorf("entries = %d, want 0", got)
			}
		})
	}
}

// maxSize is a MaxEntrySize that tests can exceed cheaply.
const maxSize = 1 << 10

func TestWithoutACacheNothingIsKept(t *testing.T) {
	f := newFixture(t, leases(), cache.Options{Off: true})
	for range 2 {
		wantCache(t, f.get("/v1/db/creds/app"), "MISS")
		wantCache(t, f.do(noToken, "POST", "/v1/auth/approle/login", ""), "MISS")
	}
	f.wantCalls(4)
	if got := f.meter.misses.Load(); got != 0 {
		t.Errorf("misses counted = %d, want 0: there is no cache", got)
	}
	if got := f.meter.answered.Load(); got != 4 {
		t.Errorf("answers counted = %d, want 4", got)
	}
}

// What is too large to be kept streams: its first bytes do not wait for its last.
func TestLargeAnswersStream(t *testing.T) {
	for name, length := range map[string]int64{"length known": 3 * maxSize, "length unknown": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pr, pw := io.Pipe()
				f := newFixture(t, func(*http.Request) (*http.Response, error) {
					resp := reply(http.StatusOK, "")
					resp.Body, resp.ContentLength = pr, length
					return resp, nil
				}, cache.Options{MaxEntrySize: maxSize})
				begin := strings.Repeat("-", 2*maxSize)
				go fmt.Fprint(pw, begin)
				o := f.begin("/v1/secret/data/app")
				if o.over() || o.Body.String() != begin {
					t.Errorf("before the end of the answer the client has %d bytes, want %d", o.Body.Len(), len(begin))
				}
				fmt.Fprint(pw, strings.Repeat("b", maxSize))
				pw.Close()
				<-o.done
				if got := o.Body.Len(); got != 3*maxSize {
					t.Errorf("length of the answer = %d, want %d", got, 3*maxSize)
				}
			})
		})
	}
}

func TestLargeRequestsStream(t *testing.T) {
	for name, length := range map[string]int64{"length known": 3 * maxSize, "length unknown": -1} {
		t.Run(name, func(t *testing.T) {
			var got int
			f := newFixture(t, func(r *http.Request) (*http.Response, error) {
				if r.GetBody != nil {
					t.Error("the body is said to be replayable")
				}
				b, err := io.ReadAll(r.Body)
				got = len(b)
				return reply(http.StatusOK, leaseBody("db/creds/app/1", 3600)), err
			}, cache.Options{MaxEntrySize: maxSize})
			r := newRequest(t.Context(), http.MethodPost, "/v1/db/creds/app", strings.Repeat("x", 3*maxSize))
			r.ContentLength = length
			w := httptest.NewRecorder()
			if err := f.Answer(w, r, injected); err != nil {
				t.Fatal(err)
			}
			if got != 3*maxSize || f.entries() != 0 {
				t.Errorf("Vault got %d bytes and %d entries are kept; want %d and 0", got, f.entries(), 3*maxSize)
			}
		})
	}
}

// A request's body is read for the key and still arrives, as often as it takes.
func TestSmallBodiesArriveWhole(t *testing.T) {
	var got []string
	f := newFixture(t, func(r *http.Request) (*http.Response, error) {
		for range 2 {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			got = append(got, string(b))
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		return reply(http.StatusOK, leaseBody("db/creds/app/1", 3600)), nil
	}, cache.Options{})
	f.do(injected, "POST", "/v1/db/creds/app", `{"ttl":"1h"}`)
	if fmt.Sprint(got) != `[{"ttl":"1h"} {"ttl":"1h"}]` {
		t.Errorf("Vault got %q", got)
	}
}

func TestABodyThatDoesNotComeIsTheClientsFault(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		status int
	}{
		"too large":  {&http.MaxBytesError{Limit: 4}, http.StatusBadRequest}, // for which router has a word of its own
		"too slow":   {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, http.StatusRequestTimeout},
		"broken off": {io.ErrUnexpectedEOF, http.StatusBadRequest},
	} {
		for _, target := range []string{"/v1/db/creds/app", "/v1/sys/leases/revoke", "/v1/sys/leases/renew", "/v1/auth/token/lookup"} {
			t.Run(name+" "+target, func(t *testing.T) {
				f := newFixture(t, leases(), cache.Options{})
				r := newRequest(t.Context(), http.MethodPost, target, "1234")
				r.Body = io.NopCloser(io.MultiReader(r.Body, failing{tc.err}))
				err := f.Answer(httptest.NewRecorder(), r, injected)
				told, ok := errors.AsType[interface {
					error
					ClientStatus() int
				}](err)
				if !errors.Is(err, tc.err) || !ok || told.ClientStatus() != tc.status {
					t.Errorf("error = %v, want %v with status %d", err, tc.err, tc.status)
				}
				f.wantCalls(0)
			})
		}
	}
}

// The first client gets what it asked for, byte for byte; later ones may not read gzip at all.
func TestGzipIsKeptAndReplayedPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := leaseBody("db/creds/app/1", 3600)
		packed := zipped(t, plain)
		f := newFixture(t, always(http.StatusOK, packed, with{"Content-Encoding", "gzip"}, with{"Vary", "Accept-Encoding"}), cache.Options{})
		w := f.do(injected, "GET", "/v1/db/creds/app", "", with{"Accept-Encoding", "gzip"})
		if w.Body.String() != packed || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("first answer is %q in encoding %q, want Vault's own bytes in gzip", w.Body, w.Header().Get("Content-Encoding"))
		}
		w = f.get("/v1/db/creds/app")
		wantCache(t, w, "HIT")
		if w.Body.String() != plain || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("hit = %q in encoding %q, want it plain", w.Body, w.Header().Get("Content-Encoding"))
		}
	})
}

// Balancers that re-encode add parameters to the media type.
func TestAMediaTypeMayHaveParameters(t *testing.T) {
	for _, media := range []string{"application/json; charset=utf-8", "application/json;charset=utf-8", "Application/JSON"} {
		f := newFixture(t, always(http.StatusOK, leaseBody("db/creds/app/1", 3600), with{"Content-Type", media}), cache.Options{})
		f.get("/v1/db/creds/app")
		wantCache(t, f.get("/v1/db/creds/app"), "HIT")
	}
}

// closing counts how often a body is closed: one that stays open holds a connection to Vault.
type closing struct {
	io.Reader
	closed *int
}

func (c closing) Close() error {
	*c.closed++
	return nil
}

func TestBodiesOfVaultAreClosed(t *testing.T) {
	for name, tc := range map[string]struct{ method, target, body string }{
		"kept":              {"GET", "/v1/db/creds/app", leaseBody("db/creds/app/1", 3600)},
		"not kept":          {"GET", "/v1/secret/data/app", kvBody},
		"too large":         {"GET", "/v1/secret/data/app", strings.Repeat(" ", 2*maxSize)},
		"passed":            {"GET", "/v1/sys/health", "{}"},
		"a renewal":         {"PUT", "/v1/sys/leases/renew", leaseBody("db/creds/app/1", 3600)},
		"a token concealed": {"GET", "/v1/auth/token/lookup-self", lookupBody(autoToken)},
		"a token renewed":   {"PUT", "/v1/auth/token/renew-self", renewBody(autoToken)},
	} {
		t.Run(name, func(t *testing.T) {
			closed := 0
			f := newFixture(t, func(*http.Request) (*http.Response, error) {
				resp := reply(http.StatusOK, "")
				resp.Body, resp.ContentLength = closing{strings.NewReader(tc.body), &closed}, -1
				return resp, nil
			}, cache.Options{MaxEntrySize: maxSize})
			f.do(injected, tc.method, tc.target, "")
			if closed == 0 {
				t.Error("the body of Vault's answer was not closed")
			}
		})
	}
}
