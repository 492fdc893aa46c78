package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
	"leasehold/internal/vaulttest"
)

// Each key has a verdict, and each verdict a key.
func TestEveryKeyHasAVerdict(t *testing.T) {
	known := map[string]bool{}
	for _, key := range config.Keys() {
		known[key] = true
		if _, ok := daemon.Verdicts[key]; !ok {
			t.Errorf("what does a reload do with %s? Say so in verdicts, and in docs/operations.md", key)
		}
	}
	for key := range daemon.Verdicts {
		if !known[key] {
			t.Errorf("the verdict of %s is for no key", key)
		}
	}
}

// The operator's table says the same as the verdicts.
func TestTheTableOfReloads(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| stanza | at once | after a restart |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	said := map[string]bool{}
	for _, line := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			t.Fatalf("row %q", line)
		}
		stanza := strings.Trim(cells[1], " `")
		for column, live := range map[int]bool{2: true, 3: false} {
			for word := range strings.SplitSeq(cells[column], ",") {
				key := strings.Trim(word, " `")
				if key != stanza && stanza != "(top level)" {
					key = stanza + "." + key
				}
				said[key] = live
			}
		}
	}
	for key, live := range daemon.Verdicts {
		if got, ok := said[key]; !ok || got != live {
			t.Errorf("%s: the table says %v, %v; the verdict is %v", key, got, ok, live)
		}
	}
}

// reloading is a daemon whose file can be changed.
type reloading struct {
	running
	reload chan struct{}
	log    *logText

	mu   sync.Mutex
	text string
	fail error

	level   slog.Level // the last one set
	reopens int
}

type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (r *reloading) SetLevel(level slog.Level) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.level = level
}

func (r *reloading) Reopen() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reopens++
	return nil
}

func startReloading(t *testing.T, hcl string) *reloading {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &reloading{reload: make(chan struct{}, 1), log: &logText{}, text: hcl}
	r.running = running{stop: stop, done: make(chan error, 1)}
	started := make(chan daemon.Started, 1)
	options := daemon.Options{
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Reload: r.reload, Logs: r,
		Ready: func(s daemon.Started) { started <- s },
		Load: func() (*config.Config, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.fail != nil {
				return nil, r.fail
			}
			return config.Parse("test.hcl", []byte(r.text), config.Options{LookupEnv: func(string) (string, bool) { return "", false }})
		},
	}
	go func() { r.done <- daemon.Run(ctx, parse(t, hcl), options) }()
	select {
	case s := <-started:
		r.url = s.Listeners[0]
	case err := <-r.done:
		t.Fatalf("the daemon ended before it was ready: %v", err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-r.done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return r
}

// to reloads with another file, and returns what the log says of it.
func (r *reloading) to(t *testing.T, hcl string) string {
	t.Helper()
	r.mu.Lock()
	r.text = hcl
	r.mu.Unlock()
	before := len(r.log.String())
	r.reload <- struct{}{}
	deadline := time.After(30 * time.Second)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		said := r.log.String()[before:]
		if strings.Contains(said, " took=") {
			return said
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("no reload; log: %s", said)
		}
	}
}

// answered is the status of what reaches the scripted Vault, which does not know the path.
const answered = http.StatusNotFound

const guarded = `listener "tcp" {
  address = "127.0.0.1:0"
  tls_disable = true
  require_request_header = true
}
`

func TestReload(t *testing.T) {
	server := vaulttest.NewServer(t)
	open := fmt.Sprintf("vault { address = %q }\n", server.URL) + listenerAndCache
	closed := fmt.Sprintf("vault { address = %q }\ncache {}\n", server.URL) + guarded
	r := startReloading(t, open)
	status := func() int {
		t.Helper()
		got, _, _ := r.do(t, http.MethodGet, "/v1/sys/health")
		return got
	}
	want := func(said string, lines ...string) {
		t.Helper()
		for _, line := range lines {
			if !strings.Contains(said, line) {
				t.Errorf("log lacks %q:\n%s", line, said)
			}
		}
	}
	if got := status(); got != answered {
		t.Fatalf("status = %d", got)
	}
	want(r.to(t, "# moved\n"+open), `msg="reloaded: nothing has changed" changed=0 files_read=0 need_restart=0`)
	want(r.to(t, closed), `msg=changed setting=listener[0].require_request_header old=false new=true`, `msg=changed setting=listener[0].enable_quit`, `msg=reloaded changed=2`)
	if got := status(); got != http.StatusPreconditionFailed {
		t.Errorf("with require_request_header: status = %d", got)
	}
	want(r.to(t, open+"\nmisspelt = {\n"), `level=ERROR msg=configuration`, `msg="not reloaded: nothing has changed`)
	want(r.to(t, strings.Replace(open, "vault {", "vault {\n ca_cert = \"/nowhere\"\n", 1)), "/nowhere", `msg="not reloaded: nothing has changed`)
	if got := status(); got != http.StatusPreconditionFailed {
		t.Errorf("after reloads that were refused: status = %d", got)
	}
	waits := open + "\npid_file = \"/run/x\"\nlog_level = \"debug\"\n"
	want(r.to(t, waits), `level=WARN msg="needs a restart" setting=pid_file`, `setting=log_level`, `need_restart=1`)
	want(r.to(t, waits), `msg="needs a restart" setting=pid_file`, `msg="reloaded: nothing has changed" changed=0 files_read=0 need_restart=1`)
	if got := status(); got != answered {
		t.Errorf("open again: status = %d", got)
	}
	r.mu.Lock()
	if r.level != slog.LevelDebug || r.reopens != 6 {
		t.Errorf("level = %v, reopened %d times, want 6", r.level, r.reopens)
	}
	r.fail = errors.New("the directory is gone")
	r.mu.Unlock()
	want(r.to(t, open), `problem="the directory is gone"`, `msg="not reloaded`)
	_, _, metrics := r.do(t, http.MethodGet, "/proxy/v1/metrics")
	want(metrics, "leasehold_reloads 4\n", "leasehold_reloads_failed 3\n", "leasehold_reload_last_success 1")
}

// The limits of the cache: what is held stays, what is new has the new ones.
func TestReloadOfTheCache(t *testing.T) {
	server := vaulttest.NewServer(t)
	file := func(cache string) string {
		return fmt.Sprintf("vault { address = %q }\ncache {\n%s\n}\n", server.URL, cache) + strings.ReplaceAll(guarded, "  require_request_header = true\n", "")
	}
	r := startReloading(t, file(""))
	read := func(path, want string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Vault-Token", vaulttest.RootToken)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("X-Cache"); got != want || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, X-Cache %q, want %q", path, resp.StatusCode, got, want)
		}
	}
	const held, other = "/v1/auth/token/create-orphan", "/v1/auth/token/create-orphan?other=1"
	read(held, "MISS")
	read(held, "HIT")
	r.to(t, file("max_entries = 1"))
	read(held, "HIT")
	read(other, "MISS")
	read(other, "MISS")
	r.to(t, file(""))
	read(other, "MISS")
	read(other, "HIT")
	r.to(t, file(`rule "auth/token/*" { cache = false }`))
	read(held, "BYPASS")
	r.to(t, file("renew_rate = 3\nmax_entry_size = 10"))
	read(held, "HIT")
	read("/v1/auth/token/create-orphan?third=1", "MISS")
	read("/v1/auth/token/create-orphan?third=1", "MISS")
}

