package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// silent is a collector that never answers. It notes whether the state file was free when an export came.
type silent struct {
	file string

	mu  sync.Mutex
	saw []string
}

func (s *silent) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // all of it: only then does the server see that the other side leaves
	saw := r.URL.Path + " before the state file was closed"
	if db, err := bbolt.Open(s.file, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Millisecond}); err == nil {
		saw = r.URL.Path + " after it"
		_ = db.Close()
	}
	s.mu.Lock()
	s.saw = append(s.saw, saw)
	s.mu.Unlock()
	<-r.Context().Done()
}

// A stop that is cut short by a supervisor, since a collector does not answer, finds the state file closed.
func TestTheStateFileIsClosedBeforeTheLastExports(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000") // spans are sent at the end alone, as metrics are by interval
	dir := t.TempDir()
	c := &silent{file: filepath.Join(dir, "leasehold.db")}
	collector := httptest.NewServer(c)
	defer collector.Close()
	server := vaulttest.NewServer(t)
	cfg := parse(t, fmt.Sprintf("vault { address = %q }\ncache { persist \"file\" { path = %q key_file = %q } }\n", server.URL, dir, filepath.Join(dir, "key"))+
		fmt.Sprintf("telemetry {\n  otlp {\n    endpoint = %q\n    interval = 3600\n  }\n  traces {}\n}\n", collector.URL)+strings.Replace(listenerAndCache, "cache {}", "", 1))
	cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent
	r := run(t, cfg, daemon.Options{Token: vault.NewToken(vaulttest.RootToken)})
	if status, _, body := r.do(t, http.MethodGet, "/v1/leaser/creds/app?ttl=3600"); status != http.StatusOK { // is kept, and has spans
		t.Fatalf("%d %s", status, body)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("Run = %v", err)
	}
	collector.Close() // its handlers have ended
	if len(c.saw) == 0 || slices.ContainsFunc(c.saw, func(saw string) bool { return strings.Contains(saw, "before") }) {
		t.Errorf("exports came %q, want some, and none before the state file was closed", c.saw)
	}
}

// Two that wait for as long as they may are waited for once.
func TestSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		wait := func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("gave up: %w", ctx.Err())
		}
		err := daemon.SideBySide(3*time.Second, wait, func(context.Context) error { return nil }, wait)
		if took := time.Since(begin); took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) || strings.Count(err.Error(), "gave up") != 2 {
			t.Errorf("took %s, %v", took, err)
		}
		if err := daemon.SideBySide(time.Second); err != nil {
			t.Errorf("of nothing: %v", err)
		}
	})
}
