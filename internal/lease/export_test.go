package lease

import (
	"fmt"
	"time"

	"leasehold/internal/vault"
)

// Next takes what the clock would take at now, and reports whether there was something.
func (x *Index) Next(now time.Time) (e *Entry, refresh bool) {
	t, _ := x.next(now)
	return t.entry, t.refresh
}

// Check returns what is wrong with the index, if anything is: whatever was done with it, all its maps tell the same.
func (x *Index) Check() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := check{x: x, alarms: map[*alarm]bool{}}
	for h, list := range map[bool]alarms{false: x.alarms, true: x.ready} {
		for i, a := range list {
			c.that(a.pos == i+1 && a.ready == h && (a.entry == nil) != (a.node == nil), "an alarm is not where it says")
			c.that(i == 0 || list[(i-1)/2].at <= a.at, "the heap is not one")
			c.alarms[a] = true
		}
	}
	for id, n := range x.tokens {
		c.node(n)
		c.that(n.id == id && n.token.ID() == id, "a token is filed under another's id")
	}
	for a, n := range x.byAccessor {
		c.that(n.accessor == a && x.tokens[n.id] == n, "an accessor names no token")
	}
	for id, l := range x.byLease {
		c.entry(l)
		_, hangs := l.owner.leases[l]
		c.that(l.leaseID == id && hangs && x.tokens[l.owner.id] == l.owner, "a lease without its token")
	}
	for name, n := range x.auto {
		_, holds := n.place(name)
		c.that(holds && x.tokens[n.id] == n && n.alarm.pos == 0, "the auto-auth token of %q is not held", name)
	}
	for i := range x.shard {
		for k, e := range x.shard[i].byKey {
			c.that(e.key == k && e.end.Load() != 0 && !e.replaced && c.seen[e], "a key shows what is not held")
		}
	}
	c.that(x.bytes == c.bytes && x.entries == len(c.seen), "counted %d bytes of %d entries, held are %d of %d", x.bytes, x.entries, c.bytes, len(c.seen))
	c.that(len(c.alarms) == 0, "%d alarms of nobody", len(c.alarms))
	return c.err
}

type check struct {
	x      *Index
	alarms map[*alarm]bool // not yet met
	seen   map[*Entry]bool
	bytes  int64
	err    error
}

func (c *check) that(ok bool, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *check) node(n *node) {
	c.bytes += n.size()
	c.that(n.entry != nil || n.auto() || n.alarm.pos != 0, "a token without an answer never ends")
	for i, h := range n.holds {
		c.that(c.x.auto[h.name] == n, "two auto-auth tokens of %q", h.name)
		c.that(i == 0 || n.holds[i-1].name < h.name, "the holders of a token are not in order")
	}
	if n.parent != nil {
		_, hangs := n.parent.children[n]
		c.that(hangs && c.x.tokens[n.parent.id] == n.parent, "a child without its parent")
	}
	for child := range n.children {
		c.that(child.parent == n && c.x.tokens[child.id] == child, "a parent of a child that is not there")
	}
	for l := range n.leases {
		c.that(l.owner == n && c.x.byLease[l.leaseID] == l, "a token with a lease that is not there")
	}
	if n.entry != nil {
		c.that(n.entry.token == n && n.entry.owner == n.parent, "a token's answer hangs elsewhere")
		c.entry(n.entry)
	}
	delete(c.alarms, &n.alarm)
}

func (c *check) entry(e *Entry) {
	if c.seen == nil {
		c.seen = map[*Entry]bool{}
	}
	c.seen[e] = true
	c.bytes += e.measure()
	c.that(e.end.Load() != 0, "an entry that was removed is held")
	for n := e.owner; n != nil; n = n.parent {
		c.that(n.ends == 0 || e.end.Load() <= n.ends, "an entry outlives its token")
	}
	delete(c.alarms, &e.alarm)
}

// Done ends a renewal as the clock would.
func (x *Index) Done(e *Entry, how string, now time.Time) {
	switch how {
	case "granted":
		x.extend(e, vault.Grant{TTL: e.life, Renewable: true}, now, true)
	case "cut":
		x.extend(e, vault.Grant{TTL: e.life / 2, Renewable: true}, now, true)
	case "refused":
		x.drop(e)
	case "failed":
		x.retry(e, now)
	}
}

// Shift is what a wall clock that was set back leads to.
func (x *Index) Shift(d time.Duration) { x.shift(d) }
