package lease

import (
	"crypto/sha256"
	"math"
	"sync/atomic"
	"time"

	"leasehold/internal/vault"
)

// journal is where entries outlive the process.
type journal interface {
	// Write returns when all changes are on disk, or none. After an error either may be the case.
	Write(changes []Change) error
	// Each calls f with every record that can be read, in no order; the slice is only f's until it returns. What f does not keep is deleted after
	// the pass, in as few commits as possible. unreadable counts the records that could not be read.
	Each(f func(record []byte) (keep bool, err error)) (unreadable int, err error)
	// Discard makes sure that nothing written so far comes back after a restart, whatever becomes of the disk. A later Write begins anew.
	Discard() error
}

// Change is one record of the journal to be written, or removed when it has none.
type Change struct {
	ID     [sha256.Size]byte
	Record []byte // holds tokens and secrets in the clear: the journal seals it
}

type recordID = [sha256.Size]byte

// batchSize bounds how much of a rewrite one Write takes along.
const batchSize = 1000

// ledger is what the journal does not have yet. Index.mu guards what turn does not.
type ledger struct {
	changes map[recordID]change // noted for the next Write, the latest of each record
	doubts  map[recordID]*doubt // revocations under way
	noted   uint64              // counts them
	rewrite bool                // everything that lives is to be written anew
	rest    []change            // what is left of that
	ended   bool                // what is removed just now would not come back in any case
	doomed  bool                // the journal holds what must not come back: it is discarded before anything is written; set by who has the turn
	trouble trouble
	healed  time.Time // when the last trouble was over

	turn  chan struct{} // holds a value while the journal is used; taken before Index.mu
	tried uint64        // of those noted, when the last Write began; guarded by turn
	clean bool          // the journal was discarded, and nothing written since; guarded by turn

	detached atomic.Bool   // set by who has the turn
	behind   chan struct{} // nudges the clock: there is more to be written than anybody waits for
}

// change is an entry to be written as it is by then, or a record to be removed when there is neither lease nor token.
type change struct {
	lease   *Entry
	token   *node
	doubt   *doubt
	revoked bool   // the former record must not come back
	at      uint64 // its number among those noted
}

func (c change) removal() bool { return c.lease == nil && c.token == nil && c.doubt == nil }

// change is an entry's, to be written.
func (e *Entry) change() change {
	if e.token != nil {
		return change{token: e.token}
	}
	return change{lease: e}
}

// recordID names the record of a lease or a token.
func (c change) recordID() recordID {
	switch {
	case c.token != nil:
		return c.token.id
	case c.doubt != nil:
		return c.doubt.id
	default:
		return leaseRecord(c.lease.leaseID)
	}
}

func leaseRecord(id vault.LeaseID) recordID { return sha256.Sum256([]byte("lease " + id)) }

func (x *Index) journaled() bool { return x.opt.Journal != nil && !x.ledger.detached.Load() }

// save and forget note a change for the next flush. Both are called with the lock held.
func (x *Index) save(e *Entry) {
	if x.journaled() { // the id is a hash
		c := e.change()
		x.note(c.recordID(), c)
	}
}

// saveToken is save for a token, whether its answer is served or not.
func (x *Index) saveToken(n *node) { x.note(n.id, change{token: n}) }

func (x *Index) forget(id recordID) { x.note(id, change{revoked: !x.ledger.ended}) }

func (x *Index) note(id recordID, c change) {
	if !x.journaled() {
		return
	}
	l := &x.ledger
	c.revoked = c.revoked || l.changes[id].revoked // a token that is kept again does not make its former record good
	l.noted++
	c.at = l.noted
	l.changes[id] = c
}

// saveAll has everything that lives written anew.
func (x *Index) saveAll() {
	if !x.journaled() {
		return
	}
	x.ledger.rewrite, x.ledger.rest = true, nil
	x.catchUpSoon()
}

// lags tells whether there is something left to be written anew.
func (l *ledger) lags() bool { return l.rewrite || len(l.rest) > 0 }

func (x *Index) catchUpSoon() {
	select {
	case x.ledger.behind <- struct{}{}:
	default: // it knows already
	}
}

// living is a change for everything there is. The last are written first.
func (x *Index) living() []change {
	all := make([]change, 0, len(x.byLease)+len(x.tokens))
	for _, l := range x.byLease {
		all = append(all, change{lease: l})
	}
	for _, n := range x.tokens {
		all = append(all, change{token: n})
	}
	for _, d := range x.ledger.doubts {
		all = append(all, change{doubt: d})
	}
	return all
}

// lives tells whether a change found by living is still of something that lives.
func (x *Index) lives(c change) bool {
	switch {
	case c.token != nil:
		return x.tokens[c.token.id] == c.token
	case c.doubt != nil:
		return x.ledger.doubts[c.doubt.id] == c.doubt
	default:
		return c.lease.end.Load() != 0
	}
}

// Detach gives the journal up: nothing is written to it any more, and once Detach has returned it is not used.
func (x *Index) Detach() {
	l := &x.ledger
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.detached.Store(true)
	x.mu.Lock()
	defer x.mu.Unlock()
	l.changes, l.rest, l.rewrite, l.doomed, l.trouble = nil, nil, false, false, trouble{}
}

// JournalState tells how many records the journal does not have yet, or not as they are now, and whether that is because it has refused some, and since
// when.
func (x *Index) JournalState() (pending int, failing bool, since time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := &x.ledger
	pending = len(l.changes) + len(l.rest)
	if l.rewrite {
		pending = max(len(l.changes), len(x.byLease)+len(x.tokens))
	}
	if l.doomed {
		pending = max(pending, 1) // there may be nothing to write, but there is to be discarded
	}
	return pending, l.trouble.failures > 0, l.trouble.since
}

// JournalTrouble is since when the journal does not fail any more, zero if it never did; and why it refused what it last refused, nil unless JournalState
// says that it fails. The error holds no secret.
func (x *Index) JournalTrouble() (over time.Time, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ledger.healed, x.ledger.trouble.err
}

// keptUntil is when a restart would drop by itself what the journal has of a lease or a token. It is noted, since the record may differ from what is held:
// a token that is set aside cuts short what hangs on it without a record of each, and a clock that is set back moves every end.
func (c change) keptUntil() *int64 {
	switch {
	case c.token != nil:
		return &c.token.keptUntil
	case c.doubt != nil:
		return &c.doubt.keptUntil
	default:
		return &c.lease.keptUntil
	}
}

// record encodes the change, and notes that it may be on disk from now on.
func (c change) record() (b []byte, until int64) {
	switch {
	case c.lease != nil:
		b, until = c.lease.record(), c.lease.end.Load()
	case c.token != nil:
		b, until = c.token.record(), c.token.until()
	case c.doubt != nil:
		b, until = c.doubt.record(), math.MaxInt64
	default:
		return nil, math.MinInt64
	}
	at := c.keptUntil()
	*at = max(*at, until)
	return b, until
}

// expire removes what has come to its end by itself. A disk that refuses that does no harm when a restart drops it as well.
func (x *Index) expire(c change, now time.Time) {
	x.ledger.ended = *c.keptUntil() <= now.UnixNano()
	if c.token != nil {
		x.removeNode(c.token)
	} else {
		x.remove(c.lease)
	}
	x.ledger.ended = false
}
