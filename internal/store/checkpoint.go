package store

import (
	"crypto/hmac"
	"encoding/binary"
	"log/slog"
	"maps"
	"os"
	"slices"

	"go.etcd.io/bbolt"
)

// checkpoint brings bbolt up to all that is written ahead, and writes on top of it, if there are any: then the caller holds turn. final says that
// nothing will be written ahead any more.
func (s *Store) checkpoint(writes []*write, final bool) error {
	s.folding.Lock()
	defer s.folding.Unlock()
	s.mu.Lock()
	if s.applying == nil {
		s.applying = changes{}
	}
	maps.Copy(s.applying, s.pending)
	s.pending = changes{}
	next := s.wal.head
	s.mu.Unlock()
	if len(writes) > 0 {
		next.number++ // a frame that failed has the number before
	}
	err := s.use(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			if err := s.applying.apply(tx.Bucket(recordsBucket), writes); err != nil {
				return err
			}
			return putState(tx, s.keys, state{next: next, generation: s.keys.now.Load().n, ahead: !final})
		})
	})
	if err != nil {
		return err // what was to be applied is part of the next one
	}
	s.counts.checkpoints.Add(1)
	s.mu.Lock()
	s.applying = nil
	s.wal.caughtUp(next)
	if len(writes) > 0 {
		s.wal.head, s.astray = next, false
	}
	s.mu.Unlock()
	s.measure()
	return nil
}

// apply makes the changes, and those of writes after them. In the order of their keys they find most pages in memory that the one before has used.
func (c changes) apply(records *bbolt.Bucket, writes []*write) error {
	put := func(key string, sealed []byte) error {
		if sealed == nil {
			return records.Delete([]byte(key))
		}
		return records.Put([]byte(key), sealed)
	}
	for _, key := range slices.Sorted(maps.Keys(c)) {
		if err := put(key, c[key]); err != nil {
			return err
		}
	}
	for _, w := range writes {
		for _, r := range w.records {
			if err := put(r.key, r.sealed); err != nil {
				return err
			}
		}
	}
	return nil
}

// catchUp is a checkpoint in the background. When it fails, writes find no room in time and make one themselves, which tells their callers.
func (s *Store) catchUp() {
	err := s.checkpoint(nil, false)
	s.mu.Lock()
	s.checkpoints = false
	s.mu.Unlock()
	if err != nil {
		s.log.Debug("the state file is behind its write-ahead file", slog.Any("error", err))
		return
	}
	select {
	case s.maintain <- struct{}{}:
	default: // Run was nudged already
	}
}

// measure notes the sizes for Stats.
func (s *Store) measure() {
	for _, f := range []struct {
		path string
		size interface{ Store(int64) }
	}{{s.path, &s.counts.fileBytes}, {s.path + walSuffix, &s.counts.walBytes}} {
		if info, err := os.Stat(f.path); err == nil {
			f.size.Store(info.Size())
		}
	}
}

// state is what the meta bucket says about both files.
type state struct {
	next       place  // the first frame that bbolt does not have
	generation uint32 // the newest that was used
	ahead      bool   // the write-ahead file belongs to it: it was not closed in order
}

var stateKey = []byte("state")

const (
	stateSize = 8 + 8 + 4 + 1
	macSize   = 32
)

// putState writes the state with a MAC: were it possible to change it, commits could be left out that are written ahead.
func putState(tx *bbolt.Tx, k *keys, st state) error {
	b := binary.BigEndian.AppendUint64(nil, uint64(st.next.offset))
	b = binary.BigEndian.AppendUint64(b, st.next.number)
	b = binary.BigEndian.AppendUint32(b, st.generation)
	ahead := byte(0)
	if st.ahead {
		ahead = 1
	}
	b = append(b, ahead)
	return tx.Bucket(metaBucket).Put(stateKey, append(b, k.vouch("state", b)...))
}

// readState reads what putState wrote. Without keys nobody vouches for it.
func readState(b []byte, k *keys) (state, bool) {
	if len(b) != stateSize+macSize || b[stateSize-1] > 1 {
		return state{}, false
	}
	offset := int64(binary.BigEndian.Uint64(b))
	st := state{
		next:       place{offset, binary.BigEndian.Uint64(b[8:])},
		generation: binary.BigEndian.Uint32(b[16:]),
		ahead:      b[stateSize-1] == 1,
	}
	vouched := k == nil || hmac.Equal(b[stateSize:], k.vouch("state", b[:stateSize]))
	return st, vouched && offset >= 0 && offset <= ringSize
}
