package autoauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	loginPath  = "auth/test/login"
	renewPath  = "auth/token/renew-self"
	lookupPath = "auth/token/lookup-self"
)

// reply is one answer of the fake Vault: an HTTP answer, no answer (err), or silence until the request is cancelled (hang).
type reply struct {
	status int
	body   string
	delay  time.Duration
	err    error
	hang   bool
}

// request is one that the fake Vault saw.
type request struct {
	at     time.Duration // since the fake was made
	method string
	path   string
	header http.Header
	body   string
}

// fakeVault is a Vault in memory, since a bubble cannot wait for a socket. By default every login gives a new token
// (hvs.1, hvs.2, ...) and every renewal and lookup succeeds, with the TTL and renewability given.
type fakeVault struct {
	ttl       time.Duration
	renewable bool
	onLogin   func(n int) *reply // n counts from 1; nil means the default answer
	onRenew   func(n int) *reply
	onLookup  func(n int) *reply

	mu    sync.Mutex
	start time.Time
	seen  []request
}

// RoundTrip implements http.RoundTripper.
func (v *fakeVault) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	v.mu.Lock()
	v.seen = append(v.seen, request{time.Since(v.start), r.Method, path, r.Header.Clone(), string(body)})
	n := len(slices.DeleteFunc(slices.Clone(v.seen), func(s request) bool { return s.path != path }))
	v.mu.Unlock()

	a := v.reply(path, n, r.Header.Get("X-Vault-Token"))
	if a.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	time.Sleep(a.delay)
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func (v *fakeVault) reply(path string, n int, sent string) reply {
	script, token := v.onLogin, fmt.Sprintf("hvs.%d", n)
	switch path {
	case renewPath:
		script = v.onRenew
	case lookupPath:
		script = v.onLookup
	}
	if script != nil {
		if a := script(n); a != nil {
			return *a
		}
	}
	if path == lookupPath {
		return *lookedUp(sent, v.ttl, v.ttl, v.renewable)
	}
	return *granted(token, v.ttl, v.renewable)
}

// granted is Vault's answer to a login or a renewal. The accessor of hvs.1 is acc.1.
func granted(token string, ttl time.Duration, renewable bool) *reply {
	return &reply{status: 200, body: fmt.Sprintf(
		`{"auth":{"client_token":%q,"accessor":%q,"policies":["default","app"],"lease_duration":%d,"renewable":%t}}`,
		token, strings.Replace(token, "hvs.", "acc.", 1), int(ttl.Seconds()), renewable)}
}

// lookedUp is Vault's answer to a lookup of a token that was made to live for life, and has left to go; 0 for ever.
func lookedUp(token string, left, life time.Duration, renewable bool) *reply {
	end := "null"
	if left > 0 {
		end = `"2030-01-01T00:00:00Z"`
	}
	return &reply{status: 200, body: fmt.Sprintf(
		`{"data":{"id":%q,"accessor":%q,"policies":["default","app"],"ttl":%d,"creation_ttl":%d,"expire_time":%s,"renewable":%t}}`,
		token, strings.Replace(token, "hvs.", "acc.", 1), int(left.Seconds()), int(life.Seconds()), end, renewable)}
}

func refused(status int, reason string) *reply {
	return &reply{status: status, body: fmt.Sprintf(`{"errors":[%q]}`, reason)}
}

func unreachable() *reply { return &reply{err: errors.New("connection refused")} }

func (v *fakeVault) requests(path string) []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(v.seen), func(s request) bool { return s.path != path })
}

func (v *fakeVault) logins() int   { return len(v.requests(loginPath)) }
func (v *fakeVault) renewals() int { return len(v.requests(renewPath)) }

// lookups counts those of the last run's token.
func (v *fakeVault) lookups() int { return v.lookupsOf("hvs.0") }

func (v *fakeVault) lookupsOf(token string) int {
	return len(slices.DeleteFunc(v.requests(lookupPath), func(r request) bool { return r.header.Get("X-Vault-Token") != token }))
}

// client returns vault/api's client as the daemon makes it, save for the wire.
func (v *fakeVault) client(t *testing.T) *api.Client {
	t.Helper()
	v.start = time.Now()
	cfg := api.DefaultConfig()
	cfg.HttpClient = &http.Client{Transport: v}
	c, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// method logs in at loginPath; before, if set, is called with each login's client.
type method struct{ before func(*api.Client) }

func (m method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	if m.before != nil {
		m.before(c)
	}
	return c.Logical().WriteWithContext(ctx, loginPath, map[string]any{"secret_id": "s3cr3t"})
}

func (method) Remedy(int) string { return "write a new secret ID" }

// journal is an Observer and a Meter that remembers.
type journal struct {
	mu                sync.Mutex
	held              []autoauth.Held
	lost              []vault.Token
	wrapped           int
	success, failures int
}

// soFar is what the journal has now, for a look at it while the manager runs.
func (j *journal) soFar() *journal {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &journal{held: slices.Clone(j.held), lost: slices.Clone(j.lost), wrapped: j.wrapped, success: j.success, failures: j.failures}
}

func (j *journal) TokenHeld(h autoauth.Held) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held = append(j.held, h)
}

func (j *journal) TokenLost(t vault.Token) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lost = append(j.lost, t)
}

func (j *journal) TokenWrapped() { j.mu.Lock(); defer j.mu.Unlock(); j.wrapped++ }

func (j *journal) AuthSuccess() { j.mu.Lock(); defer j.mu.Unlock(); j.success++ }
func (j *journal) AuthFailure() { j.mu.Lock(); defer j.mu.Unlock(); j.failures++ }

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// running is a manager whose Run was started, inside a bubble.
type running struct {
	*autoauth.Manager
	log   *logBuffer
	start func()
	stop  context.CancelFunc
	done  chan error // gets what Run returned
}

// run starts a manager. The test must end it, by stop or otherwise, before its bubble ends.
func run(t *testing.T, v *fakeVault, m autoauth.Method, o autoauth.Options) *running {
	t.Helper()
	r := prepare(t, v, m, o)
	r.start()
	return r
}

// prepare makes a manager whose Run begins with start.
func prepare(t *testing.T, v *fakeVault, m autoauth.Method, o autoauth.Options) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{log: &logBuffer{}, stop: stop, done: make(chan error, 1)}
	r.Manager = autoauth.NewManager(v.client(t), m, r.log.logger(), o)
	r.start = func() { go func() { r.done <- r.Run(ctx) }() }
	t.Cleanup(stop)
	return r
}

func (r *running) wantToken(t *testing.T, want string) {
	t.Helper()
	if got := r.Token().Reveal(); got != want {
		t.Errorf("token = %q, want %q", got, want)
	}
}
