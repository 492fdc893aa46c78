package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Each calls f with every record, in no useful order, in one sequential pass over the files, and ends with f's first error. The slice is f's until
// it returns. f must not call Write, nor wait for a call: a commit waits for the pass to end.
//
// Records that f does not keep are deleted after the pass. So are those that cannot be opened: a bad record costs that record, and is counted as
// unreadable. With Options.ExitOnErr such a one ends the pass with an error instead, and stays.
func (s *Store) Each(f func(plain []byte) (keep bool, err error)) (unreadable int, err error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	p := pass{store: s, f: f}
	if err := p.run(); err != nil {
		return p.unreadable, err
	}
	for part := range slices.Chunk(p.drop, 1000) {
		if err := s.commitAll([]*write{newWrite(part)}); err != nil {
			s.log.Warn("records that are of no use stay in the state file", "records", len(p.drop), "error", err)
			break
		}
	}
	return p.unreadable, nil
}

// pass is one call of Each.
type pass struct {
	store      *Store
	f          func(plain []byte) (keep bool, err error)
	unreadable int
	drop       []record // without content: to be deleted
}

func (p *pass) run() error {
	s := p.store
	s.folding.Lock()
	defer s.folding.Unlock()
	s.mu.Lock()
	closed, broken, newer := s.closed, s.broken, changes{}
	maps.Copy(newer, s.applying)
	maps.Copy(newer, s.pending)
	s.mu.Unlock()
	switch {
	case closed:
		return fmt.Errorf("read state file %s: %w", s.path, ErrClosed)
	case broken != nil:
		return fmt.Errorf("read state file %s: %w", s.path, broken)
	case s.rebuild:
		return nil
	}
	_, err := checkFile(s.path, func(bucket, key, value []byte) error {
		if _, changed := newer[string(key)]; changed || !bytes.Equal(bucket, recordsBucket) {
			return nil
		}
		return p.record(string(key), value)
	})
	for _, key := range slices.Sorted(maps.Keys(newer)) {
		if err != nil {
			break
		}
		if sealed := newer[key]; sealed != nil {
			err = p.record(key, sealed)
		}
	}
	var stop stopped
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stop):
		return stop.error
	default: // it was good when it was opened
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it was cut short")
		}
		return fmt.Errorf("read state file %s: %w", s.path, s.breaks(err))
	}
}

// stopped is an error of the caller's, or about a record, and not about the file.
type stopped struct{ error }

func (p *pass) record(key string, sealed []byte) error {
	plain, err := p.store.keys.open(key, sealed)
	if err != nil {
		p.unreadable++
		p.drop = append(p.drop, record{key: key})
		if p.store.opt.ExitOnErr {
			return stopped{fmt.Errorf("state file %s: a record is %w; move the file away to begin with a new one", p.store.path, err)}
		}
		return nil
	}
	keep, err := p.f(plain)
	if err != nil {
		return stopped{err}
	}
	if !keep {
		p.drop = append(p.drop, record{key: key})
	}
	return nil
}

// breaks notes that the file must not be used any more.
func (s *Store) breaks(err error) error {
	err = fmt.Errorf("%w: it became unusable while open; restart Leasehold, and move the file away if that does not help: %w", errPanic, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
	}
	return s.broken
}
