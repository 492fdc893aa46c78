package lease

import (
	"strings"
	"time"

	"leasehold/internal/vault"
)

// State says how an entry does.
type State string

// The states. What gave up its key is ending; else the first that applies counts: failing, due, ending, fresh.
const (
	Fresh   State = "fresh"   // its renewal is planned
	Due     State = "due"     // its renewal is due or under way, or the next request for it brings a successor
	Failing State = "failing" // its last renewal failed, and is tried again
	Ending  State = "ending"  // it cannot be prolonged, or another has its key
)

// States are all of them.
func States() []State { return []State{Fresh, Due, Failing, Ending} }

// state is how e does. The index is locked. An entry whose renewal is under way has no alarm.
func (e *Entry) state() State {
	switch {
	case e.replaced:
		return Ending
	case e.attempts > 0:
		return Failing
	case e.Due(), e.alarm.ready, e.alarm.pos == 0:
		return Due
	case e.last:
		return Ending
	}
	return Fresh
}

// renewal is when e is to be renewed, zero when it is not, or is due. The index is locked.
func (e *Entry) renewal() time.Time {
	if e.last || e.replaced || e.alarm.ready || e.alarm.pos == 0 || e.alarm.at == atOnce {
		return time.Time{}
	}
	return time.Unix(0, e.alarm.at)
}

// inside is the path of e's request as seen in its namespace.
func (e *Entry) inside() string { return strings.TrimPrefix(e.path, string(e.namespace)) }

// name is what tells e apart, and may be a secret.
func (e *Entry) name() string {
	if e.token != nil {
		return e.token.token.Reveal()
	}
	return string(e.leaseID)
}

// accessor is that of the token that e is, or that it hangs on.
func (e *Entry) accessor() vault.Accessor {
	switch {
	case e.token != nil:
		return e.token.accessor
	case e.owner != nil:
		return e.owner.accessor
	}
	return ""
}

// chunk bounds how many entries are looked at under one lock.
const chunk = 256

// each calls f with every entry that is held, under the lock, which is given back now and then. Hits do not wait for it, nor anybody else for long: what
// comes meanwhile is left out.
func (x *Index) each(f func(*Entry)) {
	x.looks.Lock() // each look holds a pointer to all
	defer x.looks.Unlock()
	x.mu.Lock()
	all := make([]*Entry, 0, x.entries)
	for _, e := range x.byLease {
		all = append(all, e)
	}
	for _, n := range x.tokens {
		if n.entry != nil {
			all = append(all, n.entry)
		}
	}
	x.mu.Unlock()
	for len(all) > 0 {
		n := min(chunk, len(all))
		x.mu.Lock()
		for _, e := range all[:n] {
			if e.end.Load() != 0 {
				f(e)
			}
		}
		x.mu.Unlock()
		all = all[n:]
	}
}
