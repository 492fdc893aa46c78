package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrClosed is what a Store answers after Close.
var ErrClosed = errors.New("the state file is closed")

// sealer is a key, safe for concurrent use. Open refuses whatever Seal did not make from the same aad.
type sealer interface {
	Derive(purpose string) [32]byte
	Seal(plain, aad []byte) ([]byte, error)
	Open(sealed, aad []byte) ([]byte, error)
}

// Store is the state file: one sealed record per entry. All methods are safe for concurrent use.
type Store struct {
	path      string
	exitOnErr bool
	key       sealer
	log       *slog.Logger
	db        *bbolt.DB

	turn    chan struct{} // holds a value while one goroutine commits or closes
	commits atomic.Uint64

	mu     sync.Mutex // guards the following; not held while anything is read or written
	queue  []*write   // not yet part of a commit
	closed bool
	broken error // the first panic in bbolt, which is not called again
}

// Stats are counts since Open.
type Stats struct {
	Commits uint64 // transactions written to disk by Write, each with its fsync
}

// Stats returns the counts of now.
func (s *Store) Stats() Stats { return Stats{Commits: s.commits.Load()} }

// Each calls fn with every record, in no useful order, in one sequential pass over the file, and ends with fn's first error. The
// slice is fn's to keep. fn must not call Write, nor wait for a call: a commit may wait for the pass to end.
//
// A record that cannot be opened costs that record: it is skipped, counted and deleted. With Options.ExitOnErr it ends the pass with
// an error instead, and stays.
func (s *Store) Each(fn func(plain []byte) error) (skipped int, err error) {
	bad, err := s.pass(fn)
	if err != nil {
		return len(bad), err
	}
	if err := s.remove(bad); err != nil {
		s.log.Warn("unreadable records stay in the state file", "records", len(bad), "error", err)
	}
	return len(bad), nil
}

// pass gives fn each record that can be opened, and returns the keys of the others.
func (s *Store) pass(fn func(plain []byte) error) (bad [][]byte, err error) {
	var tx *bbolt.Tx
	if err := s.use(func() (err error) { tx, err = s.db.Begin(false); return err }); err != nil {
		return nil, fmt.Errorf("read state file %s: %w", s.path, err)
	}
	defer func() { _ = tx.Rollback() }() // ends the transaction; there is nothing to undo
	var cursor *bbolt.Cursor
	for {
		var key, plain []byte
		var sealed error
		err := s.use(func() error { // without fn, whose panics are not bbolt's; key and value end with the transaction
			var value []byte
			if cursor == nil {
				cursor = tx.Bucket(recordsBucket).Cursor()
				key, value = cursor.First()
			} else {
				key, value = cursor.Next()
			}
			if key == nil {
				return nil
			}
			if plain, sealed = s.key.Open(value, aad(recordsBucket, key)); sealed != nil {
				bad = append(bad, bytes.Clone(key))
			}
			return nil
		})
		switch {
		case err != nil:
			return bad, fmt.Errorf("read state file %s: %w", s.path, err)
		case key == nil:
			return bad, nil
		case sealed == nil:
			if err := fn(plain); err != nil {
				return bad, err
			}
		case s.exitOnErr:
			return bad, fmt.Errorf("state file %s: a record is %w; move the file away to begin with a new one", s.path, sealed)
		}
	}
}

// remove deletes the records with these keys, unless they have become readable by a Write since.
func (s *Store) remove(keys [][]byte) error {
	if len(keys) == 0 {
		return nil
	}
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.update(func(records *bbolt.Bucket) error {
		for _, key := range keys {
			if _, err := s.key.Open(records.Get(key), aad(recordsBucket, key)); err == nil {
				continue
			}
			if err := records.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close waits for the writes under way, commits those that wait, and closes the file. Later calls do nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.commit()
	if err := s.use(s.db.Close); err != nil {
		return fmt.Errorf("close state file %s: %w", s.path, err)
	}
	return nil
}

// recordKey is what a record is found by. It does not tell the id.
func (s *Store) recordKey(id [32]byte) []byte {
	secret := s.key.Derive("state file record keys")
	mac := hmac.New(sha256.New, secret[:])
	mac.Write(id[:])
	return mac.Sum(nil)
}

// aad ties what is sealed to the format version and its place. Bucket names have no zero byte, so that no two places look alike.
func aad(bucket, key []byte) []byte {
	return bytes.Join([][]byte{[]byte("leasehold state file " + format), bucket, key}, []byte{0})
}

// use runs f, which calls bbolt, unless a panic has shown that bbolt must not be called any more: what it holds in memory is not to be
// trusted then, nor that it has let go of its locks. The end of the process closes the file in that case.
func (s *Store) use(f func() error) error {
	s.mu.Lock()
	err := s.broken
	s.mu.Unlock()
	if err != nil {
		return err
	}
	err = guard(f)
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return ErrClosed
	case errors.Is(err, errPanic):
		err = fmt.Errorf("it became unusable while open; restart Leasehold, and move the file away if that does not help: %w", err)
		s.mu.Lock()
		s.broken = err
		s.mu.Unlock()
	}
	return err
}

// errPanic is what guard makes of a panic.
var errPanic = errors.New("bbolt cannot go on")

// guard runs f and makes an error of a panic: bbolt's own, and the fault of a mapped page that cannot be read because the file was cut
// short under us or the disk has failed. Damage that was there before Open does not come this far.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanic, r)
		}
	}()
	return f()
}
