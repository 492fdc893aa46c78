package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A full disk costs lines in the file, which standard error has, and nothing else.
func TestLogFileOnAFullDisk(t *testing.T) {
	d := newDisk(t)
	path := filepath.Join(d.dir, "proxy.log")
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, fmt.Sprintf("log_file = %q\nlog_level = \"debug\"\nlog_rotate_bytes = 4096\n", path)+caching(shared.Address, r), d.found())
	d.fill(t)
	eventually(t, "the file is full", func() bool {
		p.busy(t, 5)
		return strings.Contains(p.log.String(), "log_file cannot be written; ")
	})
	p.busy(t, 5)
	if n := strings.Count(p.log.String(), "log_file cannot be written; "); n != 1 {
		t.Errorf("standard error says so %d times, want once", n)
	}
	p.lease(t, "/v1/leaser/creds/full?ttl=600")
	d.free(t)
	p.busy(t, 1)
	p.waitLog(t, "log_file is written again; it lacks ")
	p.stop(t)
	if text := readFile(t, filepath.Join(d.here, "proxy.log")); !strings.HasSuffix(text, "msg=stopped\n") {
		t.Errorf("the file ends with %q", text[max(0, len(text)-200):])
	}
}
