package store

import (
	"context"
	"os"
	"runtime"
	"testing"
)

// Hold keeps the store from committing until release is called, as a slow disk would.
func (s *Store) Hold() (release func()) {
	s.turn <- struct{}{}
	return func() { <-s.turn }
}

// HoldCheckpoints keeps bbolt's file as it is until release is called.
func (s *Store) HoldCheckpoints() (release func()) {
	s.folding.Lock()
	return s.folding.Unlock
}

// CatchUp is what a write begins in the background when it finds bbolt too far behind. Between is called when it has seen how far that must come.
func (s *Store) CatchUp(between func()) error {
	tx, err := s.db.Begin(true) // keeps others from it
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.checkpoints = true
	s.mu.Unlock()
	s.behind.Go(s.catchUp)
	for seen := false; !seen; runtime.Gosched() {
		s.mu.Lock()
		seen = s.applying != nil
		s.mu.Unlock()
	}
	between()
	err = tx.Rollback()
	s.behind.Wait()
	return err
}

// LoseBolt makes everything fail that needs bbolt.
func (s *Store) LoseBolt() error { return s.db.Close() }

// ShrinkRing makes the write-ahead file of a new store one of n bytes.
func (s *Store) ShrinkRing(n int64) { s.wal.size = n }

// Tidy does what Run does once, to the end.
func (s *Store) Tidy(ctx context.Context) error {
	if s.isBehind() {
		s.catchUp()
	}
	for next := []byte{}; next != nil; {
		var err error
		if next, err = s.reseal(next); err != nil {
			return err
		}
	}
	if err := s.checkpoint(nil, false); err != nil {
		return err
	}
	return s.compactIfWorthIt(ctx)
}

// Compact writes the file anew whether it is worth it or not.
func (s *Store) Compact(ctx context.Context) error {
	s.folding.Lock()
	defer s.folding.Unlock()
	return s.compact(ctx)
}

// Replay reads a ring of frames that keys with this secret vouch for.
func Replay(t testing.TB, secret *[32]byte, ring []byte, offset int64, number uint64, apply func(key string, sealed []byte)) (int, error) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "ring")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(ring); err != nil {
		t.Fatal(err)
	}
	k, err := keysOf(secret, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, _, err := (&wal{file: f, size: ringSize}).replay(k, place{offset, number}, apply)
	return n, err
}

// Frames encodes one frame for each list of changes.
func Frames(t testing.TB, secret *[32]byte, first uint64, writes ...[]Change) (frames [][]byte) {
	t.Helper()
	k, err := keysOf(secret, nil, 0)
	if err == nil {
		err = k.begin(1)
	}
	for i, changes := range writes {
		var records []record
		for _, c := range changes {
			records = append(records, record{key: string(c.ID[:]), sealed: c.Plain})
		}
		var frame []byte
		if err == nil {
			frame, err = frameOf(k, first+uint64(i), []*write{newWrite(records)})
		}
		frames = append(frames, frame)
	}
	if err != nil {
		t.Fatal(err)
	}
	return frames
}
