//go:build unix

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// socketPath is a path that is short enough for a unix socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "l.sock")
}

func unixStanza(path, more string) string {
	return fmt.Sprintf("cache {}\nvault { address = \"http://127.0.0.1:1\" }\nlistener \"unix\" {\n  address = %q\n  tls_disable = true\n  %s\n}\n", path, more)
}

// healthOver asks over a unix socket for something that needs no Vault.
func healthOver(t *testing.T, path string) int {
	t.Helper()
	return statusOver(t, path, "/proxy/v1/metrics")
}

// statusOver asks over a unix socket.
func statusOver(t *testing.T, path, url string) int {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://leasehold" + url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// The file of a socket never shows another mode than the one that was asked for.
func TestAUnixSocketHasItsModeFromTheBeginning(t *testing.T) {
	path := socketPath(t)
	stop, seen := make(chan struct{}), make(chan map[os.FileMode]bool)
	go func() {
		modes := map[os.FileMode]bool{}
		for last := false; !last; { // the last look is one at the open socket, however slow this goroutine is
			select {
			case <-stop:
				last = true
			default:
			}
			if info, err := os.Lstat(path); err == nil {
				modes[info.Mode()] = true
			}
		}
		seen <- modes
	}()
	p := launch(t, unixStanza(path, `socket_mode = "0626"`))
	p.waitLog(t, "msg=ready")
	if got := healthOver(t, path); got != http.StatusOK {
		t.Errorf("status = %d", got)
	}
	close(stop)
	if modes := <-seen; len(modes) != 1 || !modes[os.ModeSocket|0o626] {
		t.Errorf("modes = %v", modes)
	}
	p.stop(t)
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

func TestAKilledProcessLeavesASocketThatTheNextReplaces(t *testing.T) {
	path := socketPath(t)
	first := launch(t, unixStanza(path, ""))
	first.waitLog(t, "msg=ready")
	second := launch(t, unixStanza(path, ""))
	second.wantExit(t, 1)
	if out := second.log.String(); !strings.Contains(out, path+" is in use by another process") {
		t.Errorf("output = %s", out)
	}
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-first.exited
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	third := launch(t, unixStanza(path, ""))
	third.waitLog(t, "msg=ready")
	if got := healthOver(t, path); got != http.StatusOK {
		t.Errorf("status = %d", got)
	}
}

// Vault's own client speaks to the socket by its URL.
func TestVaultsClientOverAUnixSocket(t *testing.T) {
	stand := newStandIn(t)
	path := socketPath(t)
	p := launch(t, strings.Replace(unixStanza(path, ""), "http://127.0.0.1:1", stand, 1))
	p.waitLog(t, "msg=ready")
	config := api.DefaultConfig()
	config.Address = "unix://" + path
	c, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Logical().ReadWithContext(t.Context(), "secret/x")
	if err != nil || s == nil || s.Data["path"] != "/v1/secret/x" {
		t.Errorf("secret = %v, %v", s, err)
	}
}

// newStandIn answers every request with its path, and returns its URL.
func newStandIn(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"data":{"path":%q}}`, r.URL.Path)
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return "http://" + ln.Addr().String()
}

// A socket that was bound before is taken over, by its address or by its name; LISTEN_PID is made by a shell that becomes the binary.
func TestSocketActivation(t *testing.T) {
	for name, more := range map[string]string{"by address": "", "by name": `systemd_socket = "mine"`} {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			bound, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			defer bound.Close()
			bound.SetUnlinkOnClose(false)
			spare, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer spare.Close()
			address := path
			if more != "" {
				address = "/nowhere/l.sock"
			}
			p := launch(t, unixStanza(address, more+"\n  socket_mode = \"0600\""), env("LISTEN_FDS=2", "LISTEN_FDNAMES=mine:spare"), handOver(bound, spare))
			p.waitLog(t, "msg=ready")
			if got := healthOver(t, path); got != http.StatusOK {
				t.Errorf("status = %d", got)
			}
			for _, want := range []string{"sockets that no listener uses", "spare at 127.0.0.1", "have no effect on a socket of systemd"} {
				if !strings.Contains(p.log.String(), want) {
					t.Errorf("the log does not say %s", want)
				}
			}
			p.stop(t)
			if _, err := os.Lstat(path); err != nil {
				t.Error("the file is systemd's, and was removed")
			}
		})
	}
}

// handOver gives sockets to the process as descriptors 3 and up.
func handOver(sockets ...interface{ File() (*os.File, error) }) option {
	return func(t *testing.T, cmd *exec.Cmd) {
		for _, s := range sockets {
			f, err := s.File()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
}

// The same by the tool of systemd.
func TestSystemdSocketActivate(t *testing.T) {
	tool, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("systemd-socket-activate is not installed")
	}
	path := socketPath(t)
	launch(t, unixStanza(path, ""), func(_ *testing.T, cmd *exec.Cmd) {
		cmd.Args = append([]string{tool, "--listen=" + path, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = tool
	})
	eventually(t, "systemd listens", func() bool { _, err := os.Lstat(path); return err == nil })
	if got := healthOver(t, path); got != http.StatusOK {
		t.Errorf("status = %d", got)
	}
}
