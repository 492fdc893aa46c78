package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"go.etcd.io/bbolt"
)

// Change is a record to be stored in the place of any former one with the same id, or to be deleted.
type Change struct {
	ID    [32]byte
	Plain []byte // nil: delete
}

// record is a Change as the file has it.
type record struct {
	key    []byte
	sealed []byte // nil: delete
}

// write is one call of Write.
type write struct {
	records []record
	done    chan struct{} // closed when err is set
	err     error
}

// Write makes the changes, in their order and all or none of them, and returns when they are on disk (fsync). It keeps nothing of
// Plain. Calls that come while a commit is under way share the next one (CCH-49); a call that finds none commits at once.
//
// When ctx ends before the commit begins, nothing is written and Write returns ctx's error. When it ends during the commit, Write
// returns the same and the changes may be on disk or not; a commit that runs in the caller's own goroutine is waited for. After any
// other error nothing is written, except that a disk may fail to confirm what it has written; later writes may succeed.
func (s *Store) Write(ctx context.Context, changes ...Change) error {
	if len(changes) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write state file %s: %w", s.path, err)
	}
	w := &write{records: make([]record, len(changes)), done: make(chan struct{})}
	for i, c := range changes {
		r := record{key: s.recordKey(c.ID)}
		if c.Plain != nil {
			var err error
			if r.sealed, err = s.key.Seal(c.Plain, aad(recordsBucket, r.key)); err != nil {
				return fmt.Errorf("write state file %s: %w", s.path, err)
			}
		}
		w.records[i] = r
	}
	if err := s.enqueue(w); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		s.commit()
		<-s.turn
	case <-w.done:
	case <-ctx.Done():
		s.withdraw(w)
		return fmt.Errorf("write state file %s: %w", s.path, ctx.Err())
	}
	return w.err
}

func (s *Store) enqueue(w *write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("write state file %s: %w", s.path, ErrClosed)
	}
	s.queue = append(s.queue, w)
	return nil
}

func (s *Store) withdraw(w *write) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.queue, w); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
	}
}

// commit writes everything that waits in one transaction. The caller holds turn. When it returns, every write that was in the queue
// before has its result: from this commit, or from an earlier one that took it along.
func (s *Store) commit() {
	s.mu.Lock()
	writes := s.queue
	s.queue = nil
	s.mu.Unlock()
	if len(writes) == 0 {
		return
	}
	err := s.update(func(records *bbolt.Bucket) error {
		for _, w := range writes {
			for _, r := range w.records {
				if err := r.apply(records); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, w := range writes {
		w.err = err
		close(w.done)
	}
}

func (r record) apply(records *bbolt.Bucket) error {
	if r.sealed == nil {
		return records.Delete(r.key)
	}
	return records.Put(r.key, r.sealed)
}

// update runs f in a transaction and returns when it is on disk. The caller holds turn.
func (s *Store) update(f func(records *bbolt.Bucket) error) error {
	err := s.use(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error { return f(tx.Bucket(recordsBucket)) })
	})
	switch {
	case err == nil:
		s.commits.Add(1)
		return nil
	case errors.Is(err, ErrClosed), errors.Is(err, errPanic):
		return fmt.Errorf("write state file %s: %w", s.path, err)
	}
	return fmt.Errorf("write state file %s: %w; see that its disk has free space and lets uid %d write", s.path, err, os.Geteuid())
}
