//go:build unix

package daemon

import (
	"os"

	"golang.org/x/sys/unix"
)

// writable tells why a file cannot be written, or why files cannot be made in a directory; nil when they can.
func writable(path string) error {
	mode := uint32(unix.W_OK)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		mode |= unix.X_OK
	}
	return unix.Access(path, mode)
}
