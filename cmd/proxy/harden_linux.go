package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// harden keeps the memory of this process, which holds tokens and secrets, out of core files and out of reach of other processes of the same user
// (ptrace, /proc/PID/mem).
func harden() error {
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
	)
}
