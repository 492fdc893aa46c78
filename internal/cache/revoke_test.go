package cache_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// ledger is a cache that holds three entries.
type ledger struct{ *fixture }

var loggedIn = vault.Identity{Token: vault.NewToken("hvs.login")}

// kept are the requests whose answers a ledger holds: a lease of the auto-auth token, a login, and a lease of that login.
var kept = []struct {
	name, method, target string
	id                   vault.Identity
	answer               string
}{
	{"lease", "GET", "/v1/db/creds/app", injected, leaseBody("db/creds/app/1", 3600)},
	{"login", "POST", "/v1/auth/approle/login", noToken, tokenBody("hvs.login", 3600)},
	{"its lease", "GET", "/v1/db/creds/other", loggedIn, leaseBody("db/creds/other/2", 3600)},
}

// newLedger fills a cache; whatever else is asked for is answered by s.
func newLedger(t *testing.T, s script, opt cache.Options) ledger {
	t.Helper()
	var n atomic.Int64
	l := ledger{newFixture(t, func(r *http.Request) (*http.Response, error) {
		for i, k := range kept {
			if r.URL.Path == k.target && n.CompareAndSwap(int64(i), int64(i+1)) {
				return reply(http.StatusOK, k.answer), nil
			}
			if r.URL.Path == k.target {
				return nil, errLost
			}
		}
		return s(r)
	}, opt)}
	for _, k := range kept {
		l.do(k.id, k.method, k.target, "")
	}
	if got := l.held(); got != "lease, login, its lease" {
		t.Fatalf("held at first: %s", got)
	}
	return l
}

// held names what is answered from memory.
func (l ledger) held() string {
	var names []string
	for _, k := range kept {
		w := httptest.NewRecorder()
		if l.Answer(w, newRequest(l.t.Context(), k.method, k.target, ""), k.id) == nil {
			wantCache(l.t, w, "HIT")
			names = append(names, k.name)
		}
	}
	return strings.Join(names, ", ")
}

func TestARevocationEvictsBeforeItsAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		id                   vault.Identity
		method, target, body string
		left                 string
		lost                 bool // the auto-auth token
	}{
		"lease":              {other, "PUT", "/v1/sys/leases/revoke", `{"lease_id":"db/creds/app/1"}`, "login, its lease", false},
		"lease by URL":       {other, "PUT", "/v1/sys/leases/revoke/db/creds/app/1", "", "login, its lease", false},
		"old path":           {other, "PUT", "/v1/sys/revoke/db/creds/app/1", "", "login, its lease", false},
		"prefix":             {other, "PUT", "/v1/sys/leases/revoke-prefix/db/creds", "", "login", false},
		"force":              {other, "PUT", "/v1/sys/leases/revoke-force/db/creds/other/", "", "lease, login", false},
		"prefix of logins":   {other, "PUT", "/v1/sys/leases/revoke-prefix/auth/approle", "", "lease", false},
		"self":               {loggedIn, "POST", "/v1/auth/token/revoke-self", "", "lease", false},
		"token":              {other, "POST", "/v1/auth/token/revoke", `{"token":"hvs.login"}`, "lease", false},
		"accessor":           {other, "POST", "/v1/auth/token/revoke-accessor", `{"accessor":"accessor.hvs.login"}`, "lease", false},
		"orphan":             {other, "POST", "/v1/auth/token/revoke-orphan", `{"token":"hvs.login"}`, "lease", false},
		"mount":              {other, "DELETE", "/v1/sys/mounts/db", "", "login", false},
		"auth mount":         {other, "DELETE", "/v1/sys/auth/approle", "", "lease", false},
		"auto-auth token":    {other, "POST", "/v1/auth/token/revoke", `{"token":"` + autoToken + `"}`, "login, its lease", true},
		"auto-auth accessor": {other, "POST", "/v1/auth/token/revoke-accessor", `{"accessor":"accessor.auto-auth"}`, "login, its lease", true},
		"auto-auth self":     {injected, "POST", "/v1/auth/token/revoke-self", "", "login, its lease", true},
		"something else":     {other, "POST", "/v1/auth/token/revoke", `{"token":"hvs.unknown"}`, "lease, login, its lease", false},
		"nothing":            {other, "POST", "/v1/auth/token/revoke", ``, "lease, login, its lease", false},
		"a KV path":          {other, "POST", "/v1/secret/auth/token/revoke-self", `{"token":"hvs.login"}`, "lease, login, its lease", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, always(http.StatusNoContent, ""), cache.Options{})
			w := &checking{ResponseRecorder: httptest.NewRecorder(), atHeader: l.held}
			if err := l.Answer(w, newRequest(t.Context(), tc.method, tc.target, tc.body), tc.id); err != nil {
				t.Fatal(err)
			}
			if w.Code != http.StatusNoContent || w.found != tc.left {
				t.Errorf("held when the %d is written: %s; want %s", w.Code, w.found, tc.left)
			}
			want := []string(nil)
			if tc.lost {
				want = []string{autoToken}
			}
			if !slices.Equal(l.tokens.lost, want) {
				t.Errorf("auto-auth tokens called invalid = %d, want %d", len(l.tokens.lost), len(want))
			}
		})
	}
}

