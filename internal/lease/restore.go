package lease

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"leasehold/internal/vault"
)

// Restored tells what a restart brought back.
type Restored struct {
	Entries    int
	Tokens     int // in the tree, with those whose answers are entries
	Expired    int // ended meanwhile
	Orphaned   int // hung on a token that is not there, or on an auto-auth token that another has followed; or were that one
	Unreadable int // not opened, not understood, or there already
	Revoked    int // entries whose revocation was under way when the last run ended: Vault may have carried it out

	NextDue time.Time // when the clock will first have something to do; zero if never

	Auto map[vault.AutoAuthName]LastToken // of each login that held one; to be tried before a new login
}

// LastToken is a current auto-auth token of the last run.
type LastToken struct {
	Token    vault.Token
	Accessor vault.Accessor
	Expires  time.Time // as HeldUntil told; zero when not known
}

// Restore reads the journal into an empty index. What has ended, or hangs on nothing, is dropped; what lives waits for its due time. After an error the
// index is empty, and the journal as it was.
func (x *Index) Restore(now time.Time) (Restored, error) {
	if x.opt.Journal == nil {
		return Restored{}, nil
	}
	r := restorer{
		x: x, now: now.UnixNano(), waiting: map[vault.TokenID][]change{}, leases: map[vault.LeaseID]struct{}{}, tokens: map[vault.TokenID]struct{}{},
	}
	x.mu.Lock()
	x.ledger.ended = true // what is removed on the way would be dropped by the next restart too
	unreadable, err := x.opt.Journal.Each(r.record)
	r.out.Unreadable += unreadable
	if err != nil {
		x.empty()
		r.doubts = nil
	}
	out := r.finish()
	x.mu.Unlock()
	if err != nil {
		return Restored{}, fmt.Errorf("restore the cache: %w", err)
	}
	x.flush()
	for _, d := range r.doubts { // what they were about is off the disk
		x.dispel(d)
	}
	x.flush()
	return out, nil
}

// empty drops everything and leaves the journal as it is.
func (x *Index) empty() {
	for _, n := range x.tokens {
		if n.parent == nil {
			x.removeNode(n)
		}
	}
	clear(x.ledger.changes)
	clear(x.namespaces)
}

// restorer is one pass over the journal into an empty index, whose lock is held all the while.
type restorer struct {
	x         *Index
	now       int64
	out       Restored
	namespace vault.Namespace            // the last one: most have the same
	waiting   map[vault.TokenID][]change // what hangs on a token that has not come yet
	leases    map[vault.LeaseID]struct{} // those that wait
	tokens    map[vault.TokenID]struct{} // those that wait
	doubts    []*doubt
}

// record enters one record, or has it wait for its owner.
func (r *restorer) record(text []byte) (keep bool, _ error) {
	if d, ok := parseDoubt(text); ok {
		r.doubts = append(r.doubts, d)
		return true, nil
	}
	rec, err := parseRecord(text)
	if err != nil {
		r.out.Unreadable++ // a bad record costs that record
		return false, nil
	}
	if rec.until() <= r.now {
		r.out.Expired++
		return false, nil
	}
	c, err := r.decode(&rec)
	if err != nil || r.known(c) {
		r.out.Unreadable++
		return false, nil
	}
	var owner *node
	if rec.owner != nil {
		id := vault.TokenID(rec.owner)
		if owner = r.x.tokens[id]; owner == nil {
			r.wait(id, c)
			return true, nil
		}
	}
	return r.enter(c, owner), nil
}

// decode makes an entry or a token of a record, with texts of its own, that hangs on nothing yet.
func (r *restorer) decode(rec *record) (c change, err error) {
	if string(rec.namespace) != string(r.namespace) {
		r.namespace = vault.Namespace(rec.namespace)
	}
	var e *Entry
	if rec.is(flagAnswer) {
		if e, err = r.answer(rec); err != nil {
			return change{}, err
		}
	}
	if rec.is(flagLease) {
		return change{lease: e}, nil
	}
	t := vault.NewToken(string(rec.token))
	n := &node{
		id: t.ID(), token: t, accessor: vault.Accessor(rec.accessor), namespace: r.namespace, entry: e, holds: parseHolds(rec.holds),
		keptUntil: rec.until(),
	}
	if n.auto() {
		n.expires = rec.ends
	} else {
		n.ends = rec.ends
	}
	if e == nil {
		n.origin = string(rec.path)
	} else {
		n.origin, e.token = e.origin(), n
	}
	return change{token: n}, nil
}

func (r *restorer) answer(rec *record) (*Entry, error) {
	header, err := r.x.codedHeader(rec.header)
	if err != nil {
		return nil, err
	}
	e := &Entry{
		key: Key(rec.key), namespace: r.namespace, path: string(rec.path), leaseID: vault.LeaseID(rec.leaseID), life: rec.life,
		last: rec.is(flagLast), replaced: rec.is(flagReplaced), keptUntil: rec.end,
		answer: Answer{Status: rec.status, Header: header, Body: copied(rec.body), Received: timeOf(rec.received), digits: rec.digits},
	}
	e.rule = r.x.ruleOf(e.path)
	request, err := rec.requested()
	if err != nil {
		return nil, err
	}
	if e.rule.RefreshAhead {
		e.request = request
	}
	e.end.Store(rec.end)
	e.alarm.at = rec.due
	return e, nil
}

