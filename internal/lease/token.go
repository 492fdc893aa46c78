package lease

import (
	"time"

	"leasehold/internal/vault"
)

// Hold registers the auto-auth token of a login, so that what is created with it can be kept. The token that it follows there is dropped with all that
// hangs on it, unless it lives on until a known end: then its leases do as well (Vault Agent forgets neither: hashicorp/vault#25712). One that another login
// still holds stays as it is.
func (x *Index) Hold(name vault.AutoAuthName, t vault.Token, accessor vault.Accessor, ns vault.Namespace, previousEnds time.Time) {
	x.mu.Lock()
	x.hold(name, t, accessor, ns, previousEnds)
	x.mu.Unlock()
	x.flush()
}

func (x *Index) hold(name vault.AutoAuthName, t vault.Token, accessor vault.Accessor, ns vault.Namespace, previousEnds time.Time) {
	old, id := x.auto[name], t.ID()
	if old != nil && old.id == id {
		return
	}
	if old != nil {
		x.release(old, name, previousEnds)
	}
	n := x.tokens[id]
	if n == nil {
		n = &node{id: id, token: t, accessor: accessor, namespace: ns, origin: x.opt.AutoAuthPaths[name]}
	}
	x.addAuto(n, hold{name, time.Now().UnixNano()})
	x.saveToken(n)
}

// release takes a token from the login that held it. It goes with its last login, or at the end that is known of it; zero for none.
func (x *Index) release(n *node, name vault.AutoAuthName, ends time.Time) {
	n.yield(name)
	delete(x.auto, name)
	switch {
	case n.auto():
	case ends.IsZero():
		x.removeNode(n)
		return
	default:
		x.setAside(n, ends)
	}
	x.saveToken(n)
}

// HeldUntil notes when a current auto-auth token ends unless it is renewed, for the restart; zero for never, or not known. Nothing else changes:
// whoever holds the token renews it, so that what hangs on it is not cut short.
func (x *Index) HeldUntil(t vault.Token, ends time.Time) {
	x.mu.Lock()
	if n := x.tokens[t.ID()]; n != nil && n.auto() && n.expires != nanosOf(ends) {
		n.expires = nanosOf(ends)
		x.saveToken(n)
	}
	x.mu.Unlock()
	x.flush()
}

func (x *Index) addAuto(n *node, h hold) {
	x.add(n)
	x.dropAlarm(&n.alarm)
	if n.ends != 0 { // it had been set aside, and what hangs on it cut short
		n.ends = 0
		n.below(func(e *Entry) {
			if !e.last && e.alarm.at > e.end.Load()-int64(minLead) {
				x.setAlarm(&e.alarm, time.Unix(0, atOnce)) // at once: only a renewal tells how long it lives
			}
		})
	}
	n.take(h)
	x.auto[h.name] = n
}

func (x *Index) add(n *node) {
	if x.tokens[n.id] == nil {
		x.bytes += n.size()
	}
	x.tokens[n.id] = n
	if n.accessor != "" {
		x.byAccessor[n.accessor] = n
	}
	x.namespaces[n.namespace] = true
}

// setAside lets a token without an answer live until it ends: a superseded auto-auth token, a login that is not served any more.
// What hangs on it ends with it, and hits say so.
func (x *Index) setAside(n *node, ends time.Time) {
	n.expires, n.alarm.node, n.ends = 0, n, ends.UnixNano()
	x.setAlarm(&n.alarm, ends)
	n.below(func(e *Entry) { e.setEnd(time.Unix(0, e.end.Load())) })
}

// below calls f with every entry that hangs on n, near or far.
func (n *node) below(f func(*Entry)) {
	for todo := []*node{n}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for child := range n.children {
			if child.entry != nil {
				f(child.entry)
			}
			todo = append(todo, child)
		}
		for l := range n.leases {
			f(l)
		}
	}
}

// Release takes a token from the auto-auth login that held it and has no other. What hangs on the token goes with it, unless another login holds it too:
// two may read the same token file, and one learn later than the other that the token was renewed.
func (x *Index) Release(name vault.AutoAuthName, t vault.Token) {
	x.mu.Lock()
	if n := x.auto[name]; n != nil && n.id == t.ID() {
		x.release(n, name, time.Time{})
	}
	x.mu.Unlock()
	x.flush()
}

// Lose drops a token and all that hangs on it, whoever holds it: Vault does not know it any more.
func (x *Index) Lose(t vault.Token) {
	x.mu.Lock()
	if n := x.tokens[t.ID()]; n != nil {
		x.removeNode(n)
	}
	x.mu.Unlock()
	x.flush()
}

// Manages reports whether leases that are created with t can be kept: it is held, or of auto-auth.
func (x *Index) Manages(t vault.Token) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.tokens[t.ID()] != nil
}

// Accessor returns the accessor of a token in the tree; "" when the token is not in it, or is a batch token.
func (x *Index) Accessor(t vault.Token) vault.Accessor {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := x.tokens[t.ID()]; n != nil {
		return n.accessor
	}
	return ""
}
