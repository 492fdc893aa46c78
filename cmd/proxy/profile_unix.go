//go:build !windows

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"time"
)

const (
	profileName  = "vault-proxy-pprof" // Vault's name of the directory
	profileCPU   = time.Second
	profileOwner = "remove it, or set TMPDIR to a directory of this user's own"
)

// writeProfiles writes what pprof reads into <tmp>/vault-proxy-pprof, over what an earlier call has left, and returns the directory. Profiles hold
// addresses, sizes, counts and names of functions; no contents of memory.
func writeProfiles(ctx context.Context, tmp string) (path string, err error) {
	path = filepath.Join(tmp, profileName)
	dir, err := ownDir(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = dir.Close() }() // nothing is written to a directory
	for _, name := range [...]string{"goroutine", "heap", "allocs", "threadcreate"} {
		if err := writeProfile(dir, name, func(f *os.File) error { return pprof.Lookup(name).WriteTo(f, 0) }); err != nil {
			return "", err
		}
	}
	return path, writeProfile(dir, "profile", func(f *os.File) error {
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		select {
		case <-time.After(profileCPU):
		case <-ctx.Done(): // what was seen until then is written
		}
		return nil
	})
}

// ownDir opens a directory that nobody else can write to or read, and makes it if need be. Its place is one where everybody may put something: a link
// or a directory of somebody else's is refused.
func ownDir(path string) (*os.Root, error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	seen, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !seen.IsDir() {
		return nil, fmt.Errorf("%s is no directory; %s", path, profileOwner)
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	if err := checkOwn(dir, seen); err != nil {
		return nil, errors.Join(fmt.Errorf("%s %w; %s", path, err, profileOwner), dir.Close())
	}
	return dir, nil
}

// checkOwn looks at what was opened, which nobody can exchange any more.
func checkOwn(dir *os.Root, seen fs.FileInfo) error {
	opened, err := dir.Stat(".")
	if err != nil {
		return err
	}
	if owner, ok := opened.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
		return errors.New("belongs to another user")
	}
	if !os.SameFile(seen, opened) {
		return errors.New("was exchanged while it was opened")
	}
	if opened.Mode().Perm() != 0o700 {
		return dir.Chmod(".", 0o700)
	}
	return nil
}

// writeProfile makes the file anew, so that its mode is ours and no link is followed.
func writeProfile(dir *os.Root, name string, write func(*os.File) error) error {
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
