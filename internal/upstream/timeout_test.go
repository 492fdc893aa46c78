package upstream_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/vaulttest"
)

// APX-9: a client gets Vault's answer, not a timeout.
func TestWaitsAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout  string
		header   http.Header
		min, max time.Duration
	}{
		"ten seconds in all":          {"", nil, 6 * time.Second, 10 * time.Second},
		"Retry-After past the bound":  {"", http.Header{"Retry-After": {"30"}}, 0, 0},
		"Retry-After within it":       {"", http.Header{"Retry-After": {"4"}}, 8 * time.Second, 8 * time.Second},
		"client timeout":              {"2s", nil, time.Second, 1500 * time.Millisecond},
		"client timeout is the limit": {"2", http.Header{"Retry-After": {"2"}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("VAULT_CLIENT_TIMEOUT", tc.timeout)
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, 12)
				b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(503, tc.header, "sealed"))
				w, took, err := b.forward(httptest.NewRequest("GET", "/v1/secret/x", nil))
				if err != nil || w.Code != 503 || w.Body.String() != "sealed" {
					t.Fatalf("answer %d %q, %v; want Vault's 503", w.Code, w.Body, err)
				}
				if took < tc.min || took > tc.max {
					t.Errorf("answered after %v, want %v to %v", took, tc.min, tc.max)
				}
			})
		})
	}
}

func TestADateInThePastDoesNotLengthenTheWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 12)
		past := http.Header{"Retry-After": {time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)}}
		b.vault.Fail(vaulttest.Times(1, vaulttest.On("", "/")), vaulttest.Answer(503, past, ""))
		b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(503, nil, ""))
		if w, took, err := b.forward(httptest.NewRequest("GET", "/v1/secret/x", nil)); err != nil || w.Code != 503 || took > 10*time.Second {
			t.Errorf("answer %d, %v after %v; want Vault's 503 within 10 s", w.Code, err, took)
		}
	})
}

func TestTheCallersDeadlineBoundsTheWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 12)
		b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(503, nil, "sealed"))
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		w, took, err := b.forward(httptest.NewRequest("GET", "/v1/secret/x", nil).WithContext(ctx))
		if err != nil || w.Code != 503 || took != 0 {
			t.Errorf("answer %d, %v after %v; want Vault's 503 at once", w.Code, err, took)
		}
	})
}

func TestLeavingEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 12)
		b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(503, http.Header{"Retry-After": {"9"}}, ""))
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, leave)
		_, took, err := b.forward(httptest.NewRequest("GET", "/v1/secret/x", nil).WithContext(ctx))
		if !errors.Is(err, context.Canceled) || took != 2*time.Second {
			t.Errorf("Forward = %v after %v, want context.Canceled after 2 s", err, took)
		}
	})
}

func TestClientTimeout(t *testing.T) {
	read := httptest.NewRequest("GET", "/v1/secret/x", nil)
	t.Run("ends a wait for headers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, 12)
			b.vault.Fail(vaulttest.On("", "/"), vaulttest.Hang())
			_, took, err := b.forward(read)
			var timeout net.Error
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || took != time.Minute {
				t.Errorf("Forward = %v after %v, want a timeout after the default minute", err, took)
			}
		})
	})
	t.Run("does not end a stream", func(t *testing.T) {
		t.Setenv("VAULT_CLIENT_TIMEOUT", "2")
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, 0)
			b.vault.Fail(vaulttest.On("", "/"), func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				for range 10 {
					io.WriteString(w, "x")
					http.NewResponseController(w).Flush()
					time.Sleep(time.Hour)
				}
			})
			if w, took, err := b.forward(read); err != nil || w.Body.Len() != 10 || took != 10*time.Hour {
				t.Errorf("read %q, %v after %v; want ten bytes", w.Body, err, took)
			}
		})
	})
	t.Run("does not end an upload that moves", func(t *testing.T) {
		t.Setenv("VAULT_CLIENT_TIMEOUT", "2")
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, 0)
			b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(204, nil, ""))
			r := httptest.NewRequest("POST", "/v1/sys/storage/raft/snapshot", &slowBody{left: 10, pause: time.Second})
			if w, _, err := b.forward(r); err != nil || w.Code != 204 || len(b.vault.Requests()[0].Body) != 10 {
				t.Errorf("answer %d, %v; want 204 after ten bytes", w.Code, err)
			}
		})
	})
	t.Run("begins anew with each byte of an upload", func(t *testing.T) {
		t.Setenv("VAULT_CLIENT_TIMEOUT", "2")
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, 12)
			b.vault.Fail(vaulttest.On("", "/"), vaulttest.Hang())
			r := httptest.NewRequest("POST", "/v1/sys/storage/raft/snapshot", &slowBody{left: 10, pause: time.Second})
			if _, took, err := b.forward(r); !errors.Is(err, context.DeadlineExceeded) || took != 12*time.Second {
				t.Errorf("Forward = %v after %v, want a timeout 2 s after the last byte", err, took)
			}
		})
	})
}

// slowBody is a body of left bytes, each of which takes its time.
type slowBody struct {
	left  int
	pause time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(b.pause)
	b.left--
	p[0] = 'x'
	return 1, nil
}

func TestRateLimit(t *testing.T) {
	for value, want := range map[string]time.Duration{"1:1": 2 * time.Second, "1:2": time.Second, "0.5": 4 * time.Second, "": 0} {
		t.Run("VAULT_RATE_LIMIT="+value, func(t *testing.T) {
			t.Setenv("VAULT_RATE_LIMIT", value)
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, 2)
				var total time.Duration
				for range 3 {
					_, took, err := b.forward(httptest.NewRequest("GET", "/v1/secret/x", nil))
					if err != nil {
						t.Fatal(err)
					}
					total += took
				}
				if total != want {
					t.Errorf("three requests took %v, want %v", total, want)
				}
			})
		})
	}
}
