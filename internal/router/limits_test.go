package router_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"leasehold/internal/router"
	"leasehold/internal/vault"
)

// waits answers /v1/wait when until is closed, and everything else at once.
type waits struct{ until chan struct{} }

func (a waits) Answer(w http.ResponseWriter, r *http.Request, _ vault.Identity) error {
	if r.URL.Path == "/v1/wait" {
		<-a.until
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// What exceeds the limit is told so at once, and our own endpoints stay open to the operator.
func TestTooManyRequests(t *testing.T) {
	for name, tc := range map[string]struct{ limit, underWay, want int }{
		"below the limit": {3, 2, http.StatusOK},
		"at the limit":    {2, 2, http.StatusTooManyRequests},
		"no limit":        {-1, 100, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				until := make(chan struct{})
				var failures []int
				var log strings.Builder
				h := router.New(router.Parts{
					Answer: waits{until}, Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Quit: func() {}, Log: slog.New(slog.NewTextHandler(&log, nil)),
					Failed: func(_ *http.Request, status int, _ error) { failures = append(failures, status) },
				}, router.Options{MaxConcurrent: tc.limit, EnableQuit: true})
				ask := func(method, path string) *httptest.ResponseRecorder {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, newRequest(method, path, ""))
					return w
				}
				for range tc.underWay {
					go ask("GET", "/v1/wait")
				}
				synctest.Wait()
				w := ask("GET", "/v1/secret/app")
				if w.Code != tc.want {
					t.Errorf("status = %d, want %d", w.Code, tc.want)
				}
				if refused := tc.want != http.StatusOK; refused && (w.Header().Get("Retry-After") != "1" || len(failures) != 1 || failures[0] != tc.want) {
					t.Errorf("Retry-After = %q, failures = %v", w.Header().Get("Retry-After"), failures)
				}
				if told := strings.Contains(log.String(), "request denied"); told != (tc.want != http.StatusOK) {
					t.Errorf("it is logged: %t\n%s", told, log.String())
				}
				for path, method := range map[string]string{"/proxy/v1/metrics": "GET", "/agent/v1/quit": "POST"} {
					if w := ask(method, path); w.Code != http.StatusOK {
						t.Errorf("%s %s = %d", method, path, w.Code)
					}
				}
				close(until)
				synctest.Wait()
				if w := ask("GET", "/v1/secret/app"); w.Code != http.StatusOK {
					t.Errorf("after the others have ended: %d", w.Code)
				}
			})
		})
	}
}

// A snapshot is larger than any request should be, and Vault takes it whatever its max_request_size.
func TestSnapshotsAreNotBounded(t *testing.T) {
	for path, want := range map[string]int{
		"/v1/sys/storage/raft/snapshot":          http.StatusOK,
		"/v1/sys/storage/raft/snapshot-force":    http.StatusOK,
		"/v1/ns1/sys/storage/raft/snapshot":      http.StatusOK,
		"/v1/sys/storage/raft/snapshots":         http.StatusRequestEntityTooLarge,
		"/v1/sys/storage/raft/snapshot-auto":     http.StatusRequestEntityTooLarge,
		"/v1x/sys/storage/raft/snapshot":         http.StatusRequestEntityTooLarge,
		"/sys/storage/raft/snapshot":             http.StatusRequestEntityTooLarge,
		"/v1/secret/app":                         http.StatusRequestEntityTooLarge,
		"/v1/nosys/storage/raft/snapshot?x=/sys": http.StatusRequestEntityTooLarge,
	} {
		f := newFixture(router.Options{MaxRequestSize: 10})
		if w := f.do("POST", path, strings.Repeat("x", 11)); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestConfiguredNamespaceStandsFirst(t *testing.T) {
	for sent, want := range map[string]string{"": "ns1/", "ns2": "ns1/ns2/", "/ns2/ns3/": "ns1/ns2/ns3/", "root": "ns1/"} {
		f := newFixture(router.Options{PrependNamespace: "ns1/"})
		r := newRequest("GET", "/v1/ns4/secret/app", "")
		if sent != "" {
			r.Header["X-Vault-Namespace"] = []string{sent, "another"}
		}
		before := r.Header.Clone()
		f.serve(r)
		if got := f.answer.got.Header["X-Vault-Namespace"]; len(got) != 1 || got[0] != want || f.answer.got.URL.Path != "/v1/ns4/secret/app" {
			t.Errorf("%q: namespace %q, path %s; want %q and the path as it came", sent, got, f.answer.got.URL.Path, want)
		}
		if got, sent := len(r.Header), len(before); got != sent || strings.Join(r.Header["X-Vault-Namespace"], ",") != strings.Join(before["X-Vault-Namespace"], ",") {
			t.Errorf("the client's header became %v", r.Header)
		}
	}
}
