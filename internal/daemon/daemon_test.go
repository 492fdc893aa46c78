package daemon_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

func TestMain(m *testing.M) {
	os.Setenv("XDG_RUNTIME_DIR", "/nonexistent") // no place for an admin socket, which tests would share
	os.Unsetenv("RUNTIME_DIRECTORY")
	goleak.VerifyTestMain(m)
}

// running is a daemon in front of a scripted Vault.
type running struct {
	url  string
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, cfg *config.Config, o daemon.Options) running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := running{stop: stop, done: make(chan error, 1)}
	started := make(chan daemon.Started, 1)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Ready = func(s daemon.Started) { started <- s }
	go func() { r.done <- daemon.Run(ctx, cfg, o) }()
	t.Cleanup(stop)
	select {
	case s := <-started:
		r.url = s.Listeners[0]
	case err := <-r.done:
		t.Fatalf("the daemon ended before it was ready: %v", err)
	}
	return r
}

func (r running) do(t *testing.T, method, path string) (status int, cache, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("X-Cache"), string(text)
}

func parse(t *testing.T, hcl string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.hcl", []byte(hcl), config.Options{LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const listenerAndCache = `
cache {}
listener "tcp" {
  address = "127.0.0.1:0"
  tls_disable = true
  proxy_api { enable_quit = true }
}`

// Every part is there and has an end: a miss, a hit, and a stop by quit or by the context, with no goroutine left (goleak).
func TestRun(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, r running){
		"quit": func(t *testing.T, r running) {
			if status, _, body := r.do(t, http.MethodPost, "/proxy/v1/quit"); status != http.StatusOK {
				t.Errorf("quit = %d %s", status, body)
			}
		},
		"stopped": func(_ *testing.T, r running) { r.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			server := vaulttest.NewServer(t)
			pid := filepath.Join(t.TempDir(), "pid")
			cfg := parse(t, fmt.Sprintf("pid_file = %q\nvault { address = %q }\n", pid, server.URL)+listenerAndCache)
			cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent
			r := run(t, cfg, daemon.Options{Token: vault.NewToken(vaulttest.RootToken)})
			if text, err := os.ReadFile(pid); err != nil || string(text) != fmt.Sprint(os.Getpid()) {
				t.Errorf("pid file = %q, %v", text, err)
			}
			const path = "/v1/leaser/creds/app?ttl=3600"
			_, first, body := r.do(t, http.MethodGet, path)
			_, second, again := r.do(t, http.MethodGet, path)
			if first != "MISS" || second != "HIT" || len(body) == 0 || len(again) == 0 {
				t.Errorf("X-Cache = %s, then %s: %s", first, second, body)
			}
			end(t, r)
			if err := <-r.done; err != nil {
				t.Errorf("Run = %v", err)
			}
			if _, err := os.Stat(pid); !os.IsNotExist(err) {
				t.Errorf("the pid file is still there: %v", err)
			}
		})
	}
}

// Clients that trickle, stop halfway, or vanish leave no goroutine behind (goleak): a stop right after them has nothing to wait for.
func TestBadClients(t *testing.T) {
	underWay := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		switch r.URL.Path {
		case "/v1/hold":
			underWay <- struct{}{}
			<-r.Context().Done()
		case "/v1/endless":
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}
	}))
	defer server.Close()
	hcl := fmt.Sprintf("shutdown_timeout = \"10m\"\nvault { address = %q }\n", server.URL) +
		strings.Replace(listenerAndCache, "tls_disable = true", "tls_disable = true\n  http_read_header_timeout = \"1s\"\n  http_read_timeout = \"1s\"", 1)
	r := run(t, parse(t, hcl), daemon.Options{})
	for range 10 {
		for _, c := range []struct {
			sends string
			until func(net.Conn)
		}{
			{"", func(net.Conn) {}},
			{"GET /v1/x HTTP/1.1\r\nX-Slow", func(net.Conn) {}},
			{"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf", func(net.Conn) {}},
			{"POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha", func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }},
			{"GET /v1/hold HTTP/1.1\r\nHost: h\r\n\r\n", func(net.Conn) { <-underWay }},
			{"GET /v1/endless HTTP/1.1\r\nHost: h\r\n\r\n", func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 1000)) }},
		} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, c.sends); err != nil {
				t.Fatal(err)
			}
			c.until(conn)
			if strings.HasPrefix(c.sends, "GET /v1/x") || strings.Contains(c.sends, "half") {
				defer conn.Close() // stays open: the server has to end it
			} else {
				_ = conn.Close()
			}
		}
	}
	r.stop()
	if err := <-r.done; err != nil { // after ten minutes, were a request still under way
		t.Error(err)
	}
}

// A state file belongs to one Vault: another one's secrets are never answered from it, nor is its token sent there.
func TestStateFileIsBoundToItsVault(t *testing.T) {
	dir := t.TempDir()
	const path = "/v1/leaser/creds/app?ttl=3600"
	servers := []*vaulttest.Server{vaulttest.NewServer(t), vaulttest.NewServer(t)}
	for i, want := range []string{"MISS", "MISS"} {
		hcl := fmt.Sprintf("vault { address = %q }\ncache { persist \"file\" { path = %q key_file = %q } }\n", servers[i].URL, dir, filepath.Join(dir, "key"))
		cfg := parse(t, hcl+strings.Replace(listenerAndCache, "cache {}", "", 1))
		cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent
		for _, want := range []string{want, "HIT"} { // the second start on the same Vault
			r := run(t, cfg, daemon.Options{Token: vault.NewToken(vaulttest.RootToken)})
			if _, got, body := r.do(t, http.MethodGet, path); got != want {
				t.Errorf("server %d: X-Cache = %s, want %s: %s", i, got, want, body)
			}
			r.stop()
			if err := <-r.done; err != nil {
				t.Error(err)
			}
		}
	}
}

func TestRunFailsWithASentence(t *testing.T) {
	for name, c := range map[string]struct{ hcl, want string }{
		"pid file":   {`pid_file = "/nowhere/pid"`, "pid_file: Error storing PID"},
		"state file": {`cache { persist "file" { path = "/nowhere" key_file = "/nowhere/key" } }`, "test.hcl:1: cache: "},
		"sink":       {`auto_auth { method "token_file" { config = { token_file_path = "x" } } sink "file" { config = { path = "/nowhere/token" } } }`, "test.hcl:1: auto_auth: "},
		"CA file":    {`vault { ca_cert = "/nowhere/ca.pem" }`, "test.hcl:1: vault: "},
	} {
		t.Run(name, func(t *testing.T) {
			hcl := c.hcl + listenerAndCache
			if strings.HasPrefix(c.hcl, "cache") {
				hcl = c.hcl + strings.Replace(listenerAndCache, "cache {}", "", 1)
			}
			err := daemon.Run(t.Context(), parse(t, hcl), daemon.Options{Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run = %v, want %q", err, c.want)
			}
		})
	}
}

func TestQuickToken(t *testing.T) {
	for name, c := range map[string]struct {
		env, file string
		want, err string
	}{
		"environment":          {"from-env", "from-file", "from-env", ""},
		"file":                 {"", "from-file\n", "from-file", ""},
		"neither":              {"", "", "", "run `vault login`"},
		"a file that is empty": {"", "\n", "", "run `vault login`"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("VAULT_TOKEN", c.env)
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(home, ".vault-token"), []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			token, err := daemon.QuickToken()
			if token.Reveal() != c.want || (err != nil) != (c.err != "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
				t.Errorf("token found: %v, error %v; want %q", !token.IsZero(), err, c.err)
			}
		})
	}
}
