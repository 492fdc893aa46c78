package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The memory of the process holds tokens: no core file gets it, nor another process of the same user.
func TestMemoryIsProtected(t *testing.T) {
	p := startProxy(t, vaultStanza(shared.Address)+cacheStanza+listenerStanza())
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	var core string
	for line := range strings.Lines(readFile(t, proc+"limits")) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			core = strings.Join(strings.Fields(rest), " ")
		}
	}
	if core != "0 0 bytes" {
		t.Errorf("core file size = %q, want 0", core)
	}
	// A process that may not be traced belongs to root in /proc, whoever runs it.
	dir := publicDir(t)
	if err := copyFile(filepath.Join(dir, "leasehold"), p.cmd.Path); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "proxy.hcl")
	run := exec.Command(filepath.Join(dir, "leasehold"), "-config="+config)
	if os.Geteuid() == 0 {
		run.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if err := os.WriteFile(config, []byte(vaultStanza(shared.Address)+cacheStanza+listenerStanza()), 0o644); err != nil {
		t.Fatal(err)
	}
	log := &output{}
	run.Stderr, run.Env = log, []string{"HOME=/", "VAULT_LOG_FORMAT=logfmt"}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = run.Process.Kill(); _ = run.Wait() }()
	eventually(t, "it is ready as another user", func() bool { return strings.Contains(log.String(), "msg=ready") })
	info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", run.Process.Pid))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("its memory belongs to its user: %v %v", info, err)
	}
}

// publicDir is a directory that every user may read; those of t.TempDir are not.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "leasehold-e2e-public-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
