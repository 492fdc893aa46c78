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

// What the daemon's user may not write is found before the daemon is started, all of it in one run.
func TestValidateAsTheDaemonsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may become another user")
	}
	dir := publicDir(t)
	program, config := filepath.Join(dir, "leasehold"), filepath.Join(dir, "proxy.hcl")
	for _, name := range []string{"pid", "log"} {
		writeFile(t, filepath.Join(dir, name), "", 0o644) // root's
	}
	source, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if err := copyFile(program, source); err != nil {
		t.Fatal(err)
	}
	validate := func(hcl string) string {
		t.Helper()
		writeFile(t, config, hcl, 0o644)
		run := exec.CommandContext(t.Context(), program, "validate", "-config="+config)
		run.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		run.Env = []string{"HOME=/"}
		out, _ := run.CombinedOutput() // what it says tells more than its exit code
		return string(out)
	}
	files := func(pid, log, socket string) string {
		return fmt.Sprintf("pid_file = %q\nlog_file = %q\n", pid, log) + strings.Replace(unixStanza(socket, ""), "cache {}\n", "", 1)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	out := validate(files(in("pid"), in("log"), in("s.sock")))
	for _, want := range []string{"proxy.hcl:1:1: pid_file: " + in("pid") + ": permission denied", "proxy.hcl:2:1: log_file: " + in("log") + ": permission denied",
		"listener: the directory of the socket: " + dir + ": permission denied"} {
		wantSaid(t, out, want)
	}
	out = validate(files(in("later"), in("later"), in("s.sock")))
	for _, want := range []string{"proxy.hcl:1:1: the directory of pid_file: " + dir + ": permission denied", "proxy.hcl:2:1: the directory of log_file: " + dir + ": permission denied"} {
		wantSaid(t, out, want)
	}
	for _, name := range []string{"pid", "log"} { // his own, in a directory that is not
		if err := os.Chown(in(name), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	out = validate(files(in("pid"), in("log"), "@leasehold-validate"))
	wantSaid(t, out, "the configuration is good")
	wantSaid(t, out, "warning: "+config+":2: log_file cannot be rotated: "+dir+": permission denied")
}

// A pipe as a configuration file is refused, and not waited for: by the daemon, by validate, and in a directory.
func TestAPipeAsAConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.hcl")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-config=" + pipe}, {"-config=" + dir}, {"validate", "-config=" + pipe}} {
		p := start(t, args)
		p.wantExit(t, 1)
		wantSaid(t, p.log.String(), pipe+": this is no regular file; give -config a file or a directory")
	}
}
