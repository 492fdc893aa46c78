//go:build unix

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leasehold/test/e2e/realvault"
)

// notified is the receiving end of NOTIFY_SOCKET, and the option that tells the binary of it.
func notified(t *testing.T) (messages <-chan string, tell option) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // the name of a socket has a hundred bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	all := make(chan string, 1000)
	go func() {
		defer close(all)
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			all <- string(b[:n])
		}
	}()
	return all, env("NOTIFY_SOCKET=" + socket)
}

// until returns the messages up to the first that begins with what, that one included.
func until(t *testing.T, messages <-chan string, what string) (seen []string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case m, ok := <-messages:
			if seen = append(seen, m); ok && strings.HasPrefix(m, what) {
				return seen
			}
		case <-deadline:
			t.Fatalf("systemd was never told %s, but %q", what, seen)
		}
	}
}

// systemd hears READY when there is a token, STOPPING before requests under way are through, and between them that the process works.
func TestSystemdHearsOfTheLogin(t *testing.T) {
	v, arrived, release := gated(t)
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))
	if err := v.Interrupt(); err != nil {
		t.Fatal(err)
	}
	messages, tell := notified(t)
	p := launch(t, caching(v.Address, r), tell, env("WATCHDOG_USEC=100000"))
	p.waitListening(t, 1)
	p.waitLog(t, "connection refused")
	for len(messages) > 0 {
		if m := <-messages; strings.Contains(m, "READY") {
			t.Fatalf("systemd was told %q without a token", m)
		}
	}
	if err := v.Resume(); err != nil {
		t.Fatal(err)
	}
	if ready := until(t, messages, "READY=1"); !strings.Contains(ready[len(ready)-1], fmt.Sprintf("\nMAINPID=%d\n", p.cmd.Process.Pid)) {
		t.Errorf("READY = %q", ready[len(ready)-1])
	}
	p.waitLog(t, "msg=ready")
	until(t, messages, "WATCHDOG=1")
	go func() { _, _ = send(t.Context(), "GET", p.URLs[0]+"/v1/leaser/creds/slow?ttl=600", "") }()
	<-arrived
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, messages, "STOPPING=1")
	select {
	case <-p.exited:
		t.Error("the process ended with a request under way")
	default:
	}
	release()
	p.wantExit(t, 0)
}

// What ends the process before it is ready is no READY, but the way from a failure to systemd: the exit code.
func TestSystemdHearsNothingOfAFailedStart(t *testing.T) {
	messages, tell := notified(t)
	r := newAppRole(t, shared)
	if err := os.WriteFile(r.SecretIDFile, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	auth := strings.Replace(r.autoAuth(), "  method \"approle\" {", "  method \"approle\" {\n    exit_on_err = true", 1)
	p := launch(t, vaultStanza(shared.Address)+auth+injectToken+listenerStanza(), tell)
	p.wantExit(t, 1)
	for len(messages) > 0 {
		if m := <-messages; strings.HasPrefix(m, "READY") {
			t.Errorf("systemd was told %q", m)
		}
	}
}

// SIGUSR2 writes pprof's profiles where Vault Proxy does, for nobody else to read.
func TestProfiles(t *testing.T) {
	tmp := t.TempDir()
	p := startProxy(t, caching(shared.Address, newAppRole(t, shared)), env("TMPDIR="+tmp))
	dir := filepath.Join(tmp, "vault-proxy-pprof")
	for round := range 2 { // the second writes over what the first has left
		if err := p.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the profiles are written", func() bool {
			return strings.Count(p.log.String(), `msg="profiles written" directory=`+dir) == round+1
		})
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory = %v, %v", info, err)
	}
	for _, name := range []string{"goroutine", "heap", "allocs", "threadcreate", "profile"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s = %v, %v, want mode 0600", name, info, err)
		}
		if text := readFile(t, path); !strings.HasPrefix(text, "\x1f\x8b") {
			t.Errorf("%s begins with %.10q, want gzip", name, text)
		} else if found := seenIn(text); len(found) > 0 {
			t.Errorf("%s holds %d secrets", name, len(found))
		}
	}
	p.do(t, "GET", "/v1/sys/health", "") // it goes on serving
}

// The directory for temporary files is everybody's: what another has put there is not used.
func TestProfilesKeepOutOfOthersDirectories(t *testing.T) {
	for title, put := range map[string]func(t *testing.T, path, target string){
		"a link": func(t *testing.T, path, target string) {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		},
		"a file": func(t *testing.T, path, _ string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"of another user": func(t *testing.T, path, _ string) {
			if os.Getuid() != 0 {
				t.Skip("only root may give a directory away")
			}
			if err := os.Mkdir(path, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(title, func(t *testing.T) {
			tmp, target := t.TempDir(), t.TempDir()
			path := filepath.Join(tmp, "vault-proxy-pprof")
			put(t, path, target)
			p := startProxy(t, caching(shared.Address, newAppRole(t, shared)), env("TMPDIR="+tmp))
			if err := p.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			p.waitLog(t, `msg="profiles not written"`)
			for _, dir := range []string{path, target} {
				if entries, _ := os.ReadDir(dir); len(entries) > 0 {
					t.Errorf("%s holds %v", dir, entries)
				}
			}
		})
	}
}

// SIGUSR1 writes to standard error what a scrape gets.
func TestMetricsOnSignal(t *testing.T) {
	p := startProxy(t, caching(shared.Address, newAppRole(t, shared)))
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	p.waitLog(t, "\nvault_proxy_authenticated 1\n")
}

// The second signal ends the process by itself, as every program that does not catch it: a shell has 128 and its number, systemd calls it clean.
func TestSecondSignalEndsByItself(t *testing.T) {
	v, arrived, _ := gated(t)
	pid := filepath.Join(t.TempDir(), "pid")
	hcl := func() string {
		return fmt.Sprintf("shutdown_timeout = \"1h\"\npid_file = %q\n", pid) + caching(v.Address, newAppRole(t, v, newPolicy(t, v, "leaser/*: read")))
	}
	messages, tell := notified(t)
	p := startProxy(t, hcl(), tell)
	go func() { _, _ = send(t.Context(), "GET", p.URLs[0]+"/v1/leaser/creds/slow?ttl=600", "") }()
	<-arrived
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	until(t, messages, "STOPPING=1")
	eventually(t, "the process has ended", func() bool {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	})
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want by SIGTERM", p.cmd.ProcessState)
	}
	if got := readFile(t, pid); got != fmt.Sprint(p.cmd.Process.Pid) {
		t.Fatalf("pid file left behind = %q", got)
	}
	again := startProxy(t, hcl()) // a stale pid file is in nobody's way
	if got := readFile(t, pid); got != fmt.Sprint(again.cmd.Process.Pid) {
		t.Errorf("pid file = %q, want the new process", got)
	}
}

// A login that waits for Vault, and a wait between two of its attempts, end with the process.
func TestStopsWhileVaultIsAway(t *testing.T) {
	v, err := startVault(realvault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	remember(v.RootToken)
	r := newAppRole(t, v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	p := launch(t, caching(v.Address, r))
	p.waitListening(t, 1)
	p.waitLog(t, "connection refused")
	p.stop(t)
}
