package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"leasehold/internal/secretfile"
)

// lockTimeout is how long Open waits for another process to let go of the file, as Vault Agent's cache does.
const lockTimeout = time.Second

// unavailable is an ErrUnavailable in its own words.
type unavailable struct{ error }

func (u unavailable) Is(target error) bool { return target == ErrUnavailable }
func (u unavailable) Unwrap() error        { return u.error }

// errHeld is an ErrUnavailable that passes with the other process.
var errHeld = unavailable{errors.New("another process holds it; stop that process, or choose another path")}

// openLocked opens the file in bbolt, under a lock that only other readers share.
func openLocked(path string, readOnly bool) (db *bbolt.DB, err error) {
	var opened *os.File
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout: lockTimeout, ReadOnly: readOnly, FreelistType: bbolt.FreelistMapType,
			OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				f, err = secretfile.OpenFile(name, flag, mode)
				opened = f
				return f, err
			},
		})
		return err
	})
	switch {
	case err == nil:
		return db, confirm(db, opened, path)
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, errHeld
	case isErrno(err): // not the file's fault
		return nil, diskError(err)
	}
	return nil, badFile{"not a state file: " + err.Error()}
}

// confirm makes sure that what was locked is what stands at path: the process that held the lock may have put a compacted file there meanwhile.
func confirm(db *bbolt.DB, opened *os.File, path string) error {
	ours, err := opened.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Stat(path); err == nil && !os.SameFile(ours, there) {
			err = errHeld
		}
	}
	if err != nil {
		_ = guard(db.Close) // only opened
	}
	return err
}

func isErrno(err error) bool {
	_, is := errors.AsType[syscall.Errno](err)
	return is
}

// diskError is an error of the disk with what can be done about it; others stay as they are.
func diskError(err error) error {
	if !isErrno(err) {
		return err
	}
	return unavailable{fmt.Errorf("%w; see that its disk has free space, and let uid %d write to the file and its directory", err, os.Geteuid())}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// syncDir makes a new name in the directory of path survive a power failure. Windows has no such call.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
