package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// touchAs connects to a unix socket with the rights that a user has on files.
func touchAs(uid int, path string) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which has changed, ends with its goroutine
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(uid), 0, 0); errno != 0 {
			failed <- errno
			return
		}
		conn, err := net.Dial("unix", path)
		if err == nil {
			_ = conn.Close()
		}
		failed <- err
	}()
	return <-failed
}

// A socket may belong to the user of the application: he comes in, and other users do not.
func TestAUnixSocketOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give a socket away")
	}
	const owner, stranger = 65534, 65533
	path := socketPath(t)
	if err := os.Chmod(filepath.Dir(path), 0o711); err != nil {
		t.Fatal(err)
	}
	p := launch(t, unixStanza(path, fmt.Sprintf("socket_mode = \"0600\"\n  socket_user = \"%d\"", owner)))
	p.waitLog(t, "msg=ready")
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if of := info.Sys().(*syscall.Stat_t); of.Uid != owner || of.Gid != uint32(os.Getgid()) || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket is of %d:%d with mode %v", of.Uid, of.Gid, info.Mode())
	}
	if err := touchAs(owner, path); err != nil {
		t.Errorf("the owner: %v", err)
	}
	if err := touchAs(stranger, path); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a stranger: %v, want no permission", err)
	}
}

// A unix socket for the monitoring alone. There is neither a Vault nor an entry: requests cannot be answered, which is nothing to restart the process for.
func TestAUnixSocketForMetricsOnly(t *testing.T) {
	path := socketPath(t)
	p := launch(t, unixStanza(path, `role = "metrics_only"`))
	p.waitLog(t, "msg=ready")
	for url, want := range map[string]int{
		"/proxy/v1/metrics": http.StatusOK, "/agent/v1/metrics": http.StatusOK,
		"/proxy/v1/readyz": http.StatusServiceUnavailable, "/proxy/v1/readyz?require=listeners": http.StatusOK, "/proxy/v1/livez": http.StatusOK,
		"/v1/sys/health": http.StatusNotFound, "/v1/secret/x": http.StatusNotFound, "/proxy/v1/cache-clear": http.StatusNotFound, "/": http.StatusNotFound,
	} {
		if got := statusOver(t, path, url); got != want {
			t.Errorf("%s = %d, want %d", url, got, want)
		}
	}
}

// A listener that cannot accept any more ends the process, which says why: a supervisor starts another, where one that is only silent would be left alone.
func TestAListenerThatFails(t *testing.T) {
	bound, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer bound.Close()
	hcl := strings.Replace(listenerStanza(), "127.0.0.1:0", bound.Addr().String(), 1)
	p := launch(t, vaultStanza(shared.Address)+hcl+listenerStanza(), env("LISTEN_FDS=1"), handOver(bound))
	p.waitLog(t, "msg=ready")
	p.waitListening(t, 2)
	p.do(t, "GET", "/v1/sys/health", "")
	raw, err := bound.SyscallConn() // of the same socket as the one in the process
	if err != nil {
		t.Fatal(err)
	}
	var shut error
	if err := raw.Control(func(fd uintptr) { shut = syscall.Shutdown(int(fd), syscall.SHUT_RD) }); err != nil || shut != nil {
		t.Fatal(err, shut)
	}
	p.wantExit(t, 1)
	wantSaid(t, p.log.String(), "listener: accept on "+bound.Addr().String())
}
