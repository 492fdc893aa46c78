package upstream_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"leasehold/internal/upstream"
	"leasehold/internal/vaulttest"
)

func index(cluster string, local, replicated int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "v1:%s:%d:%d:00ff", cluster, local, replicated))
}

func TestIndexesAreLearntAndRequired(t *testing.T) {
	type step struct {
		sent   http.Header
		answer []string // X-Vault-Index of the answer
		want   []string // X-Vault-Index at Vault
	}
	a1, a2, b1 := index("a", 1, 1), index("a", 2, 2), index("b", 1, 1)
	left, right := index("a", 3, 1), index("a", 1, 3)
	for name, steps := range map[string][]step{
		"nothing known":       {{}},
		"learnt":              {{answer: []string{a1}}, {want: []string{a1}}, {want: []string{a1}}},
		"newer":               {{answer: []string{a1}}, {answer: []string{a2}, want: []string{a1}}, {want: []string{a2}}},
		"older":               {{answer: []string{a2}}, {answer: []string{a1}, want: []string{a2}}, {want: []string{a2}}},
		"two at once":         {{answer: []string{a1, a2}}, {want: []string{a2}}},
		"incomparable":        {{answer: []string{left}}, {answer: []string{right}, want: []string{left}}, {want: []string{right, left}}},
		"both passed":         {{answer: []string{left, right, index("a", 3, 3)}}, {want: []string{index("a", 3, 3)}}},
		"another cluster":     {{answer: []string{a2}}, {answer: []string{b1}, want: []string{a2}}, {want: []string{b1}}},
		"nonsense":            {{answer: []string{"nonsense"}}, {answer: []string{a1}}, {answer: []string{""}, want: []string{a1}}, {want: []string{a1}}},
		"too long":            {{answer: []string{index(strings.Repeat("a", 4000), 1, 1)}}, {}},
		"client's own index":  {{answer: []string{a1}}, {sent: http.Header{"X-Vault-Index": {b1, "x"}}, want: []string{b1, "x"}, answer: []string{a2}}, {want: []string{a1}}},
		"client's forward":    {{answer: []string{a1}}, {sent: http.Header{"X-Vault-Forward": {"active-node"}}, answer: []string{a2}}, {want: []string{a1}}},
		"client's own choice": {{answer: []string{a1}}, {sent: http.Header{"X-Vault-Inconsistent": {"x"}}, answer: []string{a2}}, {want: []string{a1}}},
	} {
		for mode, always := range map[upstream.Consistency]bool{
			upstream.ConsistencyNever: false, upstream.ConsistencyFail: true, upstream.ConsistencyRetry: true, upstream.ConsistencyForward: true,
		} {
			t.Run(fmt.Sprint(name, " ", mode), func(t *testing.T) {
				var now step
				var got http.Header
				to := &web{servers: map[string]http.HandlerFunc{"https://vault.test": func(w http.ResponseWriter, r *http.Request) {
					got = r.Header.Clone()
					w.Header()["X-Vault-Index"] = now.answer
				}}}
				c := newClient(t, upstream.Settings{Address: "https://vault.test", Transport: to, Consistency: mode})
				for i := range steps {
					now = steps[i]
					r := httptest.NewRequest("PUT", "/v1/secret/x", nil)
					for k, v := range now.sent {
						r.Header[k] = v
					}
					w := httptest.NewRecorder()
					if err := c.Forward(w, r, root, nil); err != nil {
						t.Fatal(err)
					}
					want, inconsistent := now.want, now.sent["X-Vault-Inconsistent"]
					if !always {
						want = now.sent["X-Vault-Index"]
					} else if mode == upstream.ConsistencyForward && len(want) > 0 && len(now.sent) == 0 {
						inconsistent = []string{"forward-active-node"}
					}
					if !slices.Equal(got["X-Vault-Index"], want) || !slices.Equal(got["X-Vault-Inconsistent"], inconsistent) {
						t.Errorf("step %d: arrived with index %q, inconsistent %q; want %q, %q", i,
							got["X-Vault-Index"], got["X-Vault-Inconsistent"], want, inconsistent)
					}
					if !slices.Equal(w.Header()["X-Vault-Index"], now.answer) {
						t.Errorf("step %d: the client got index %q, want Vault's %q", i, w.Header()["X-Vault-Index"], now.answer)
					}
				}
			})
		}
	}
}

func TestWhenInconsistent(t *testing.T) {
	for name, tc := range map[string]struct {
		mode  upstream.Consistency
		own   bool // the client sends an index of its own
		tries int
	}{
		"never":          {upstream.ConsistencyNever, false, 3},
		"fail":           {upstream.ConsistencyFail, false, 1},
		"fail, own":      {upstream.ConsistencyFail, true, 3},
		"retry":          {upstream.ConsistencyRetry, false, 3},
		"forward":        {upstream.ConsistencyForward, false, 3},
		"never, and own": {upstream.ConsistencyNever, true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRigWith(t, upstream.Settings{NumRetries: 2, Consistency: tc.mode})
				b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(412, nil, "not yet"))
				r := newTry("POST /v1/secret/x")
				if tc.own {
					r.Header.Set("X-Vault-Index", index("a", 1, 1))
				}
				w, _, err := b.forward(r)
				if err != nil || w.Code != 412 || w.Body.String() != "not yet" {
					t.Fatalf("answer %d %q, %v; want Vault's 412", w.Code, w.Body, err)
				}
				if got := len(b.vault.Requests()); got != tc.tries {
					t.Errorf("Vault was asked %d times, want %d", got, tc.tries)
				}
			})
		})
	}
}
