//go:build unix

package daemon

import "golang.org/x/sys/unix"

// writable tells why files cannot be made in a directory; nil when they can.
func writable(directory string) error { return unix.Access(directory, unix.W_OK|unix.X_OK) }