// checking looks around at the moment when the header is written.
type checking struct {
	*httptest.ResponseRecorder
	atHeader func() string
	found    string
}

func (c *checking) WriteHeader(status int) {
	c.found = c.atHeader()
	c.ResponseRecorder.WriteHeader(status)
}

func TestWhichAnswersToARevocationEvict(t *testing.T) {
	for status, evicts := range map[int]bool{
		204: true, 202: true, 200: true, // done, or accepted with sync=false
		500: true, 502: true, 504: true, // it may be done
		400: false, 403: false, 404: false, 405: false, 412: false, 429: false, 503: false, 307: false,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			l := newLedger(t, always(status, `{"errors":[]}`), cache.Options{})
			w := l.do(other, "PUT", "/v1/sys/leases/revoke", `{"lease_id":"db/creds/app/1"}`)
			if w.Code != status {
				t.Errorf("status = %d, want Vault's", w.Code)
			}
			if got := !strings.HasPrefix(l.held(), "lease,"); got != evicts {
				t.Errorf("evicted = %v, want %v", got, evicts)
			}
		})
	}
}

func TestWhichFailuresOfARevocationEvict(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		evicts bool
	}{
		"the answer was lost": {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		"no answer in time":   {fmt.Errorf("forward to Vault: %w", errLost), true},
		"Vault refuses connections": {
			fmt.Errorf("forward to Vault: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), false,
		},
		"Vault's name is unknown": {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, func(*http.Request) (*http.Response, error) { return nil, tc.err }, cache.Options{})
			r := newRequest(t.Context(), "PUT", "/v1/sys/leases/revoke", `{"lease_id":"db/creds/app/1"}`)
			if err := l.Answer(httptest.NewRecorder(), r, other); !errors.Is(err, tc.err) {
				t.Errorf("error = %v, want %v", err, tc.err)
			}
			if got := !strings.HasPrefix(l.held(), "lease,"); got != tc.evicts {
				t.Errorf("evicted = %v, want %v", got, tc.evicts)
			}
		})
	}
}

// A revocation that is too large to be read could name anything. It still reaches Vault whole.
func TestARevocationThatIsTooLargeEvictsAll(t *testing.T) {
	body := strings.Repeat(" ", 32<<20+1)
	size := int64(len(body))
	for name, length := range map[string]int64{"length known": size, "length unknown": -1} {
		t.Run(name, func(t *testing.T) {
			var got int64
			l := newLedger(t, func(r *http.Request) (resp *http.Response, err error) {
				got, err = io.Copy(io.Discard, r.Body)
				return reply(http.StatusNoContent, ""), err
			}, cache.Options{})
			r := newRequest(t.Context(), "PUT", "/v1/sys/leases/revoke", body)
			r.ContentLength = length
			if err := l.Answer(httptest.NewRecorder(), r, other); err != nil {
				t.Fatal(err)
			}
			if got != size {
				t.Errorf("Vault got %d bytes, want %d", got, size)
			}
			if held := l.held(); held != "" {
				t.Errorf("held afterwards: %s", held)
			}
			if len(l.tokens.lost) > 0 {
				t.Error("the auto-auth token was called invalid")
			}
		})
	}
}

// A body of more than MaxEntrySize is still read when it is a revocation's.
func TestARevocationMayBeLargerThanAnEntry(t *testing.T) {
	l := newLedger(t, always(http.StatusNoContent, ""), cache.Options{MaxEntrySize: maxSize})
	l.do(other, "PUT", "/v1/sys/leases/revoke", strings.Repeat(" ", 2*maxSize)+`{"lease_id":"db/creds/app/1"}`)
	if got := l.held(); got != "login, its lease" {
		t.Errorf("held afterwards: %s", got)
	}
}

func TestARevokedAutoAuthTokenIsReportedWithoutACache(t *testing.T) {
	f := newFixture(t, always(http.StatusNoContent, ""), cache.Options{Off: true})
	f.do(injected, "POST", "/v1/auth/token/revoke-self", "")
	if !slices.Equal(f.tokens.lost, []string{autoToken}) {
		t.Errorf("auto-auth tokens called invalid = %d, want 1", len(f.tokens.lost))
	}
}

