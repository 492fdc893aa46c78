package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"
)

// When the service manager starts this test's binary, as the service that the test installs, it is one. Not by way of runAsService: Wine's service
// manager has no session of its own to be known by.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], "-config=") {
		h := &serviceHandler{args: os.Args[1:]}
		if err := svc.Run("", h); err != nil {
			os.Exit(exitFailure)
		}
		os.Exit(h.code)
	}
	os.Exit(m.Run())
}

// The life of a service, told by the service manager: it registers one, so it runs only where it is asked to, as an administrator.
func TestServiceManager(t *testing.T) {
	if os.Getenv("LEASEHOLD_TEST_SERVICE") == "" {
		t.Skip("LEASEHOLD_TEST_SERVICE is not set")
	}
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":{}}`) }))
	defer vault.Close()
	s := newTestService(t, vault.URL)

	s.start(t)
	s.awaits(t, svc.Running)
	answer, err := http.Get("http://" + s.address + "/v1/secret/x")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || string(body) != `{"data":{}}` {
		t.Errorf("%q, %v", body, err)
	}
	if text := s.awaitsLog(t, "ready"); !strings.Contains(text, "log_file is a relative path, which is from ") {
		t.Errorf("no warning of the relative path in:\n%s", text)
	}

	s.configure(t, `log_level = "debug"`)
	if _, err := s.Control(svc.ParamChange); err != nil {
		t.Fatal(err)
	}
	if text := s.awaitsLog(t, "reloaded"); !strings.Contains(text, "log_level") {
		t.Errorf("no change of log_level in:\n%s", text)
	}

	if _, err := s.Control(svc.Stop); err != nil {
		t.Fatal(err)
	}
	if status := s.awaits(t, svc.Stopped); status.Win32ExitCode != 0 {
		t.Errorf("stopped with %+v", status)
	}

	s.configure(t, `listener "tcp" {}`)
	s.start(t)
	if status := s.awaits(t, svc.Stopped); status.ServiceSpecificExitCode != exitFailure {
		t.Errorf("a broken configuration: %+v", status)
	}
}

// testService is a service of this test's binary, in a directory with a blank in its name.
type testService struct {
	*mgr.Service
	dir, address, vault string
}

func newTestService(t *testing.T, vault string) *testService {
	t.Helper()
	dir, err := os.MkdirTemp("", "lease hold") // which stays: Wine cannot remove it as Go does
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &testService{dir: dir, address: free.Addr().String(), vault: vault}
	_ = free.Close()
	s.configure(t, "")
	m, err := mgr.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Disconnect() })
	o, err := parseService([]string{"install", "-name=Leasehold Test", "-user=LocalSystem", "-config=" + filepath.Join(dir, "leasehold.hcl")}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	if err := install(m, o, &told); err != nil {
		t.Fatal(err)
	}
	t.Log(told.String())
	if s.Service, err = m.OpenService(o.name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = s.Control(svc.Stop) // it may have stopped
		_ = s.Delete()
		_ = s.Close()
		_ = eventlog.Remove(o.name)
	})
	return s
}

func (s *testService) configure(t *testing.T, more string) {
	t.Helper()
	text := fmt.Sprintf("log_file = \"leasehold.log\"\nvault { address = %q }\ncache {}\nlistener \"tcp\" {\n  address = %q\n  tls_disable = true\n}\n%s\n", s.vault, s.address, more)
	if err := os.WriteFile(filepath.Join(s.dir, "leasehold.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *testService) start(t *testing.T) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

// patience is for a machine that has much else to do.
const patience = 2 * time.Minute

func (s *testService) awaits(t *testing.T, want svc.State) (status svc.Status) {
	t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); ; <-poll.C {
		status, err := s.Query()
		if err != nil {
			t.Fatal(err)
		}
		if status.State == want {
			return status
		}
		if time.Now().After(deadline) {
			t.Fatalf("state %d, want %d", status.State, want)
		}
	}
}

func (s *testService) awaitsLog(t *testing.T, word string) string {
	t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); ; <-poll.C {
		text, err := os.ReadFile(filepath.Join(s.dir, "leasehold.log"))
		if strings.Contains(string(text), word) {
			return string(text)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, and no %q in:\n%s", err, word, text)
		}
	}
}
