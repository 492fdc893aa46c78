//go:build !linux

package store

import "os"

// datasync returns when what was written is on disk.
func datasync(f *os.File) error { return f.Sync() }
