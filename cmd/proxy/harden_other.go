//go:build !linux

package main

// harden does nothing where Go offers no way to keep a process's memory from others of the same user.
func harden() error { return nil }
