package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync returns when what was written is on disk, and the size of the file if that has changed; other times of the file may wait.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
