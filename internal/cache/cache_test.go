package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// autoToken is the auto-auth token that every fixture holds, so that what is created with it may be kept.
const autoToken = "hvs.auto-auth-token"

var (
	injected = vault.Identity{Token: vault.NewToken(autoToken), Injected: true}
	ownAuto  = vault.Identity{Token: vault.NewToken(autoToken)}
	other    = vault.Identity{Token: vault.NewToken("hvs.other")}
	noToken  = vault.Identity{}
)

// script answers in Vault's stead. The request has the token that goes to Vault in its header.
type script func(r *http.Request) (*http.Response, error)

// fakeVault is the way to Vault, in memory: it forwards as the real one promises to.
type fakeVault struct {
	script script
	room   int // how much of a body is read at once; 0 means as io.Copy likes
	calls  atomic.Int64
}

func (v *fakeVault) Forward(w http.ResponseWriter, r *http.Request, id vault.Identity, inspect func(*http.Response) error) error {
	v.calls.Add(1)
	out := r.Clone(r.Context())
	out.Header.Set("X-Vault-Token", id.Token.Reveal())
	resp, err := v.script(out)
	if err != nil {
		return err
	}
	err = inspect(resp)
	defer resp.Body.Close()
	if err != nil {
		return err
	}
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	var buf []byte
	if v.room > 0 {
		buf = make([]byte, v.room)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{resp.Body}, buf); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// fakeTokens records which tokens were called invalid.
type fakeTokens struct {
	mu      sync.Mutex
	lost    []string
	current vault.Token // zero: that of injected
	next    vault.Token // becomes current when current is called invalid
	short   error       // of Lasting
}

func (f *fakeTokens) Token() vault.Token {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current.IsZero() {
		return injected.Token
	}
	return f.current
}

func (f *fakeTokens) Holder(t vault.Token) (vault.AutoAuthName, bool) { return "", t.Equal(f.Token()) }

func (f *fakeTokens) Await(context.Context, vault.AutoAuthName) (vault.Token, error) {
	return f.Token(), nil
}

func (f *fakeTokens) Lasting(context.Context, vault.AutoAuthName) (vault.Token, error) {
	return f.Token(), f.short
}

func (f *fakeTokens) Invalidate(t vault.Token) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = append(f.lost, t.Reveal())
	if !f.next.IsZero() {
		f.current = f.next
	}
}

// counts is a meter.
type counts struct{ hits, misses, answered atomic.Int64 }

func (c *counts) Hit()         { c.hits.Add(1) }
func (c *counts) Miss()        { c.misses.Add(1) }
func (c *counts) Answered(int) { c.answered.Add(1) }

// fixture is a cache in front of a fake Vault.
type fixture struct {
	*cache.Cache
	t      testing.TB
	vault  *fakeVault
	index  *lease.Index
	tokens *fakeTokens
	meter  *counts
}

func newFixture(t testing.TB, s script, opt cache.Options) *fixture {
	t.Helper()
	f := &fixture{t: t, vault: &fakeVault{script: s}, index: lease.NewIndex(lease.Options{}), tokens: &fakeTokens{}, meter: &counts{}}
	f.index.Hold("", injected.Token, "accessor.auto-auth", "", time.Time{})
	var err error
	if f.Cache, err = cache.New(f.index, f.vault, f.tokens, f.meter, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// with is a header field, name and value, that a request carries.
type with [2]string

func newRequest(ctx context.Context, method, target, body string, fields ...with) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for _, f := range fields {
		r.Header.Add(f[0], f[1])
	}
	return r
}

// do sends one request and fails the test when it gets no answer.
func (f *fixture) do(id vault.Identity, method, target, body string, fields ...with) *httptest.ResponseRecorder {
	f.t.Helper()
	w := httptest.NewRecorder()
	if err := f.Answer(w, newRequest(f.t.Context(), method, target, body, fields...), id); err != nil {
		f.t.Errorf("%s %s: %v", method, target, err)
	}
	return w
}

// get reads a lease with the auto-auth token.
func (f *fixture) get(target string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.do(injected, http.MethodGet, target, "")
}

// entries is how much is kept.
func (f *fixture) entries() int {
	n, _, _ := f.index.Stats()
	return n
}

func (f *fixture) wantCalls(want int64) {
	f.t.Helper()
	if got := f.vault.calls.Load(); got != want {
		f.t.Errorf("requests that reached Vault = %d, want %d", got, want)
	}
}

func wantCache(t testing.TB, w *httptest.ResponseRecorder, want string) {
	t.Helper()
	if got := w.Header().Get("X-Cache"); got != want {
		t.Errorf("X-Cache = %q, want %q", got, want)
	}
}

// reply is an answer of Vault; a 204 has no body.
func reply(status int, body string, fields ...with) *http.Response {
	if status == http.StatusNoContent {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
	}
	resp := &http.Response{
		StatusCode: status, Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
	resp.Header.Set("Content-Type", "application/json")
	for _, f := range fields {
		resp.Header.Set(f[0], f[1])
	}
	return resp
}

func leaseBody(id string, seconds int) string {
	return fmt.Sprintf(`{"request_id":"r-%s","lease_id":%q,"renewable":true,"lease_duration":%d,"data":{"password":"p-%s"},"auth":null}`, id, id, seconds, id)
}

func tokenBody(token string, seconds int) string {
	return fmt.Sprintf(`{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":null,"auth":{"client_token":%q,`+
		`"accessor":"accessor.%s","lease_duration":%d,"renewable":true,"orphan":true}}`, token, token, seconds)
}

const kvBody = `{"request_id":"r","lease_id":"","renewable":false,"lease_duration":2764800,"data":{"word":"true","renewable":"x"},"auth":null}`

// always gives the same answer to everything.
func always(status int, body string, fields ...with) script {
	return func(*http.Request) (*http.Response, error) { return reply(status, body, fields...), nil }
}

// leases answers reads with a new lease of an hour, logins with a new token of an hour, and everything else with 204.
func leases() script {
	var n atomic.Int64
	return func(r *http.Request) (*http.Response, error) {
		switch {
		case strings.Contains(r.URL.Path, "/creds/"):
			path := strings.TrimPrefix(r.URL.Path, "/v1/")
			return reply(http.StatusOK, leaseBody(fmt.Sprintf("%s/%d", path, n.Add(1)), 3600)), nil
		case strings.HasSuffix(r.URL.Path, "/login"):
			return reply(http.StatusOK, tokenBody(fmt.Sprintf("hvs.login%d", n.Add(1)), 3600)), nil
		}
		return reply(http.StatusNoContent, ""), nil
	}
}

// slowly lets a script take a second.
func slowly(s script) script {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(time.Second):
			return s(r)
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
	}
}

// secret is what the tests look at in an answer's body.
type secret struct {
	LeaseID       string `json:"lease_id"`
	LeaseDuration int    `json:"lease_duration"`
	Auth          struct {
		ClientToken   string `json:"client_token"`
		LeaseDuration int    `json:"lease_duration"`
	} `json:"auth"`
}

func read(t testing.TB, w *httptest.ResponseRecorder) secret {
	t.Helper()
	var s secret
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Errorf("body %q: %v", w.Body, err)
	}
	return s
}

var discardLog = slog.New(slog.DiscardHandler)

var errLost = errors.New("connection reset by peer")
