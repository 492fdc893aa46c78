package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The demonstration shows what it says, and leaves no process and no file behind, also when it is interrupted.
func TestDemo(t *testing.T) {
	product, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	demo := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", demo, "./cmd/demo").CombinedOutput(); err != nil {
		t.Fatalf("build the demonstration: %v\n%s", err, out)
	}
	for title, c := range map[string]struct {
		interruptAt string // what it has printed by then
		code        int
		says        string
	}{
		"to the end":  {"", 0, "All of it was as told."},
		"interrupted": {"1. A miss", 130, ""},
	} {
		t.Run(title, func(t *testing.T) {
			files := t.TempDir()
			out := &output{}
			cmd := exec.Command(demo, "-binary="+product)
			cmd.Stdout, cmd.Stderr, cmd.Env = out, out, append(os.Environ(), "TMPDIR="+files)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, as a shell gives it
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			group := -cmd.Process.Pid
			t.Cleanup(func() { _ = syscall.Kill(group, syscall.SIGKILL) })
			if c.interruptAt != "" {
				eventually(t, "the demonstration is at "+c.interruptAt, func() bool { return strings.Contains(out.String(), c.interruptAt) })
				if err := syscall.Kill(group, syscall.SIGINT); err != nil { // Ctrl-C reaches the whole group
					t.Fatal(err)
				}
			}
			_ = cmd.Wait() // its outcome is in ProcessState
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit code %d, want %d; output:\n%s", code, c.code, out)
			}
			if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("a process of the demonstration is left: %v", err)
			}
			if left, err := os.ReadDir(files); err != nil || len(left) > 0 {
				t.Errorf("files left: %v %v", left, err)
			}
		})
	}
}
