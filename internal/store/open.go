package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// format is the version of the file's content. Files of other versions are not read.
const format = "1"

// lockTimeout is how long Open waits for another process to let go of the file, as Vault Agent's cache does.
const lockTimeout = time.Second

// What the file consists of: the two buckets, and the keys in the first.
var (
	metaBucket    = []byte("meta")
	recordsBucket = []byte("records")
	formatKey     = []byte("format")
	checkKey      = []byte("check") // an empty value, sealed: its tag tells whether we have the right key
)

// Options tune a Store.
type Options struct {
	// ExitOnErr makes errors of what otherwise costs only the records in question: a bad file, which is then not set aside, and in
	// Each a bad record, which is then not deleted. Vault Proxy's exit_on_err.
	ExitOnErr bool
}

// badFile is why a file cannot be used, and that another one can be begun instead.
type badFile struct{ reason string }

func (b badFile) Error() string { return b.reason }

// Open opens the state file at path, or begins one there, mode 0600; its directory must exist. The file is locked until Close.
//
// A file that is not one of ours, damaged, of another format version or sealed with another key is renamed to
// <path>.bad-<UTC time>, with one warning, and a new one begun: losing the file costs a login and some misses, never a wrong secret.
func Open(path string, key sealer, log *slog.Logger, o Options) (*Store, error) {
	s := &Store{
		path: path, exitOnErr: o.ExitOnErr, key: key, log: log, turn: make(chan struct{}, 1),
	}
	err := s.open()
	bad, ok := errors.AsType[badFile](err)
	switch {
	case err == nil:
		return s, nil
	case !ok:
		return nil, fmt.Errorf("state file %s: %w", path, err)
	case o.ExitOnErr:
		return nil, fmt.Errorf("state file %s: %w; restore the file or its key, or move it away to begin with a new one", path, bad)
	}
	aside := path + ".bad-" + time.Now().UTC().Format("20060102T150405.000Z") // without colons, for Windows
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("state file %s: %w, and cannot be set aside: %w", path, bad, err)
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	log.Warn("state file set aside, a new one begun", "file", path, "set_aside", aside, "reason", bad.reason)
	return s, nil
}

// open leaves nothing open when it fails.
func (s *Store) open() error {
	if err := examine(s.path); err != nil {
		return err
	}
	var err error
	if s.db, err = openLocked(s.path, false); err != nil {
		return err
	}
	if err := s.use(s.begin); err != nil {
		_ = s.use(s.db.Close) // nothing was written that could be lost
		return err
	}
	return nil
}

// examine makes sure that there is a file that bbolt can be trusted with, or that one can be made.
func examine(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if dir := filepath.Dir(path); !isDir(dir) {
			return fmt.Errorf("directory %s does not exist; create it, writable for uid %d", dir, os.Geteuid())
		}
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file; name one, or a path where one can be made")
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
	}
	if info.Size() == 0 {
		return nil // its beginning was interrupted
	}
	// For the lock, as another process may be writing. Read-only, bbolt looks at nothing but the meta pages, which have a checksum.
	db, err := openLocked(path, true)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // only read
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	if err := checkPages(f); err != nil {
		return badFile{"damaged: " + err.Error()}
	}
	return nil
}

// openLocked opens the file in bbolt, under a lock that only other readers share.
func openLocked(path string, readOnly bool) (db *bbolt.DB, err error) {
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: readOnly})
		return err
	})
	_, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, errors.New("another process holds it; stop that process, or choose another path")
	case isErrno: // not the file's fault
		return nil, fmt.Errorf("%w; see that its disk has free space, and let uid %d write to the file and its directory", err, os.Geteuid())
	}
	return nil, badFile{"not a state file: " + err.Error()}
}

// begin fills a new file, and checks that an existing one is ours and sealed with our key.
func (s *Store) begin() error {
	isNew := false
	err := s.db.View(func(tx *bbolt.Tx) error {
		name, _ := tx.Cursor().First()
		isNew = name == nil
		meta := tx.Bucket(metaBucket)
		if isNew {
			return nil
		}
		if meta == nil || tx.Bucket(recordsBucket) == nil || meta.Get(formatKey) == nil {
			return badFile{"not a state file of Leasehold"}
		}
		if v := meta.Get(formatKey); string(v) != format {
			return badFile{fmt.Sprintf("of format %.16q, where this version reads %q", v, format)}
		}
		if _, err := s.key.Open(meta.Get(checkKey), aad(metaBucket, checkKey)); err != nil {
			return badFile{"sealed with another key"}
		}
		return nil
	})
	if err != nil || !isNew {
		return err
	}
	if err := s.db.Update(s.fill); err != nil {
		return fmt.Errorf("%w; see that its disk has free space", err)
	}
	return syncDir(filepath.Dir(s.path))
}

func (s *Store) fill(tx *bbolt.Tx) error {
	check, err := s.key.Seal(nil, aad(metaBucket, checkKey))
	if err != nil {
		return err
	}
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	_, err = tx.CreateBucket(recordsBucket)
	return errors.Join(err, meta.Put(formatKey, []byte(format)), meta.Put(checkKey, check))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// syncDir makes a new file in dir survive a power failure. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
