package upstream_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
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

// rig is a Vault in memory with a client in front, for tests inside a bubble.
type rig struct {
	*upstream.Client
	vault *vaulttest.Server
	sent  *counting
}

func newRig(t *testing.T, retries int) rig {
	return newRigWith(t, upstream.Settings{NumRetries: retries})
}

func newRigWith(t *testing.T, settings upstream.Settings) rig {
	s := vaulttest.NewInMemory(t)
	sent := &counting{RoundTripper: s.Transport(t)}
	settings.Address, settings.Transport = s.URL, sent
	return rig{newClient(t, settings), s, sent}
}

// forward sends a request as root, and returns the answer and how long it took.
func (b rig) forward(r *http.Request) (*httptest.ResponseRecorder, time.Duration, error) {
	w, start := httptest.NewRecorder(), time.Now()
	err := b.Forward(w, r, root, nil)
	return w, time.Since(start), err
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