// known tells whether a lease or token has come before: only a damaged journal has it twice.
func (r *restorer) known(c change) (known bool) {
	if c.lease != nil {
		_, known = r.leases[c.lease.leaseID]
		return known || r.x.byLease[c.lease.leaseID] != nil
	}
	_, known = r.tokens[c.token.id]
	return known || r.x.tokens[c.token.id] != nil
}

func (r *restorer) wait(owner vault.TokenID, c change) {
	r.waiting[owner] = append(r.waiting[owner], c)
	if c.lease != nil {
		r.leases[c.lease.leaseID] = struct{}{}
	} else {
		r.tokens[c.token.id] = struct{}{}
	}
}

// enter hangs c on its owner, and on c what has waited for it, near and far. It does not recurse: a chain of tokens may be of any length.
func (r *restorer) enter(c change, owner *node) (kept bool) {
	kept = r.hang(c, owner)
	if !kept || c.token == nil {
		return kept
	}
	for todo := []*node{c.token}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below := r.waiting[n.id]
		delete(r.waiting, n.id)
		for _, c := range below {
			switch {
			case !r.hang(c, n):
				r.x.forget(c.recordID())
			case c.token != nil:
				todo = append(todo, c.token)
			}
		}
	}
	return true
}

// hang enters one thing below its owner, which is in the tree, or was until an auto-auth token took its place.
func (r *restorer) hang(c change, owner *node) (kept bool) {
	x := r.x
	claims := 0
	if c.token != nil && c.token.auto() {
		if claims = len(c.token.holds); !r.claim(c.token) {
			r.out.Orphaned++
			return false
		}
	}
	if owner != nil && x.tokens[owner.id] != owner {
		r.out.Orphaned++
		return false
	}
	if c.lease != nil {
		c.lease.owner = owner
		x.hangLease(c.lease)
		r.serve(c.lease)
		return true
	}
	n := c.token
	if n.parent = owner; owner != nil {
		owner.adopt(n)
	}
	x.add(n)
	if n.entry != nil {
		n.entry.owner = owner
		r.serve(n.entry)
	}
	for _, h := range n.holds {
		x.auto[h.name] = n
	}
	if len(n.holds) < claims {
		x.saveToken(n)
	}
	switch {
	case n.auto():
	case n.ends != 0:
		n.alarm.node = n
		x.setAlarm(&n.alarm, time.Unix(0, n.ends))
	}
	return true
}

// claim settles of which logins n is the current token, and reports whether there is one. Each has one record that says so, unless the file is damaged:
// then it is the token that was held last.
func (r *restorer) claim(n *node) bool {
	x := r.x
	for _, h := range slices.Clone(n.holds) {
		old := x.auto[h.name]
		if old == nil {
			continue
		}
		i, _ := old.place(h.name)
		if c := cmp.Compare(old.holds[i].since, h.since); c > 0 || c == 0 && bytes.Compare(old.id[:], n.id[:]) > 0 {
			n.yield(h.name)
			continue
		}
		before := len(x.byLease) + len(x.tokens)
		x.release(old, h.name, time.Time{})
		r.out.Orphaned += before - len(x.byLease) - len(x.tokens)
	}
	return n.auto()
}

// serve counts an entry that hangs in the tree, sets its alarm and shows it.
func (r *restorer) serve(e *Entry) {
	x := r.x
	due, end := e.alarm.at, e.end.Load()
	x.namespaces[e.namespace] = true
	e.size = e.measure()
	x.bytes += e.size
	x.entries++
	e.alarm.entry = e
	e.setEnd(time.Unix(0, end))
	if due != 0 && !e.last && !e.replaced {
		x.setAlarm(&e.alarm, time.Unix(0, min(due, end)))
	} else {
		x.plan(e, time.Unix(0, end).Add(-e.life), e.life)
	}
	if e.replaced {
		return
	}
	s := x.shardOf(&e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[e.key] == nil { // of two answers for one request either is good
		s.byKey[e.key] = e
	}
}

// finish deals with what has waited in vain, and counts what has not.
func (r *restorer) finish() Restored {
	x, out := r.x, &r.out
	for _, left := range r.waiting {
		for _, c := range left {
			x.forget(c.recordID())
			out.Orphaned++
		}
	}
	x.ledger.ended = false
	for _, d := range r.doubts {
		gone, _ := x.evict(d.eviction)
		out.Revoked += gone
	}
	out.Entries, out.Tokens = x.entries, len(x.tokens)
	if len(x.alarms) > 0 {
		out.NextDue = time.Unix(0, x.alarms[0].at)
	}
	out.Auto = make(map[vault.AutoAuthName]LastToken, len(x.auto))
	for name, n := range x.auto {
		out.Auto[name] = LastToken{n.token, n.accessor, timeOf(n.expires)}
	}
	return *out
}
