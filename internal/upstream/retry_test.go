package upstream_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// counting counts the tries that leave the client, arrived or not.
type counting struct {
	http.RoundTripper
	tries atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.tries.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// failing is a transport on which every try ends with the same error.
type failing struct{ error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.error }

// rig is a Vault in memory with a client in front, for tests inside a bubble.
type rig struct {
	*upstream.Client
	vault *vaulttest.Server
	sent  *counting
}

func newRig(t *testing.T, retries int) rig {
	s := vaulttest.NewInMemory(t)
	sent := &counting{RoundTripper: s.Transport(t)}
	return rig{newClient(t, upstream.Settings{Address: s.URL, NumRetries: retries, Transport: sent}), s, sent}
}

// forward sends a request as root, and returns the answer and how long it took.
func (b rig) forward(r *http.Request) (*httptest.ResponseRecorder, time.Duration, error) {
	w, start := httptest.NewRecorder(), time.Now()
	err := b.Forward(w, r, vault.Identity{Token: vault.NewToken(vaulttest.RootToken), Injected: true}, nil)
	return w, time.Since(start), err
}

var methods = []string{"GET", "HEAD", "LIST", "POST", "PUT", "PATCH", "DELETE", "SCAN"}

func reads(method string) bool { return method == "GET" || method == "HEAD" || method == "LIST" }

func TestRetriesByStatus(t *testing.T) {
	for _, tc := range []struct {
		status        int
		reads, writes int // tries with a budget of two retries
	}{
		{200, 1, 1}, {204, 1, 1}, {307, 1, 1}, {400, 1, 1}, {403, 1, 1}, {404, 1, 1}, {405, 1, 1},
		{412, 3, 3}, {429, 3, 3}, {503, 3, 3},
		{472, 1, 1}, {473, 1, 1},
		{500, 3, 1}, {501, 1, 1}, {502, 3, 1}, {504, 3, 1}, {599, 3, 1},
	} {
		for _, method := range methods {
			t.Run(fmt.Sprint(method, " ", tc.status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newRig(t, 2)
					b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(tc.status, http.Header{"X-Last": {"yes"}}, ""))
					w, _, err := b.forward(httptest.NewRequest(method, "/v1/secret/x", nil))
					if err != nil || w.Code != tc.status || w.Header().Get("X-Last") != "yes" {
						t.Fatalf("answer %d %v, %v; want Vault's %d", w.Code, w.Header(), err, tc.status)
					}
					want := tc.writes
					if reads(method) {
						want = tc.reads
					}
					if got := len(b.vault.Requests()); got != want {
						t.Errorf("Vault was asked %d times, want %d", got, want)
					}
				})
			})
		}
	}
}

func TestRetriesByPointOfFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		fault         vaulttest.Fault
		transport     http.RoundTripper // instead of a fault
		refuse        bool
		reads, writes int // tries with a budget of two retries
	}{
		"no connection":           {refuse: true, reads: 3, writes: 3},
		"no connection to proxy":  {transport: failing{&net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED}}, reads: 3, writes: 3},
		"reset before processing": {fault: vaulttest.ResetBefore(), reads: 3, writes: 1},
		"reply lost":              {fault: vaulttest.ResetAfter(), reads: 3, writes: 1},
		"read timeout":            {transport: failing{&net.OpError{Op: "read", Err: syscall.ETIMEDOUT}}, reads: 3, writes: 1},
		"broken protocol":         {transport: failing{errors.New("malformed HTTP response")}, reads: 3, writes: 1},
		"untrusted certificate":   {transport: failing{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, reads: 1, writes: 1},
		"our certificate refused": {transport: failing{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}}, reads: 1, writes: 1},
		"http where https is":     {transport: failing{http.ErrSchemeMismatch}, reads: 1, writes: 1},
	} {
		for _, method := range methods {
			t.Run(name+" "+method, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newRig(t, 2)
					b.vault.Refuse(tc.refuse)
					if tc.transport != nil {
						b.sent.RoundTripper = tc.transport
					} else if tc.fault != nil {
						b.vault.Fail(vaulttest.On("", "/"), tc.fault)
					}
					w, _, err := b.forward(httptest.NewRequest(method, "/v1/secret/x", nil))
					if err == nil {
						t.Fatalf("answer %d, want an error", w.Code)
					}
					want := tc.writes
					if reads(method) {
						want = tc.reads
					}
					if got := int(b.sent.tries.Load()); got != want {
						t.Errorf("tries = %d, want %d (%v)", got, want, err)
					}
				})
			})
		}
	}
}

// APX-10: what a health endpoint says about its node is no failure.
func TestHealthEndpointsAreAskedOnce(t *testing.T) {
	for target, want := range map[string]int{
		"/v1/sys/health":                1,
		"/v1/sys/health?standbyok=true": 1,
		"/v1/ns1/ns2/sys/health":        1,
		"/v1/sys/seal-status":           1,
		"/v1/sys/leader":                1,
		"/v1/sys/init":                  1,
		"/v1/sys/health/x":              2,
		"/v1/sys/mounts":                2,
		"/v1/secret/sys-health":         2,
		"/v1/secret?x=/v1/sys/health":   2,
	} {
		t.Run(target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, 1)
				b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(503, nil, ""))
				if w, _, err := b.forward(httptest.NewRequest("GET", target, nil)); err != nil || w.Code != 503 {
					t.Fatalf("answer %d, %v", w.Code, err)
				}
				if got := len(b.vault.Requests()); got != want {
					t.Errorf("Vault was asked %d times, want %d", got, want)
				}
			})
		})
	}
}

func TestARetryHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 12)
		b.vault.SetKV("app", map[string]any{"key": "value"})
		b.vault.Fail(vaulttest.Times(2, vaulttest.On("GET", "/")), vaulttest.Answer(500, nil, ""))
		w, took, err := b.forward(httptest.NewRequest("GET", "/v1/secret/data/app", nil))
		if err != nil || w.Code != 200 {
			t.Fatalf("answer %d, %v", w.Code, err)
		}
		if took < 3*time.Second || took > 4500*time.Millisecond {
			t.Errorf("waited %v, want 1 to 1.5 s and then 2 to 3 s", took)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		value  func() string
		min    time.Duration
		max    time.Duration
	}{
		"seconds on 503": {503, func() string { return "4" }, 4 * time.Second, 4 * time.Second},
		"seconds on 429": {429, func() string { return "0" }, 0, 0},
		"date": {
			503,
			func() string { return time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat) },
			3 * time.Second,
			3 * time.Second,
		},
		"date in the past":       {429, func() string { return time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat) }, 0, 0},
		"nonsense":               {429, func() string { return "soon" }, time.Second, 1500 * time.Millisecond},
		"does not count on 500":  {500, func() string { return "7" }, time.Second, 1500 * time.Millisecond},
		"does not count on 412":  {412, func() string { return "7" }, time.Second, 1500 * time.Millisecond},
		"negative is not a time": {503, func() string { return "-1" }, time.Second, 1500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, 1)
				b.vault.SetKV("app", nil)
				header := http.Header{"Retry-After": {tc.value()}}
				b.vault.Fail(vaulttest.Times(1, vaulttest.On("", "/")), vaulttest.Answer(tc.status, header, ""))
				w, took, err := b.forward(httptest.NewRequest("GET", "/v1/secret/data/app", nil))
				if err != nil || w.Code != 200 || took < tc.min || took > tc.max {
					t.Errorf("answer %d, %v after %v; want 200 after %v to %v", w.Code, err, took, tc.min, tc.max)
				}
			})
		})
	}
}

func TestBodiesAreSentAgainWhenTheyCanBe(t *testing.T) {
	const text = `{"data":{"key":"value"}}`
	once := func() *http.Request {
		return httptest.NewRequest("POST", "/v1/secret/data/app", io.MultiReader(strings.NewReader(text)))
	}
	replayable := func() *http.Request {
		r := once()
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
		r.ContentLength = int64(len(text))
		return r
	}
	for name, tc := range map[string]struct {
		request  func() *http.Request
		sabotage func(b rig)
		status   int
		arrivals int
	}{
		"replayable, 503":       {replayable, failOnce(503), 204, 2},
		"replayable, refused":   {replayable, refuseFor(time.Second), 204, 1},
		"only once, 503":        {once, failOnce(503), 503, 1},
		"only once, but unread": {once, refuseFor(time.Second), 204, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, 3)
				tc.sabotage(b)
				b.vault.Fail(vaulttest.On("POST", "/"), vaulttest.Answer(204, nil, ""))
				w, _, err := b.forward(tc.request())
				if err != nil || w.Code != tc.status {
					t.Fatalf("answer %d, %v; want %d", w.Code, err, tc.status)
				}
				got := b.vault.Requests()
				if len(got) != tc.arrivals {
					t.Errorf("arrived %d times, want %d", len(got), tc.arrivals)
				}
				for _, r := range got {
					if !bytes.Equal(r.Body, []byte(text)) {
						t.Errorf("arrived %q, want %q", r.Body, text)
					}
				}
			})
		})
	}
}

func failOnce(status int) func(rig) {
	return func(b rig) {
		b.vault.Fail(vaulttest.Times(1, vaulttest.On("", "/")), vaulttest.Answer(status, nil, ""))
	}
}

func refuseFor(d time.Duration) func(rig) {
	return func(b rig) {
		b.vault.Refuse(true)
		time.AfterFunc(d-time.Nanosecond, func() { b.vault.Refuse(false) })
	}
}

// net/http replays requests with an idempotency key by itself when a pooled connection breaks; Vault would act twice (APX-11).
func TestIdempotencyKeysDoNotMakeWritesRepeatable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 3)
		if _, _, err := b.forward(httptest.NewRequest("GET", "/v1/secret/data/app", nil)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // its connection is in the pool now
		b.vault.Fail(vaulttest.On("POST", "/"), vaulttest.ResetAfter())
		r := httptest.NewRequest("POST", "/v1/auth/token/create", nil)
		r.Header.Set("Idempotency-Key", "1")
		if w, _, err := b.forward(r); err == nil {
			t.Fatalf("answer %d, want an error", w.Code)
		}
		if n := len(b.vault.Tokens()); n != 2 {
			t.Errorf("tokens = %d, want the root token and one more", n)
		}
	})
}

func TestMaxRetriesFromTheEnvironmentWins(t *testing.T) {
	for value, want := range map[string]int{"0": 1, "1": 2, "": 3} {
		t.Run("VAULT_MAX_RETRIES="+value, func(t *testing.T) {
			t.Setenv("VAULT_MAX_RETRIES", value)
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, 2)
				b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(503, nil, ""))
				b.forward(httptest.NewRequest("GET", "/v1/secret/x", nil))
				if got := len(b.vault.Requests()); got != want {
					t.Errorf("Vault was asked %d times, want %d", got, want)
				}
			})
		})
	}
}
