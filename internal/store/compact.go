package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
)

const (
	compactSuffix = ".compact"
	minCompact    = 1 << 20 // bytes; smaller files are not worth it
	compactBatch  = 1000    // records in one transaction

	// everyMinute is how often Run looks after the file by itself; resealBatch, how many records of older generations it seals anew then.
	everyMinute = time.Minute
	resealBatch = 1000
)

// Run looks after the file until ctx ends: what is written ahead moves into bbolt's file, records of older generations are sealed anew, little by
// little, and a file that holds more than twice what it needs is compacted. Hits and writes go on meanwhile.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(everyMinute)
	defer tick.Stop()
	next, searched := []byte{}, s.keys.now.Load().n // where the search for older records goes on
	for {
		if now := s.keys.now.Load().n; now != searched {
			next, searched = []byte{}, now
		}
		err := s.compactIfWorthIt(ctx)
		if err == nil && next != nil {
			next, err = s.reseal(next)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			s.log.Warn("the state file could not be looked after; it is tried again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.maintain:
		case <-tick.C:
			if s.isBehind() {
				s.mu.Lock()
				s.checkpoints = true
				s.mu.Unlock()
				s.catchUp()
			}
		}
	}
}

func (s *Store) isBehind() bool {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && !s.rebuild && s.broken == nil && !s.checkpoints && len(s.pending) > 0
}

// reseal seals records of older generations with the data key of now, from key on, and returns where to go on; nil at the end.
func (s *Store) reseal(from []byte) (next []byte, err error) {
	var old []record
	s.folding.Lock()
	if s.rebuild {
		s.folding.Unlock()
		return nil, nil
	}
	now := s.keys.now.Load().n
	err = s.use(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket(recordsBucket).Cursor()
			key, sealed := c.Seek(from)
			for seen := 0; key != nil && len(old) < resealBatch && seen < 100*resealBatch; seen++ {
				if n, ok := generationOf(sealed); ok && n != now {
					old = append(old, record{string(key), bytes.Clone(sealed)})
				}
				key, sealed = c.Next()
			}
			next = bytes.Clone(key)
			return nil
		})
	})
	s.folding.Unlock()
	if err != nil || len(old) == 0 {
		return next, err
	}
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	var fresh []record
	for _, r := range old {
		if s.changedSince(r) {
			continue
		}
		plain, err := s.keys.open(r.key, r.sealed)
		if err != nil {
			continue // the next restore counts it
		}
		if r.sealed, err = s.keys.seal(r.key, plain); err != nil {
			return from, err
		}
		fresh = append(fresh, r)
	}
	if len(fresh) == 0 {
		return next, nil
	}
	return next, s.commitAll([]*write{newWrite(fresh)})
}

// changedSince tells whether a record has been written or deleted since it was read. The caller holds turn, so that none is from now on.
func (s *Store) changedSince(r record) bool {
	s.mu.Lock()
	_, pending := s.pending[r.key]
	_, applying := s.applying[r.key]
	s.mu.Unlock()
	if pending || applying {
		return true
	}
	same := false
	err := s.use(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			same = bytes.Equal(tx.Bucket(recordsBucket).Get([]byte(r.key)), r.sealed)
			return nil
		})
	})
	return err != nil || !same
}

// compactIfWorthIt writes the file anew when more than half of it is free.
func (s *Store) compactIfWorthIt(ctx context.Context) error {
	s.folding.Lock()
	defer s.folding.Unlock()
	if s.rebuild {
		return nil
	}
	worth := false
	err := s.use(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			free := int64(s.db.Stats().FreePageN+s.db.Stats().PendingPageN) * int64(s.db.Info().PageSize)
			worth = tx.Size() > minCompact && 2*free > tx.Size()
			return nil
		})
	})
	if err != nil || !worth {
		return err
	}
	return s.compact(ctx)
}

// compact copies what bbolt has into a new file and puts that in the place of the old one. Meanwhile all writes go to the write-ahead file, which fits
// both. A crash leaves either file whole: a rename is all or nothing. The caller holds folding.
func (s *Store) compact(ctx context.Context) error {
	began, path := time.Now(), s.path+compactSuffix
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var before, after int64
	err := s.use(func() error {
		to, err := openLocked(path, false)
		if err != nil {
			return err
		}
		to.NoSync, to.NoGrowSync = true, true // once, at the end
		err = s.db.View(func(tx *bbolt.Tx) error {
			before = tx.Size()
			return s.copyTo(ctx, to, tx)
		})
		if err == nil {
			err = to.Sync()
		}
		if err != nil {
			return errors.Join(err, to.Close(), os.Remove(path))
		}
		to.NoSync, to.NoGrowSync = false, false
		err = to.View(func(tx *bbolt.Tx) error { after = tx.Size(); return nil })
		return errors.Join(err, s.replace(to, path))
	})
	if err != nil {
		return fmt.Errorf("compact state file %s: %w", s.path, err)
	}
	s.counts.compactions.Add(1)
	s.measure()
	s.log.Info("state file compacted", slog.Int64("bytes_before", before), slog.Int64("bytes", after), slog.Duration("took", time.Since(began)))
	return nil
}

// copyTo fills the empty db to. Records come in the order of their keys, so pages are filled one after the other.
func (s *Store) copyTo(ctx context.Context, to *bbolt.DB, from *bbolt.Tx) error {
	st, ok := readState(from.Bucket(metaBucket).Get(stateKey), s.keys)
	if !ok {
		return errors.New("its state cannot be read")
	}
	st.generation = s.keys.now.Load().n
	if err := to.Update(func(tx *bbolt.Tx) error { return s.fill(tx, st) }); err != nil {
		return err
	}
	c := from.Bucket(recordsBucket).Cursor()
	for key, sealed := c.First(); key != nil && ctx.Err() == nil; {
		err := to.Update(func(tx *bbolt.Tx) error {
			records := tx.Bucket(recordsBucket)
			records.FillPercent = 0.9
			for n := 0; key != nil && n < compactBatch; n++ {
				if err := records.Put(key, s.fresh(key, sealed)); err != nil {
					return err
				}
				key, sealed = c.Next()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// fresh is the record under the data key of now; one that cannot be opened stays as it is, for the next restore to count.
func (s *Store) fresh(key, sealed []byte) []byte {
	if n, ok := generationOf(sealed); ok && n == s.keys.now.Load().n {
		return sealed
	}
	plain, err := s.keys.open(string(key), sealed)
	if err != nil {
		return sealed
	}
	anew, err := s.keys.seal(string(key), plain)
	if err != nil {
		return sealed
	}
	return anew
}

// replace puts the file of to, at path, in the place of ours.
func (s *Store) replace(to *bbolt.DB, path string) error {
	if runtime.GOOS == "windows" { // where no open file can be renamed
		if err := errors.Join(to.Close(), s.db.Close(), os.Rename(path, s.path)); err != nil {
			return s.breaks(err)
		}
		db, err := openLocked(s.path, false)
		if err != nil {
			return s.breaks(err)
		}
		s.db = db
		return nil
	}
	if err := os.Rename(path, s.path); err != nil {
		return errors.Join(err, to.Close(), os.Remove(path))
	}
	old := s.db
	s.db = to
	return errors.Join(syncDir(s.path), old.Close())
}
