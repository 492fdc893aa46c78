package lease

import (
	"errors"
	"log/slog"
	"maps"
	"time"
)

// batch is what one Write takes.
type batch struct {
	changes []Change
	made    []made // of which each of them is one
	noted   int    // so many of them were noted; the others are written anew
	probe   bool   // a single change, to see whether a disk that fails works again
	revoked bool   // something of all that was noted takes what must not come back
}

// made is a change whose record is kept until then.
type made struct {
	change
	until int64
}

func (b *batch) add(id recordID, c change) {
	record, until := c.record()
	b.changes, b.made = append(b.changes, Change{id, record}), append(b.made, made{c, until})
}

// flush returns when every change that was made before is on disk, or refused by it. Those who wait here for another's write find theirs written with
// the next: one commit serves all, and one failure.
func (x *Index) flush() {
	if !x.journaled() {
		return
	}
	x.mu.Lock()
	mine := x.ledger.noted
	x.mu.Unlock()
	x.ledger.turn <- struct{}{}
	defer func() { <-x.ledger.turn }()
	if x.ledger.tried < mine {
		x.write()
	}
}

// catchUp writes a batch of what nobody waits for, and tells whether there is more that the disk would take.
func (x *Index) catchUp() (more bool) {
	if pending, _, _ := x.JournalState(); pending == 0 || !x.journaled() {
		return false
	}
	x.ledger.turn <- struct{}{}
	defer func() { <-x.ledger.turn }()
	x.write()
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ledger.lags() && !x.ledger.trouble.down
}

// write writes all that was noted, with some of what is to be written anew. The caller has the turn.
func (x *Index) write() {
	l := &x.ledger
	if l.detached.Load() || (l.doomed && !x.discard(nil)) {
		return
	}
	for again := true; again; {
		b := x.take()
		if len(b.changes) == 0 {
			return
		}
		l.clean = false // even if it fails: who knows what the disk has by then
		switch err := x.opt.Journal.Write(b.changes); {
		case err == nil:
			x.written(&b)
			again = b.probe
		case b.revoked:
			x.discard(err)
			return
		default:
			x.putBack(&b)
			x.complain(unwritten, err)
			return
		}
	}
}

// take takes all that was noted. A disk that fails is tried with one record, so that each try costs no more than that.
func (x *Index) take() (b batch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := &x.ledger
	l.tried = l.noted
	b.probe = l.trouble.down
	large := len(l.changes) > batchSize
	for id, c := range l.changes {
		b.revoked = b.revoked || c.revoked && !l.clean
		if b.probe && len(b.changes) > 0 {
			continue
		}
		if !l.clean || !c.removal() { // there is nothing to be removed from what is clean
			b.add(id, c)
		}
		delete(l.changes, id)
	}
	if large && !b.probe {
		l.changes = map[recordID]change{} // a map never shrinks
	}
	b.noted = len(b.changes)
	switch {
	case !b.probe:
		x.takeAnew(&b, batchSize)
	case len(b.changes) == 0:
		x.takeAnew(&b, 1)
	}
	return b
}

// takeAnew adds what is to be written anew, until the batch is of that size.
func (x *Index) takeAnew(b *batch, size int) {
	l := &x.ledger
	if l.rewrite {
		l.rest, l.rewrite = x.living(), false
	}
	for len(l.rest) > 0 && len(b.changes) < size {
		last := len(l.rest) - 1
		if c := l.rest[last]; x.lives(c) {
			b.add(c.recordID(), c)
		}
		l.rest = l.rest[:last]
	}
	if len(l.rest) == 0 {
		l.rest = nil
	}
}

