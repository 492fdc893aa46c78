package lease_test

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"leasehold/internal/lease"
)

var errFull = errors.New("no space left on device")

// memory is a journal that outlives an index, and fails as it is told.
type memory struct {
	mu          sync.Mutex
	records     map[[32]byte][]byte
	fails       bool          // Write
	anyway      bool          // what fails is done nevertheless: the disk only did not confirm it
	keeps       bool          // Discard fails as well
	room        int           // a Write of more changes fails; 0: of none
	takes       time.Duration // a Write
	unreadable  int           // as Each reports
	shuffle     func(n int, swap func(i, j int))
	writes      int // those that succeeded
	tries       int
	failures    int
	discards    int
	largest     int  // of Writes
	mayHaveMore bool // since Discard has failed
}

func newMemory() *memory { return &memory{records: map[[32]byte][]byte{}} }

func (m *memory) Write(changes []lease.Change) error {
	m.mu.Lock()
	takes := m.takes
	m.mu.Unlock()
	time.Sleep(takes)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	m.largest = max(m.largest, len(changes))
	fails := m.fails || m.room != 0 && len(changes) > m.room
	if !fails || m.anyway {
		for _, c := range changes {
			if c.Record == nil {
				delete(m.records, c.ID)
			} else {
				m.records[c.ID] = slices.Clone(c.Record)
			}
		}
	}
	if fails {
		m.failures++
		return errFull
	}
	m.writes++
	return nil
}

func (m *memory) Each(f func([]byte) (bool, error)) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := slices.SortedFunc(maps.Keys(m.records), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	if m.shuffle != nil {
		m.shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	}
	var gone [][32]byte
	var buffer []byte // one for all: what is kept has to be copied
	for _, id := range ids {
		buffer = append(buffer[:0], m.records[id]...)
		keep, err := f(buffer)
		if err != nil {
			return m.unreadable, err
		}
		if !keep {
			gone = append(gone, id)
		}
		clear(buffer)
	}
	for _, id := range gone {
		delete(m.records, id)
	}
	return m.unreadable, nil
}

func (m *memory) Discard() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.discards++
	if !m.keeps || m.anyway {
		clear(m.records)
	}
	m.mayHaveMore = m.keeps
	if m.keeps {
		m.failures++
		return errFull
	}
	return nil
}

// set changes how it fails.
func (m *memory) set(fails, anyway, keeps bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails, m.anyway, m.keeps = fails, anyway, keeps
}

// slow has each Write take so long.
func (m *memory) slow(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takes, m.largest = d, 0
}

// copied is what a crash would leave, on a disk that works.
func (m *memory) copied() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{records: maps.Clone(m.records), shuffle: m.shuffle}
}

func journaled(m *memory) *lease.Index {
	return lease.NewIndex(lease.Options{Journal: m, Log: slog.New(slog.DiscardHandler)})
}

// restarted is an index of what a crash just now would leave.
func restarted(t testing.TB, m *memory, now time.Time) (*lease.Index, lease.Restored) {
	t.Helper()
	x := journaled(m.copied())
	out, err := x.Restore(now)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Check(); err != nil {
		t.Fatal(err)
	}
	return x, out
}
