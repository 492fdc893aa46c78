package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrClosed is what a Store answers after Close.
var ErrClosed = errors.New("the state file is closed")

// ErrUnavailable is what errors of Open wrap that are the doing of the disk or of another process, and say nothing about the file.
var ErrUnavailable = errors.New("the state file cannot be used now")

// wrapper protects the key of a file. Unwrap's error wraps seal.ErrSealed for what Wrap did not make; any other error means that it could not be tried.
type wrapper interface {
	Wrap(ctx context.Context, secret []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
}

// Options tune a Store.
type Options struct {
	// ExitOnErr makes errors of what otherwise costs only the records in question: a bad file, which is then not set aside, and in
	// Each a bad record, which is then not deleted. Vault Proxy's exit_on_err.
	ExitOnErr bool

	Identity   string // whom the file belongs to: one that was begun for another is a bad file
	Protection string // what wraps the key, for people: the type of persist
	RotateAt   int64  // records that one data key seals at most; 0 means 2^24, far below the 2^32 of NIST SP 800-38D

	OnCommit func(took time.Duration) // told of each commit of what Write was given, whether it succeeded or not; it returns at once. nil for nobody
}

// Store is the state file: one sealed record per entry. All methods are safe for concurrent use.
//
// Locks are taken in the order turn, folding, mu.
type Store struct {
	path  string
	opt   Options
	log   *slog.Logger
	keys  *keys
	isNew bool

	turn    chan struct{} // holds a value while one goroutine commits, discards or closes; it alone appends to wal
	wal     *wal
	astray  bool // the last frame was not written, or may not have been
	rebuild bool // there is no file: the next commit begins one

	folding sync.Mutex // held while bbolt's part is read, written or copied
	db      *bbolt.DB
	behind  sync.WaitGroup // checkpoints in the background

	mu          sync.Mutex // guards the following; not held while anything is read or written
	queue       []*write   // not yet part of a commit
	pending     changes    // acknowledged, and in the write-ahead file only
	applying    changes    // on their way into bbolt
	checkpoints bool       // one is in the background
	closed      bool
	broken      error // the first panic in bbolt, which is not called again

	maintain chan struct{} // nudges Run
	counts   counts
}

// changes are sealed records by their keys; nil for those to be deleted.
type changes map[string][]byte

type counts struct{ commits, failed, checkpoints, compactions, fileBytes, walBytes atomic.Int64 }

// Stats are counts since Open, and sizes of now.
type Stats struct {
	Commits     int64 // made by Write, each with its fsync
	Failed      int64 // commits that the disk refused
	Checkpoints int64 // of the write-ahead file into bbolt
	Compactions int64
	FileBytes   int64 // of the file, as of the last checkpoint
	WALBytes    int64 // of the write-ahead file, which are used again and again
}

// Stats returns the counts of now.
func (s *Store) Stats() Stats {
	c := &s.counts
	return Stats{
		Commits: c.commits.Load(), Failed: c.failed.Load(), Checkpoints: c.checkpoints.Load(), Compactions: c.compactions.Load(),
		FileBytes: c.fileBytes.Load(), WALBytes: c.walBytes.Load(),
	}
}

// Secret returns a secret of the file for another use: the same at every start, another for each purpose and in each file.
func (s *Store) Secret(purpose string) [32]byte { return s.keys.file.Derive(purpose) }

// Close waits for the writes under way, commits those that wait, moves everything into bbolt's file and closes it. Later calls do nothing.
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
	s.behind.Wait()
	if s.rebuild {
		return nil // discarded, and not begun anew
	}
	err := s.checkpoint(nil, true)
	s.folding.Lock()
	defer s.folding.Unlock()
	err = errors.Join(err, s.use(s.db.Close), s.wal.close(err == nil))
	if err != nil {
		return fmt.Errorf("close state file %s: %w", s.path, err)
	}
	return nil
}

// Discard removes what was written, so that none of it comes back after a restart. The next Write begins a new file, under the same key.
func (s *Store) Discard() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.behind.Wait()
	s.folding.Lock()
	defer s.folding.Unlock()
	if s.rebuild {
		return nil
	}
	s.rebuild = true
	_ = s.use(s.db.Close) // whatever it says: it is about to be removed
	_ = s.wal.close(false)
	s.mu.Lock()
	s.pending, s.applying, s.broken = changes{}, nil, nil
	s.mu.Unlock()
	// The file first: a write-ahead file without it is nothing.
	if err := errors.Join(forget(s.path), forget(s.path+walSuffix), syncDir(s.path)); err != nil {
		return fmt.Errorf("discard state file %s: %w; move it away before the next start", s.path, err)
	}
	return nil
}

// forget removes a file, or empties it where the directory does not let it go.
func forget(path string) error {
	err := os.Remove(path)
	if err == nil || errors.Is(err, os.ErrNotExist) || os.Truncate(path, 0) == nil {
		return nil
	}
	return err
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
