package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// writePID stores the process id, over whatever an earlier process has left, and returns what removes the file again.
func writePID(path string) (remove func(), err error) {
	mine, err := storePID(path)
	if err != nil {
		return nil, fmt.Errorf("pid_file: Error storing PID: %w; choose a path that Leasehold may write", err)
	}
	return func() { removePID(path, mine) }, nil
}

// storePID writes the file in place: its directory is often not ours to write. Nothing but a file is written over, since what else stands there,
// a device or a link, was not put there for a process id.
func storePID(path string) (fs.FileInfo, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteString(strconv.Itoa(os.Getpid()))
	}
	_ = f.Chmod(0o600) // one that is another user's keeps its mode: a process id is no secret
	return info, errors.Join(err, f.Close())
}

// removePID removes the file only if no other process has made it its own meanwhile.
func removePID(path string, mine fs.FileInfo) {
	now, err := os.Lstat(path)
	if err != nil || !os.SameFile(now, mine) {
		return
	}
	if text, err := os.ReadFile(path); err == nil && string(text) == strconv.Itoa(os.Getpid()) {
		_ = os.Remove(path) // the next start writes over it
	}
}
