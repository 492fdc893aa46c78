package daemon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// lines is a stream for an access log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// ask sends a request with headers, each "Name: value".
func (r running) ask(t *testing.T, method, path string, headers ...string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// end stops the daemon, and returns the lines that it wrote.
func (r running) end(t *testing.T, out *lines) []map[string]any {
	t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range strings.Lines(out.text()) {
		fields := map[string]any{}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, fields)
	}
	return all
}

func TestAccessLog(t *testing.T) {
	server := vaulttest.NewServer(t)
	cfg := parse(t, fmt.Sprintf(`vault { address = %q }
cache {}
access_log { exclude = ["sys/health", "/proxy/v1/metrics"] }
listener "tcp" {
  address                = "127.0.0.1:0"
  tls_disable            = true
  require_request_header = true
  rule "sys/raw/*" { action = "deny" }
  rule "*" { action = "allow" }
}`, server.URL))
	cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent
	out := &lines{}
	r := run(t, cfg, daemon.Options{Token: vault.NewToken(vaulttest.RootToken), Stdout: out})
	const must, secret = "X-Vault-Request: true", "?secret=of-the-query"
	r.ask(t, "GET", "/v1/leaser/creds/app?ttl=3600", must)
	r.ask(t, "GET", "/v1/leaser/creds/app?ttl=3600", must, "Traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	r.ask(t, "GET", "/v1/secret/data/none"+secret, must, "X-Vault-Token: hvs.somebody-else", "Traceparent: 00-nonsense")
	r.ask(t, "GET", "/v1/secret/data/none", must, "X-Vault-Token: hvs.somebody-else")
	r.ask(t, "GET", "/v1/auth/token/lookup/hvs.in-the-path", must)
	r.ask(t, "GET", "/v1/secret/data/none")
	r.ask(t, "GET", "/v1/sys/raw/x", must)
	r.ask(t, "GET", "/v1/sys/health", must)
	r.ask(t, "GET", "/proxy/v1/metrics", must)
	r.ask(t, "GET", "/proxy/v1/readyz", must)
	got := r.end(t, out)

	for i, want := range []map[string]any{
		{"route": "lease", "path": "/v1/leaser/creds/app", "status": 200.0, "outcome": "MISS", "upstream_status": 200.0, "tries": 1.0, "lent": true, "denied": nil, "trace_id": nil},
		{"route": "lease", "status": 200.0, "outcome": "HIT", "upstream_status": nil, "tries": nil, "lent": true, "trace_id": "0123456789abcdef0123456789abcdef"},
		{"route": "kv", "path": "/v1/secret/data/none", "lent": nil, "tries": 1.0, "outcome": nil, "trace_id": nil, "accessor_hash": nil},
		{"route": "kv", "lent": nil},
		{"route": "lookup", "path": "/v1/auth/token/lookup/[redacted]"},
		{"status": 412.0, "denied": `missing "X-Vault-Request" header`, "token_hash": nil, "accessor_hash": nil},
		{"status": 403.0, "denied": "rule 1 of this listener of Leasehold denies this", "route": "sys"},
		{"status": 200.0, "route": "own", "path": "/proxy/v1/readyz"},
	} {
		if i >= len(got) {
			t.Fatalf("%d lines: %s", len(got), out.text())
		}
		for field, value := range want {
			if got[i][field] != value {
				t.Errorf("line %d: %s = %v, want %v", i, field, got[i][field], value)
			}
		}
		for _, field := range []string{"time", "address", "method", "path", "route", "status", "duration", "bytes"} {
			if _, has := got[i][field]; !has {
				t.Errorf("line %d has no %s", i, field)
			}
		}
	}
	if len(got) != 8 {
		t.Errorf("%d lines, want 8: %s", len(got), out.text())
	}
	if a, b := got[0]["accessor_hash"], got[1]["accessor_hash"]; a == nil || a != b {
		t.Errorf("the token that was lent is %v, then %v", a, b)
	}
	if a, b := got[2]["token_hash"], got[3]["token_hash"]; a == nil || a != b || a == got[0]["accessor_hash"] {
		t.Errorf("the other token is %v, then %v", a, b)
	}
	for _, secret := range []string{vaulttest.RootToken, "somebody-else", "in-the-path", "of-the-query"} {
		if strings.Contains(out.text(), secret) {
			t.Errorf("%q is in the access log", secret)
		}
	}
}

// The access log comes, changes and goes with a reload.
func TestReloadingTheAccessLog(t *testing.T) {
	server, dir := vaulttest.NewServer(t), t.TempDir()
	rest := fmt.Sprintf("vault { address = %q }\n", server.URL) + listenerAndCache
	stanza := func(name, more string) string {
		return fmt.Sprintf("access_log {\n path = %q\n%s\n}\n", filepath.Join(dir, name), more)
	}
	r := startReloading(t, rest)
	for _, step := range []struct{ path, stanza, says string }{
		{"a", "", ""},
		{"b", stanza("one.log", ""), "msg=changed setting=access_log"},
		{"c", stanza("none/one.log", ""), "test.hcl:1: access_log: "},
		{"d", stanza("one.log", `exclude = ["sys/e"]`), "msg=changed setting=access_log"},
		{"e", "", ""},
		{"f", stanza("two.log", ""), "msg=changed setting=access_log"},
		{"g", " ", "msg=changed setting=access_log"},
		{"h", stanza("three.log", ""), "msg=changed setting=access_log"},
	} {
		if step.stanza != "" {
			if said := r.to(t, step.stanza+rest); !strings.Contains(said, step.says) {
				t.Errorf("before %s: want %s in\n%s", step.path, step.says, said)
			}
		}
		r.ask(t, "GET", "/v1/sys/"+step.path)
	}
	paths := func(name string) (all []string) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			_, path, _ := strings.Cut(line, `"/v1/sys/`)
			all = append(all, path[:1])
		}
		return all
	}
	deadline := time.After(30 * time.Second)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for len(paths("three.log")) == 0 { // lines come in their order
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("the last line does not come")
		}
	}
	for name, want := range map[string]string{"one.log": "b c d", "two.log": "f", "three.log": "h"} {
		if got := strings.Join(paths(name), " "); got != want {
			t.Errorf("%s has the lines of %s, want %s", name, got, want)
		}
	}
}

// A pipe that nobody reads holds up no stop for good.
func TestAnAccessLogThatNobodyReads(t *testing.T) {
	server := vaulttest.NewServer(t)
	cfg := parse(t, fmt.Sprintf(`vault { address = %q }
access_log {}
listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
}`, server.URL))
	unread, to := io.Pipe()
	log := &logText{}
	r := run(t, cfg, daemon.Options{Stdout: to, Log: slog.New(slog.NewTextHandler(log, nil))})
	t.Cleanup(func() { _ = unread.Close() }) // before goleak looks
	r.ask(t, "GET", "/v1/sys/health")
	r.stop()
	if err := <-r.done; err != nil || !strings.Contains(log.String(), "the last lines of access_log are lost") {
		t.Errorf("ended with %v; log: %s", err, log)
	}
}
