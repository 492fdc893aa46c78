package e2e

import (
	"net/http"
	"syscall"
	"testing"
	"unsafe"
)

// limitFiles sets how many descriptors a process may have for now, and returns how many it might have before.
func limitFiles(t *testing.T, pid int, soft uint64) (before uint64) {
	t.Helper()
	prlimit := func(next, old *syscall.Rlimit) {
		t.Helper()
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_NOFILE, uintptr(unsafe.Pointer(next)), uintptr(unsafe.Pointer(old)), 0, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	var limit syscall.Rlimit
	prlimit(nil, &limit)
	before, limit.Cur = limit.Cur, soft
	prlimit(&limit, nil)
	return before
}

// A process that has no descriptor left accepts nobody, and does not tell the watchdog that it works: systemd would restart it. When there are some again
// it goes on.
func TestWatchdogOfAProcessWithoutDescriptors(t *testing.T) {
	messages, tell := notified(t)
	p := startProxy(t, vaultStanza(shared.Address)+listenerStanza(), tell, env("WATCHDOG_USEC=200000"))
	until(t, messages, "WATCHDOG=1")
	p.do(t, "GET", "/v1/sys/health", "")
	pid := p.cmd.Process.Pid
	before := limitFiles(t, pid, 3)
	p.waitLog(t, `msg="a listener does not accept connections"`)
	p.waitLog(t, "the process does not answer itself") // which is said instead of WATCHDOG=1
	for len(messages) > 0 {                            // those from before
		<-messages
	}
	limitFiles(t, pid, before)
	until(t, messages, "WATCHDOG=1")
	if got := p.do(t, "GET", "/v1/sys/health", "").Status; got != http.StatusOK {
		t.Errorf("status = %d", got)
	}
}
