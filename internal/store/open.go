package store

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"leasehold/internal/seal"
)

// format is the version of the files' content. Files of other versions are not read.
const format = "2"

// What the file consists of: the two buckets, and the keys in the first beside stateKey.
var (
	metaBucket    = []byte("meta")
	recordsBucket = []byte("records")
	formatKey     = []byte("format")
	protectionKey = []byte("protection") // what wraps the key, for people
	wrappedKey    = []byte("key")        // the file's key, wrapped
	identityKey   = []byte("identity")   // a MAC of whom the file belongs to
)

// badFile is why a file cannot be used, and that another one can be begun instead.
type badFile struct{ reason string }

func (b badFile) Error() string { return b.reason }

// Open opens the state file at path, or begins one there, mode 0600; its directory must exist. Both of its files are locked until Close by the lock
// on the first. ctx is for w alone.
//
// A file that is not one of ours, damaged, of another format version, sealed with another key or begun for another identity is renamed to
// <path>.bad-<UTC time>, with one warning, and a new one begun: losing the file costs a login and some misses, never a wrong secret.
// When it is the disk that refuses, the file is set aside as well, because what is revoked meanwhile must not come back with it, and the store begins
// without one: the first Write that the disk takes begins it. Where the file cannot even be set aside, or another process holds it, the error is an
// ErrUnavailable. An error of w that leaves open whether it is the right key is returned as it is, and the file left alone.
func Open(ctx context.Context, path string, w wrapper, log *slog.Logger, o Options) (*Store, error) {
	s := &Store{path: path, opt: o, log: log, turn: make(chan struct{}, 1), pending: changes{}, maintain: make(chan struct{}, 1)}
	err := s.open(ctx, w)
	bad, isBad := errors.AsType[badFile](err)
	switch {
	case err == nil:
		return s, nil
	case isBad && o.ExitOnErr:
		return nil, fmt.Errorf("state file %s: %w; restore the file or its key, or move it away to begin with a new one", path, bad)
	case isBad:
		aside, failed := setAside(path)
		if failed != nil {
			return nil, fmt.Errorf("state file %s: %w, and cannot be set aside: %w", path, bad, unavailable{failed})
		}
		log.Warn("state file set aside, a new one begun", "file", path, "set_aside", aside, "reason", bad.reason)
		if err = s.open(ctx, w); err == nil {
			return s, nil
		}
	}
	if !o.ExitOnErr && errors.Is(err, ErrUnavailable) && !errors.Is(err, errHeld) {
		err = s.openLater(ctx, w, err)
	}
	if err != nil {
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	return s, nil
}

// Probe tells beforehand what Open would say about path, as far as that can be known without the key: for those who pay for a key that they may not need.
func Probe(path string, o Options) error {
	err := examine(path)
	_, isBad := errors.AsType[badFile](err)
	if err == nil || !o.ExitOnErr && (isBad || errors.Is(err, ErrUnavailable)) {
		return nil
	}
	return fmt.Errorf("state file %s: %w", path, err)
}

// openLater leaves it to the first commit that the disk takes to begin a file.
func (s *Store) openLater(ctx context.Context, w wrapper, why error) error {
	aside := ""
	if info, err := os.Stat(s.path); err == nil && info.Size() > 0 {
		if aside, err = setAside(s.path); err != nil {
			return fmt.Errorf("%w; move it away before the next start: what is revoked until then would come back with it", why)
		}
	}
	var err error
	if s.keys, err = newKeys(ctx, w, s.opt.RotateAt); err != nil {
		return err
	}
	s.rebuild, s.isNew = true, true
	s.log.Error("the disk refuses the state file: the cache is in memory only until the disk takes a new one",
		slog.String("file", s.path), slog.String("set_aside", aside), slog.Any("error", why))
	return s.keys.begin(1)
}

// setAside renames both files, the write-ahead file first: one without a state file is nothing.
func setAside(path string) (aside string, err error) {
	stamp := ".bad-" + time.Now().UTC().Format("20060102T150405.000Z") // without colons, for Windows
	if err := os.Rename(path+walSuffix, path+walSuffix+stamp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return path + stamp, os.Rename(path, path+stamp)
}

// IsNew reports whether Open began the file.
func (s *Store) IsNew() bool { return s.isNew }

// open leaves nothing open when it fails.
func (s *Store) open(ctx context.Context, w wrapper) error {
	if err := examine(s.path); err != nil {
		return err
	}
	var err error
	if s.db, err = openLocked(s.path, false); err != nil {
		return err
	}
	err = s.use(func() error { return s.load(ctx, w) })
	if err != nil {
		_ = s.use(s.db.Close) // nothing was written that could be lost
		if s.wal != nil {
			_ = s.wal.close(false)
		}
		s.wal, s.keys, s.broken = nil, nil, nil
		return err
	}
	s.measure()
	return nil
}

// load reads an existing file's state, or begins a new one, and takes a new generation into use.
func (s *Store) load(ctx context.Context, w wrapper) error {
	var st state
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		name, _ := tx.Cursor().First()
		if s.isNew = name == nil; s.isNew {
			return nil
		}
		s.keys, st, err = s.readMeta(ctx, tx, w)
		return err
	})
	if err != nil {
		return err
	}
	if s.isNew {
		if s.keys, err = newKeys(ctx, w, s.opt.RotateAt); err != nil {
			return err
		}
		if err := s.keys.begin(1); err != nil {
			return err
		}
		return s.begin(s.db)
	}
	newest, err := s.recover(st)
	if err != nil {
		return err
	}
	if err := s.keys.begin(max(st.generation, newest) + 1); err != nil {
		return err
	}
	if !st.ahead {
		if next, err := s.markBeginning(); err == nil {
			st.next = next
		} else { // a full disk may still have room inside of bbolt's file, where commits go then
			st.next.offset = 0
			s.wal.head, s.wal.tail = st.next, st.next
		}
	}
	if err := syncDir(s.path); err != nil { // before anything says that there is a write-ahead file
		return diskError(err)
	}
	st.generation, st.ahead = s.keys.now.Load().n, true
	return diskError(s.db.Update(func(tx *bbolt.Tx) error { return putState(tx, s.keys, st) }))
}