func (x *Index) written(b *batch) {
	x.mu.Lock()
	l := &x.ledger
	for _, m := range b.made {
		if !m.removal() {
			*m.keptUntil() = m.until
		}
	}
	l.trouble.down = false
	t, over := l.trouble, !l.lags() && (!b.probe || len(l.changes) == 0)
	if over { // a full disk may take one record, and refuse the next
		if t.failures > 0 {
			l.healed = time.Now()
		}
		l.trouble = trouble{}
	} else {
		x.catchUpSoon()
	}
	x.mu.Unlock()
	if over && t.failures > 0 {
		x.opt.Log.Info("the state file is written again", slog.Int("failures", t.failures), slog.Duration("after", time.Since(t.since)))
	}
}

// putBack notes a batch anew that was refused and takes nothing that must not come back. Too much is not noted one by one: then all that lives is written
// anew when the time comes, so that no failure, however long, costs more memory. A removal that is left out there is one that a restart makes as well.
func (x *Index) putBack(b *batch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := &x.ledger
	if len(l.changes)+b.noted > batchSize {
		l.rewrite, l.rest = true, nil
		maps.DeleteFunc(l.changes, func(_ recordID, c change) bool { return c.at <= l.tried }) // for the others somebody waits
		return
	}
	for i, m := range b.made {
		_, newer := l.changes[b.changes[i].ID]
		switch {
		case i >= b.noted:
			l.rest = append(l.rest, m.change)
		case !newer:
			l.changes[b.changes[i].ID] = m.change
		}
	}
}

// discard empties the journal, since the disk has refused to remove (refused) what must not come back, now or earlier. It reports whether that was done.
func (x *Index) discard(refused error) bool {
	x.mu.Lock()
	noted := x.ledger.noted
	x.mu.Unlock()
	err := x.opt.Journal.Discard()
	x.mu.Lock()
	l := &x.ledger
	l.clean, l.doomed = err == nil, err != nil
	l.rewrite, l.rest = true, nil
	for id, c := range l.changes {
		if c.revoked = false; c.removal() || err != nil { // nothing is written until all is discarded, and then all that lives is
			delete(l.changes, id)
		} else {
			l.changes[id] = c
		}
	}
	if err != nil {
		l.tried = noted
	} else {
		l.trouble.worst = min(l.trouble.worst, discarded)
	}
	x.mu.Unlock()
	switch {
	case err != nil:
		x.complain(undiscarded, errors.Join(refused, err))
	case refused != nil:
		x.complain(discarded, refused)
	default:
		x.opt.Log.Info("the state file is discarded; nothing revoked comes back from it")
	}
	return err == nil
}

// trouble is a journal that fails.
type trouble struct {
	since    time.Time // its first failure
	failures int
	err      error // of the last
	down     bool  // the last Write failed: else it is catching up
	logged   time.Time
	unlogged int
	worst    result // of those logged
}

// result is what came of a write that failed; the later the worse.
type result int

const (
	unwritten result = iota + 1
	discarded
	undiscarded
)

// logPause is how long failures that are no worse than those logged are only counted.
const logPause = time.Minute

// complain counts a failure and logs it, unless one like it was logged just now.
func (x *Index) complain(r result, err error) {
	x.mu.Lock()
	t, now := &x.ledger.trouble, time.Now()
	if t.failures == 0 {
		t.since = now
	}
	t.failures++
	t.err = err
	t.unlogged++
	t.down = true
	silent := r <= t.worst && now.Sub(t.logged) < logPause
	failures := slog.Int("failures", t.unlogged)
	if !silent {
		t.worst, t.logged, t.unlogged = max(r, t.worst), now, 0
	}
	x.mu.Unlock()
	switch {
	case silent:
	case r == unwritten:
		x.opt.Log.Error("the state file could not be written; what changed is kept in memory and tried again", failures, slog.Any("error", err))
	case r == discarded:
		x.opt.Log.Error("the state file could not be written; it is discarded so that nothing revoked comes back, and begun anew when the disk takes it",
			failures, slog.Any("error", err))
	default:
		x.opt.Log.Error("the state file could be neither written nor discarded: what was revoked may come back after a restart; move the file away before the next start",
			failures, slog.Any("error", err))
	}
}
