package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// patience bounds each wait for the binary. It is long because machines are slow: no test passes or fails by it alone.
const patience = 15 * time.Second

// noAdmin leaves no place for an admin socket, which tests that run side by side would share.
const noAdmin = "XDG_RUNTIME_DIR=" + noRuntime

const noRuntime = "/nonexistent"

// proxy is one run of the binary.
type proxy struct {
	URLs []string // the tcp listeners' addresses in the order of the log, each as "http://127.0.0.1:port"

	cmd    *exec.Cmd
	log    *output
	told   *telling      // what it tells beside the log; nil when that is not searched
	exited chan struct{} // closed when the process has ended
}

// option changes how the binary is run, before it starts.
type option func(t *testing.T, cmd *exec.Cmd)

// env adds "NAME=value" to the environment. The binary sees no VAULT_* variable of the developer's.
func env(vars ...string) option {
	return func(_ *testing.T, cmd *exec.Cmd) { cmd.Env = append(cmd.Env, vars...) }
}

// startProxy runs the binary with this configuration until the test ends, and waits until it listens and holds its token.
// Listeners should have the port 0: the log tells which one they got.
func startProxy(t *testing.T, hcl string, opts ...option) *proxy {
	t.Helper()
	p := launch(t, hcl, opts...)
	p.waitLog(t, "msg=ready")
	p.waitListening(t, strings.Count(hcl, `listener "tcp"`))
	return p
}

// launch runs the binary with this configuration until the test ends, and waits for nothing.
func launch(t *testing.T, hcl string, opts ...option) *proxy {
	t.Helper()
	config := filepath.Join(t.TempDir(), "proxy.hcl")
	if err := os.WriteFile(config, []byte(hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, []string{"-config=" + config}, opts...)
}

// start runs the binary with these arguments until the test ends, and waits for nothing.
func start(t *testing.T, args []string, opts ...option) *proxy {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{log: &output{}, exited: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), noAdmin, "GORACE=halt_on_error=1", "VAULT_LOG_FORMAT=logfmt",
		tellSwitch + "=" + os.Getenv(tellSwitch)}
	for _, o := range opts {
		o(t, p.cmd)
	}
	p.told = tell(t, p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // its outcome is in ProcessState
	}()
	t.Cleanup(func() { p.finish(t) })
	return p
}

// finish ends a process that the test left running and checks what holds for every run: a clean exit, no secret in the log, no race.
func (p *proxy) finish(t *testing.T) {
	select {
	case <-p.exited:
	default:
		p.stop(t)
	}
	out := p.log.String()
	for _, s := range seenIn(out) {
		t.Errorf("a secret is in the log: the one that begins %.8q", s)
	}
	for _, leak := range p.told.leaks() {
		t.Errorf("a secret, accessor or lease id is where it must not be: %s", leak)
	}
	if strings.Contains(out, "DATA RACE") {
		t.Error("the race detector found a race")
	}
	if t.Failed() {
		t.Logf("log of the binary:\n%s", out)
	}
}

// stop asks the process to end with SIGTERM, as systemd and Kubernetes do, and expects exit code 0.
func (p *proxy) stop(t *testing.T) {
	t.Helper()
	if err := p.told.ask(); err != nil && !p.ending() {
		t.Errorf("asked what there is to tell: %v", err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("SIGTERM: %v", err)
	}
	p.wantExit(t, 0)
}

// ending reports whether the process has ended or is about to.
func (p *proxy) ending() bool {
	select {
	case <-p.exited:
		return true
	default:
		return strings.Contains(p.log.String(), "stopping")
	}
}

// wantExit waits until the process has ended and checks its exit code. A process that does not end is killed.
func (p *proxy) wantExit(t *testing.T, code int) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		t.Errorf("the process was still running after %v", patience)
		return
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code = %d, want %d", got, code)
	}
}

// waitLog waits until the log contains text. It fails at once when the process ends before.
func (p *proxy) waitLog(t *testing.T, text string) {
	t.Helper()
	eventually(t, "the log says "+text, func() bool {
		if strings.Contains(p.log.String(), text) {
			return true
		}
		select {
		case <-p.exited:
			t.Fatalf("the process ended with exit code %d; its log never said %s", p.cmd.ProcessState.ExitCode(), text)
		default:
		}
		return false
	})
}

var listening = regexp.MustCompile(`msg=listening .*\baddress=(127\.0\.0\.1:\d+)`)

// waitListening waits until n listeners are open and fills in URLs.
func (p *proxy) waitListening(t *testing.T, n int) {
	t.Helper()
	eventually(t, "all listeners are open", func() bool {
		found := listening.FindAllStringSubmatch(p.log.String(), -1)
		p.URLs = nil
		for _, m := range found {
			p.URLs = append(p.URLs, "http://"+m[1])
		}
		return len(found) >= n
	})
}

// do sends one request to the first listener. A header is written "Name: value".
func (p *proxy) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	a, err := send(t.Context(), method, p.URLs[0]+path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// answer is a whole HTTP answer.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// client sends what a test says and nothing else: no compression, no redirect followed, no keep-alive that outlives a listener.
var client = &http.Client{
	Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send is do for any URL, also Vault's own, and for goroutines that must not end the test themselves.
// It remembers the secrets in the answer, so that finish finds them in the log.
func send(ctx context.Context, method, url, body string, headers ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if req.Header.Add(name, value); http.CanonicalHeaderKey(name) == "Host" {
			req.Host = value
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Body, err = io.ReadAll(resp.Body); err != nil {
		return answer{}, err
	}
	if s, err := api.ParseSecret(bytes.NewReader(a.Body)); err == nil && s != nil {
		if s.Auth != nil {
			remember(s.Auth.ClientToken)
		}
		if password, ok := s.Data["password"].(string); ok {
			remember(password)
		}
	}
	return a, nil
}

// secret reads an answer that must be a Vault secret with status 200.
func (a answer) secret(t *testing.T) *api.Secret {
	t.Helper()
	s, err := api.ParseSecret(bytes.NewReader(a.Body))
	if a.Status != http.StatusOK || err != nil || s == nil {
		t.Fatalf("answer = %d %q, want a secret (%v)", a.Status, a.Body, err)
	}
	return s
}

// eventually waits until cond is true, and fails the test after patience.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("after %v still not: %s", patience, what)
		case <-again.C:
		}
	}
}

// output keeps what a process writes, for readers at any time.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