// readMeta checks that the file is ours, and gets its keys.
func (s *Store) readMeta(ctx context.Context, tx *bbolt.Tx, w wrapper) (*keys, state, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil || tx.Bucket(recordsBucket) == nil || meta.Get(formatKey) == nil {
		return nil, state{}, badFile{"not a state file of Leasehold"}
	}
	if v := string(meta.Get(formatKey)); v != format {
		return nil, state{}, badFile{otherFormat(v)}
	}
	k, err := openKeys(ctx, w, append([]byte(nil), meta.Get(wrappedKey)...), s.opt.RotateAt)
	switch {
	case errors.Is(err, seal.ErrSealed):
		return nil, state{}, badFile{fmt.Sprintf("sealed with another key (it was begun with persist %.16q)", meta.Get(protectionKey))}
	case err != nil:
		return nil, state{}, err
	case !hmac.Equal(meta.Get(identityKey), k.vouch("identity", []byte(s.opt.Identity))):
		return nil, state{}, badFile{"it belongs to another Vault or another login"}
	}
	st, ok := readState(meta.Get(stateKey), k)
	if !ok {
		return nil, state{}, badFile{"damaged: its state cannot be read"}
	}
	return k, st, nil
}

func otherFormat(v string) string {
	older, _ := strconv.Atoi(v)
	ours, _ := strconv.Atoi(format)
	switch {
	case older > ours:
		return fmt.Sprintf("of format %.16q, which a newer version has written; this one reads %q", v, format)
	case older > 0:
		return fmt.Sprintf("of format %.16q, which an older version has written; this one reads %q", v, format)
	}
	return fmt.Sprintf("of format %.16q, where this version reads %q", v, format)
}

// markBeginning writes a frame without changes, so that the write-ahead file is never empty while it is needed, and returns where the next one will stand.
// A crash before the state says so leaves one frame too many, which changes nothing.
func (s *Store) markBeginning() (place, error) {
	if err := s.writeAhead(nil); err != nil {
		return place{}, diskError(err)
	}
	s.wal.tail = s.wal.head
	return s.wal.head, nil
}

// recover reads what was written ahead, and tells the newest generation in it.
func (s *Store) recover(st state) (newest uint32, err error) {
	_, err = os.Stat(s.path + walSuffix)
	if st.ahead && errors.Is(err, fs.ErrNotExist) {
		return 0, badFile{"damaged: its write-ahead file " + filepath.Base(s.path) + walSuffix + " is missing"}
	}
	if s.wal, err = openWAL(s.path); err != nil {
		return 0, diskError(err)
	}
	if err := s.wal.reaches(st); err != nil {
		return 0, badFile{"damaged: its write-ahead file: " + err.Error()}
	}
	_, newest, err = s.wal.replay(s.keys, st.next, func(key string, sealed []byte) { s.pending[key] = sealed })
	if !st.ahead {
		// What may stand there was left by a crash right after an orderly end or right before a beginning; else that is not the newest state.
		if err == nil && len(s.pending) > 0 {
			err = errors.New("it is newer than its state file")
		}
		s.wal.head, s.wal.tail = st.next, st.next
	}
	if err != nil {
		s.pending = changes{}
		return 0, badFile{"damaged: its write-ahead file: " + err.Error()}
	}
	return newest, nil
}

// begin fills the empty db with the beginning of a file under s.keys, which have a generation.
func (s *Store) begin(db *bbolt.DB) (err error) {
	if err := os.Remove(s.path + walSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(err)
	}
	if s.wal, err = openWAL(s.path); err != nil {
		return diskError(err)
	}
	s.wal.head, s.wal.tail = place{number: 1}, place{number: 1}
	s.astray = false
	next, err := s.markBeginning()
	if err != nil {
		return err
	}
	st := state{next: next, generation: s.keys.now.Load().n, ahead: true}
	err = db.Update(func(tx *bbolt.Tx) error { return s.fill(tx, st) })
	return diskError(errors.Join(err, syncDir(s.path)))
}

// fill makes the buckets, and everything in the first.
func (s *Store) fill(tx *bbolt.Tx, st state) error {
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucket(recordsBucket); err != nil {
		return err
	}
	return errors.Join(
		meta.Put(formatKey, []byte(format)),
		meta.Put(protectionKey, []byte(s.opt.Protection)),
		meta.Put(wrappedKey, s.keys.wrapped),
		meta.Put(identityKey, s.keys.vouch("identity", []byte(s.opt.Identity))),
		putState(tx, s.keys, st),
	)
}

// beginAnew is open after Discard: with the same keys, so that nobody needs to be asked for them, and hashes of requests stay what they are.
func (s *Store) beginAnew() error {
	s.folding.Lock()
	defer s.folding.Unlock()
	db, err := openLocked(s.path, false)
	if err != nil {
		return err
	}
	if err := s.use(func() error { return s.begin(db) }); err != nil {
		_ = guard(db.Close) // there is nothing in it
		if s.wal != nil {
			_ = s.wal.close(true)
		}
		return errors.Join(err, forget(s.path))
	}
	s.db, s.rebuild, s.astray = db, false, false
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
			return diskError(err)
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
	if _, err := checkFile(path, nil); err != nil {
		return badFile{"damaged: " + err.Error()}
	}
	return nil
}
