package upstream_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vaulttest"
)

// asking is a ResponseWriter that wants to know.
type asking struct {
	*httptest.ResponseRecorder
	status, tries, calls int
	took                 time.Duration
	written              bool // the answer was written before it was told
}

func (a *asking) Asked(status, tries int, took time.Duration) {
	a.status, a.tries, a.took = status, tries, took
	a.calls++
}

func (a *asking) WriteHeader(status int) {
	a.written = a.written || a.calls == 0
	a.ResponseRecorder.WriteHeader(status)
}

func TestForwardTellsHowOftenVaultWasAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		fail          vaulttest.Fault
		times         int
		status, tries int
		min, max      time.Duration
	}{
		"at once":           {fail: vaulttest.Answer(503, nil, ""), times: 0, status: 200, tries: 1},
		"two retries":       {fail: vaulttest.Answer(503, nil, ""), times: 2, status: 200, tries: 3, min: 3 * time.Second, max: 4500 * time.Millisecond},
		"an error stands":   {fail: vaulttest.Answer(503, nil, ""), times: 9, status: 503, tries: 3, min: 3 * time.Second, max: 4500 * time.Millisecond},
		"no answer at all":  {fail: vaulttest.ResetBefore(), times: 9, status: 0, tries: 3, min: 3 * time.Second, max: 4500 * time.Millisecond},
		"refused, no retry": {fail: vaulttest.Answer(403, nil, ""), times: 9, status: 403, tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRigWith(t, upstream.Settings{NumRetries: 2})
				b.vault.SetKV("app", nil)
				b.vault.Fail(vaulttest.Times(tc.times, vaulttest.On("", "/")), tc.fail)
				w := &asking{ResponseRecorder: httptest.NewRecorder()}
				err := b.Forward(w, httptest.NewRequest(http.MethodGet, "/v1/secret/data/app", nil), root, nil)
				if (err != nil) != (tc.status == 0) {
					t.Fatalf("error %v", err)
				}
				if w.calls != 1 || w.status != tc.status || w.tries != tc.tries {
					t.Errorf("told %d times: status %d after %d tries, want once: %d after %d", w.calls, w.status, w.tries, tc.status, tc.tries)
				}
				if w.took < tc.min || w.took > tc.max {
					t.Errorf("took %v, want %v to %v", w.took, tc.min, tc.max)
				}
				if w.written {
					t.Error("it was told after the answer was written")
				}
			})
		})
	}
}
