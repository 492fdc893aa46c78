package lease

import (
	"time"

	"leasehold/internal/vault"
)

// Recode decodes a record as a restart does, and encodes what came of it.
func Recode(record []byte) ([]byte, error) {
	rec, err := parseRecord(record)
	if err != nil {
		return nil, err
	}
	r := restorer{x: NewIndex(Options{Rules: []Rule{{RefreshAhead: true}}})}
	c, err := r.decode(&rec)
	if err != nil {
		return nil, err
	}
	e := c.lease
	if c.token != nil {
		e = c.token.entry
	}
	if rec.owner != nil {
		owner := &node{id: vault.TokenID(rec.owner)}
		if c.token != nil {
			c.token.parent = owner
		} else {
			c.lease.owner = owner
		}
	}
	if e != nil && e.alarm.at != 0 {
		e.alarm.pos = 1
	}
	b, _ := c.record()
	return b, nil
}

// CatchUp does what the clock does about the journal by itself.
func (x *Index) CatchUp() {
	for x.catchUp() {
		continue
	}
}

// Thing is all that is remembered of a lease or a token.
type Thing struct {
	Entry          bool
	Auto           []vault.AutoAuthName // the logins whose current token it is
	Owner          vault.TokenID
	Namespace      vault.Namespace
	Path, Origin   string
	Accessor       vault.Accessor
	Ends, Expires  int64
	Key            Key
	Status         int
	Fields         []Field
	Body           string
	Received, Life int64
	Last, Replaced bool
	Digits         [2]int
	Request        *Request
	End, Planned   int64 `json:"-"`
	Alive          bool  // and so is what it hangs on
}

// Dump is what the index holds, by token and lease id.
func (x *Index) Dump(now time.Time) map[string]Thing {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := map[string]Thing{}
	for _, n := range x.tokens {
		d := Thing{
			Namespace: n.namespace, Origin: n.origin, Accessor: n.accessor, Ends: n.ends, Expires: n.expires,
			Alive: alive(n, now),
		}
		if n.parent != nil {
			d.Owner = n.parent.id
		}
		for _, h := range n.holds {
			d.Auto = append(d.Auto, h.name)
		}
		d.add(n.entry)
		all[n.token.Reveal()] = d
	}
	for id, l := range x.byLease {
		d := Thing{Namespace: l.namespace, Owner: l.owner.id, Alive: alive(l.owner, now) && l.end.Load() > now.UnixNano()}
		d.add(l)
		all[string(id)] = d
	}
	return all
}

func alive(n *node, now time.Time) bool {
	for ; n != nil; n = n.parent {
		if n.until() <= now.UnixNano() {
			return false
		}
	}
	return true
}

func (d *Thing) add(e *Entry) {
	if e == nil {
		return
	}
	a := &e.answer
	d.Entry, d.Path, d.Key, d.Life, d.Last, d.Replaced = true, e.path, e.key, int64(e.life), e.last, e.replaced
	d.Status, d.Fields, d.Body, d.Received = a.Status, a.Header.Fields, string(a.Body), a.Received.UnixNano()
	d.Digits, d.Request, d.End, d.Planned = [2]int{a.digits.from, a.digits.to}, e.request, e.end.Load(), e.planned()
}

// RevocationRecord is what the journal has of a revocation under way.
func RevocationRecord(e Eviction) []byte { return (&doubt{eviction: e}).record() }

// ParseRevocation is its counterpart.
func ParseRevocation(b []byte) (Eviction, bool) {
	d, ok := parseDoubt(b)
	if !ok {
		return Eviction{}, false
	}
	return d.eviction, true
}