// Requests notice nothing of reloads but what they bring.
func TestReloadsUnderLoad(t *testing.T) {
	server := vaulttest.NewServer(t)
	files := []string{
		fmt.Sprintf("vault { address = %q }\n", server.URL) + listenerAndCache,
		fmt.Sprintf("vault {\n address = %q\n retry { num_retries = 3 }\n tls_server_name = \"x\"\n}\ncache {\n max_size = 100\n renew_rate = 1\n}\nlog_level = \"debug\"\n", server.URL) + strings.Replace(guarded, "require", "max_request_size = 7\n  require", 1),
	}
	r := startReloading(t, files[0])
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	transport := &http.Transport{MaxIdleConnsPerHost: 50}
	defer transport.CloseIdleConnections()
	for range 50 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil || n == 0; n++ {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/v1/sys/health", nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("X-Vault-Request", "true")
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != answered {
					t.Errorf("status = %d", resp.StatusCode)
				}
			}
		})
	}
	for n := range 20 {
		if said := r.to(t, files[(n+1)%2]); !strings.Contains(said, "msg=reloaded ") {
			t.Errorf("log: %s", said)
		}
	}
	stop()
	clients.Wait()
}

func TestReloadWithoutAFile(t *testing.T) {
	server := vaulttest.NewServer(t)
	log, reload, started := &logText{}, make(chan struct{}, 1), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	cfg := parse(t, fmt.Sprintf("vault { address = %q }\n", server.URL)+listenerAndCache)
	go func() {
		done <- daemon.Run(ctx, cfg, daemon.Options{Log: slog.New(slog.NewTextHandler(log, nil)), Reload: reload, Ready: func(daemon.Started) { close(started) }})
	}()
	<-started
	reload <- struct{}{}
	reload <- struct{}{}
	reload <- struct{}{} // the first was answered when there is room for a third
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "there is no configuration file") {
		t.Errorf("log: %s", log)
	}
}

// No reload leaves anything behind that runs.
func TestManyReloads(t *testing.T) {
	server := vaulttest.NewServer(t)
	hcl := fmt.Sprintf("vault { address = %q }\n", server.URL) + listenerAndCache
	r := startReloading(t, hcl)
	r.to(t, hcl)
	before := runtime.NumGoroutine()
	for n := range 100 {
		r.to(t, fmt.Sprintf("log_level = %q\n", []string{"debug", "info"}[n%2])+strings.Replace(hcl, "vault {", fmt.Sprintf("vault {\n tls_server_name = \"x%d\"\n", n), 1))
	}
	if after := runtime.NumGoroutine(); after > before+50 { // looks at Vault and the like come and go
		t.Errorf("%d goroutines after 100 reloads, %d before", after, before)
	}
}
