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
	loginPath = "auth/test/login"
	renewPath = "auth/token/renew-self"
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
// (hvs.1, hvs.2, ...) and every renewal succeeds, with the TTL and renewability given.
type fakeVault struct {
	ttl       time.Duration
	renewable bool
	onLogin   func(n int) *reply // n counts from 1; nil means the default answer
	onRenew   func(n int) *reply

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

	a := v.reply(path, n)
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

func (v *fakeVault) reply(path string, n int) reply {
	script, token := v.onLogin, fmt.Sprintf("hvs.%d", n)
	if path == renewPath {
		script = v.onRenew
	}
	if script != nil {
		if a := script(n); a != nil {
			return *a
		}
	}
	return *granted(token, v.ttl, v.renewable)
}

// granted is Vault's answer to a login or a renewal. The accessor of hvs.1 is acc.1.
func granted(token string, ttl time.Duration, renewable bool) *reply {
	return &reply{status: 200, body: fmt.Sprintf(
		`{"auth":{"client_token":%q,"accessor":%q,"policies":["default","app"],"lease_duration":%d,"renewable":%t}}`,
		token, strings.Replace(token, "hvs.", "acc.", 1), int(ttl.Seconds()), renewable)}
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
	success, failures int
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
	log  *logBuffer
	stop context.CancelFunc
	done chan error // gets what Run returned
}

// run starts a manager. The test must end it, by stop or otherwise, before its bubble ends.
func run(t *testing.T, v *fakeVault, m autoauth.Method, o autoauth.Options) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{log: &logBuffer{}, stop: stop, done: make(chan error, 1)}
	r.Manager = autoauth.NewManager(v.client(t), m, r.log.logger(), o)
	go func() { r.done <- r.Run(ctx) }()
	t.Cleanup(stop)
	return r
}

func (r *running) wantToken(t *testing.T, want string) {
	t.Helper()
	if got := r.Token().Reveal(); got != want {
		t.Errorf("token = %q, want %q", got, want)
	}
}