func TestARevocationWithoutAutoAuth(t *testing.T) {
	index := lease.NewIndex(lease.Options{})
	c, err := cache.New(index, &fakeVault{script: always(http.StatusNoContent, "")}, nil, &counts{}, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Answer(httptest.NewRecorder(), newRequest(t.Context(), "POST", "/v1/auth/token/revoke-self", ""), other); err != nil {
		t.Error(err)
	}
}

// What an answer under way holds may be ended by a revocation that overtakes it: then it is not kept.
func TestARevocationOvertakesAnAnswer(t *testing.T) {
	var f *fixture
	f = newFixture(t, func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			f.do(other, "PUT", "/v1/sys/leases/revoke-prefix/db", "")
			return reply(http.StatusOK, leaseBody("db/creds/app/1", 3600)), nil
		}
		return reply(http.StatusNoContent, ""), nil
	}, cache.Options{})
	f.get("/v1/db/creds/app")
	if got := f.entries(); got != 0 {
		t.Errorf("entries = %d, want 0", got)
	}
}

// Vault Proxy answers a second renewal with the first one's answer, and takes the answer for a lease of its own (hashicorp/vault#19684).
func TestRenewalsAlwaysGoToVault(t *testing.T) {
	for name, tc := range map[string]struct {
		id                   vault.Identity
		method, target, body string
		answer               string
	}{
		"lease":                  {injected, "PUT", "/v1/sys/leases/renew", `{"lease_id":"db/creds/app/1"}`, leaseBody("db/creds/app/1", 3600)},
		"lease by URL":           {injected, "POST", "/v1/sys/leases/renew/db/creds/app/1", "", leaseBody("db/creds/app/1", 3600)},
		"old path":               {injected, "PUT", "/v1/sys/renew/db/creds/app/1", "", leaseBody("db/creds/app/1", 3600)},
		"lease, in a namespace":  {injected, "PUT", "/v1/ns1/sys/leases/renew", `{"lease_id":"db/creds/app/1"}`, leaseBody("db/creds/app/1", 3600)},
		"lease not known":        {injected, "PUT", "/v1/sys/leases/renew", `{"lease_id":"db/creds/app/9"}`, leaseBody("db/creds/app/9", 3600)},
		"token":                  {loggedIn, "PUT", "/v1/auth/token/renew-self", "", tokenBody("hvs.login", 3600)},
		"token by its name":      {injected, "POST", "/v1/auth/token/renew", `{"token":"hvs.login"}`, tokenBody("hvs.login", 3600)},
		"token by its accessor":  {injected, "POST", "/v1/auth/token/renew-accessor", `{"accessor":"accessor.hvs.login"}`, tokenBody("", 3600)},
		"token not known":        {other, "POST", "/v1/auth/token/renew-self", "", tokenBody("hvs.other", 3600)},
		"token, in a namespace":  {loggedIn, "POST", "/v1/ns1/auth/token/renew-self", "", tokenBody("hvs.login", 3600)},
		"a refusal":              {injected, "PUT", "/v1/sys/leases/renew", `{"lease_id":"db/creds/app/1"}`, `{"errors":["lease not found"]}`},
		"an answer that is none": {injected, "PUT", "/v1/sys/leases/renew", `{"lease_id":"db/creds/app/1"}`, `[]`},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, always(http.StatusOK, tc.answer), cache.Options{})
			before, entries := l.vault.calls.Load(), l.entries()
			for range 2 {
				w := l.do(tc.id, tc.method, tc.target, tc.body)
				wantCache(t, w, "BYPASS")
				if got := w.Body.String(); got != tc.answer {
					t.Errorf("answer = %s, want Vault's own: %s", got, tc.answer)
				}
			}
			l.wantCalls(before + 2)
			if got := l.entries(); got != entries {
				t.Errorf("entries = %d, want %d as before", got, entries)
			}
			if got := l.held(); got != "lease, login, its lease" {
				t.Errorf("held afterwards: %s", got)
			}
		})
	}
}

func TestARenewalInGzipIsUnderstood(t *testing.T) {
	renewed := zipped(t, leaseBody("db/creds/app/1", 7200))
	l := newLedger(t, always(http.StatusOK, renewed, with{"Content-Encoding", "gzip"}), cache.Options{})
	w := l.do(injected, "PUT", "/v1/sys/leases/renew", `{"lease_id":"db/creds/app/1"}`)
	if w.Body.String() != renewed || w.Header().Get("Content-Encoding") != "gzip" {
		t.Error("the renewal's answer is not what Vault gave")
	}
	if got := read(t, l.get("/v1/db/creds/app")).LeaseDuration; got <= 3600 {
		t.Errorf("lease_duration = %d, want more than the first 3600", got)
	}
}
