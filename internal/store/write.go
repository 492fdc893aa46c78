package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// Change is a record to be stored in the place of any former one with the same id, or to be deleted.
type Change struct {
	ID    [32]byte
	Plain []byte // nil: delete
}

// record is a Change as the file has it.
type record struct {
	key    string
	sealed []byte // nil: delete
}

// write is one call of Write.
type write struct {
	records []record
	size    int           // in a frame, at most
	done    chan struct{} // closed when err is set
	err     error
}

func newWrite(records []record) *write {
	w := &write{records: records, done: make(chan struct{})}
	for _, r := range records {
		w.size += len(r.key) + len(r.sealed) + maxRecordOverhead
	}
	return w
}

// Write makes the changes, in their order and all or none of them, and returns when they are on disk (fsync). It keeps nothing of
// Plain. Calls that come while a commit is under way share the next one (CCH-49); a call that finds none commits at once.
//
// When ctx ends before the commit begins, nothing is written and Write returns ctx's error. When it ends during the commit, Write
// returns the same and the changes may be on disk or not; a commit that runs in the caller's own goroutine is waited for. After any
// other error nothing is written, except that a disk may fail to confirm what it has written; later writes may succeed.
func (s *Store) Write(ctx context.Context, list ...Change) error {
	if len(list) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write state file %s: %w", s.path, err)
	}
	records := make([]record, len(list))
	for i, c := range list {
		r := record{key: s.keys.recordKey(c.ID)}
		if c.Plain != nil {
			var err error
			if r.sealed, err = s.keys.seal(r.key, c.Plain); err != nil {
				return fmt.Errorf("write state file %s: %w", s.path, err)
			}
		}
		records[i] = r
	}
	w := newWrite(records)
	if err := s.enqueue(w); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		runtime.Gosched() // those whom the last commit has answered may have more to write
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

// commit writes everything that waits with one fsync. The caller holds turn. When it returns, every write that was in the queue
// before has its result: from this commit, or from an earlier one that took it along.
func (s *Store) commit() {
	s.mu.Lock()
	writes := s.queue
	s.queue = nil
	s.mu.Unlock()
	if len(writes) == 0 {
		return
	}
	began := time.Now()
	err := s.commitAll(writes)
	if s.opt.OnCommit != nil {
		s.opt.OnCommit(time.Since(began))
	}
	if err == nil {
		s.counts.commits.Add(1)
	} else {
		s.counts.failed.Add(1)
	}
	for _, w := range writes {
		w.err = err
		close(w.done)
	}
}

// commitAll writes ahead if that is possible, and else straight into bbolt.
func (s *Store) commitAll(writes []*write) error {
	if s.rebuild {
		if err := s.beginAnew(); err != nil {
			return fmt.Errorf("begin state file %s anew: %w", s.path, err)
		}
	}
	err := s.writeAhead(writes)
	if err == nil || errors.Is(err, errPanic) {
		return err
	}
	if err := s.checkpoint(writes, false); err != nil {
		return fmt.Errorf("write state file %s: %w", s.path, remedied(err))
	}
	// A frame without changes: were the page that says so lost, the one before it would say that the frame in this commit's place is still to come.
	_ = s.writeAhead(nil)
	return nil
}

// remedied adds what can be done about a disk that refuses.
func remedied(err error) error {
	if errors.Is(err, ErrClosed) || errors.Is(err, errPanic) {
		return err
	}
	return fmt.Errorf("%w; see that its disk has free space and lets uid %d write", err, os.Geteuid())
}

var errNoRoom = errors.New("the write-ahead file has no room now")

// writeAhead appends a frame. A frame whose write failed may be there all the same: nothing is appended after it until bbolt has gone past it.
func (s *Store) writeAhead(writes []*write) error {
	s.mu.Lock()
	number, broken := s.wal.head.number, s.broken
	s.mu.Unlock()
	if broken != nil {
		return fmt.Errorf("write state file %s: %w", s.path, broken)
	}
	if s.astray {
		return errNoRoom
	}
	frame, err := frameOf(s.keys, number, writes)
	if err != nil {
		return err
	}
	s.mu.Lock()
	offset, ok := s.wal.room(int64(len(frame)))
	s.mu.Unlock()
	if !ok {
		return errNoRoom
	}
	if err := s.wal.write(frame, offset); err != nil {
		s.astray = true
		return err
	}
	s.mu.Lock()
	s.wal.advance(offset, int64(len(frame)))
	for _, w := range writes {
		for _, r := range w.records {
			s.pending[r.key] = r.sealed
		}
	}
	behind := s.wal.used() > s.wal.size/4 && !s.checkpoints
	s.checkpoints = s.checkpoints || behind
	s.mu.Unlock()
	if behind {
		s.behind.Go(s.catchUp)
	}
	return nil
}
