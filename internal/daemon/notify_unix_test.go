//go:build unix

package daemon_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// systemd is the receiving end of NOTIFY_SOCKET.
type systemd struct{ *net.UnixConn }

// listenNotify makes the socket and says so in the environment. A name that begins with @ is abstract.
func listenNotify(t *testing.T, name string) systemd {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return systemd{conn}
}

// next is the next message.
func (s systemd) next(t *testing.T) string {
	t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := s.Read(b)
	if err != nil {
		t.Fatalf("systemd was told nothing more: %v", err)
	}
	return string(b[:n])
}

// await is the next message that is not of the watchdog, and how many of those came before.
func (s systemd) await(t *testing.T) (message string, watchdogs int) {
	t.Helper()
	for {
		m := s.next(t)
		if m != "WATCHDOG=1" {
			return m, watchdogs
		}
		watchdogs++
	}
}

func front(t *testing.T) *config.Config {
	t.Helper()
	cfg := parse(t, fmt.Sprintf("vault { address = %q }\n", vaulttest.NewServer(t).URL)+listenerAndCache)
	cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent
	return cfg
}

func TestSystemdIsTold(t *testing.T) {
	short, err := os.MkdirTemp("", "notify") // the name of a socket has a hundred bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	sockets := map[string]string{"a socket": filepath.Join(short, "s")}
	if runtime.GOOS == "linux" {
		sockets["an abstract socket"] = fmt.Sprintf("@leasehold-test-%d", os.Getpid())
	}
	for title, socket := range sockets {
		t.Run(title, func(t *testing.T) {
			s := listenNotify(t, socket)
			r := run(t, front(t), daemon.Options{Token: vault.NewToken(vaulttest.RootToken)})
			if m, _ := s.await(t); m != "STATUS=listening, not logged in yet" {
				t.Errorf("first message = %q", m)
			}
			ready := regexp.MustCompile(fmt.Sprintf(`^READY=1\nMAINPID=%d\nSTATUS=ready: http://127\.0\.0\.1:\d+ in front of http://\S+$`, os.Getpid()))
			if m, _ := s.await(t); !ready.MatchString(m) {
				t.Errorf("second message = %q", m)
			}
			if v, ok := os.LookupEnv("NOTIFY_SOCKET"); ok {
				t.Errorf("children would inherit NOTIFY_SOCKET=%s", v)
			}
			r.stop()
			if m, _ := s.await(t); !strings.HasPrefix(m, "STOPPING=1\n") {
				t.Errorf("last message = %q", m)
			}
			if err := <-r.done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWatchdog(t *testing.T) {
	for title, tc := range map[string]struct {
		usec, pid string
		want      bool
	}{
		"ours":              {"20000", fmt.Sprint(os.Getpid()), true},
		"whose is not said": {"20000", "", true},
		"another's":         {"20000", "1", false},
		"none":              {"", "", false},
		"no number":         {"soon", "", false},
		"negative":          {"-1", "", false},
		"zero":              {"0", "", false},
		"beyond all sense":  {"9223372036854775807", "", false},
	} {
		t.Run(title, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "notify")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			s := listenNotify(t, filepath.Join(dir, "s"))
			t.Setenv("WATCHDOG_USEC", tc.usec)
			t.Setenv("WATCHDOG_PID", tc.pid)
			r := run(t, front(t), daemon.Options{Token: vault.NewToken(vaulttest.RootToken)})
			if tc.want {
				for seen := 0; seen < 3; {
					if s.next(t) == "WATCHDOG=1" {
						seen++
					}
				}
			}
			r.stop()
			watchdogs := 0
			for m := ""; !strings.HasPrefix(m, "STOPPING=1"); {
				var n int
				m, n = s.await(t)
				watchdogs += n
			}
			if !tc.want && watchdogs > 0 {
				t.Errorf("the watchdog was told %d times", watchdogs)
			}
			if err := <-r.done; err != nil {
				t.Error(err)
			}
		})
	}
}

// A process that does not answer itself is not said to work, and goes on being looked at.
func TestWatchdogOfAProcessThatHangs(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := listenNotify(t, filepath.Join(dir, "s"))
	t.Setenv("WATCHDOG_USEC", "10000000")
	var log bytes.Buffer
	told := func() (n int) {
		_ = s.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // what was sent is there already
		for b := make([]byte, 100); ; n++ {
			if _, err := s.Read(b); err != nil {
				return n
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		hang := make(chan struct{})
		var done sync.WaitGroup
		done.Go(func() {
			daemon.FeedWatchdog(ctx, slog.New(slog.NewTextHandler(&log, nil)), func() error { <-hang; return nil })
		})
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if n := strings.Count(log.String(), "does not answer itself"); n != 12 {
			t.Errorf("in a minute of hanging the log says so %d times, want one in 5 s", n)
		}
		close(hang)
		time.Sleep(10 * time.Second)
		stop()
		done.Wait()
	})
	if n := told(); n != 3 {
		t.Errorf("the watchdog was told %d times, want thrice in 10 s of answering, and never before", n)
	}
}

// A systemd that is gone costs nothing but a word.
func TestNobodyListensToNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	r := run(t, front(t), daemon.Options{Token: vault.NewToken(vaulttest.RootToken)})
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}
