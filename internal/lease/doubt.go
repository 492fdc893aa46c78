package lease

import (
	"crypto/rand"
	"crypto/sha256"
	"math"

	"leasehold/internal/vault"
)

// doubt is an eviction whose outcome is open: Vault is being asked to revoke that. It stands in the journal meanwhile.
type doubt struct {
	id        recordID
	eviction  Eviction
	keptUntil int64
}

// Announce is called before Vault is asked to revoke what e names. From its return on a restart takes that to have happened, whatever becomes of this
// process: Vault may act and nobody be there to hear of it. settle tells what Vault did, once: what it may have revoked leaves the index as by Evict, with
// Evict's results.
func (x *Index) Announce(e Eviction) (settle func(acted bool) (gone int, lost []vault.Token)) {
	x.mu.Lock()
	d := x.doubt(e)
	x.mu.Unlock()
	if d != nil {
		x.flush()
	}
	return func(acted bool) (gone int, lost []vault.Token) {
		if acted {
			gone, lost = x.Evict(e)
		}
		if d != nil {
			x.dispel(d)
		}
		return gone, lost
	}
}

// doubt notes an eviction to come; it returns nil when that would take nothing from the journal.
func (x *Index) doubt(e Eviction) *doubt {
	if !x.journaled() || !x.mayTake(e) {
		return nil
	}
	d := &doubt{eviction: e}
	_, _ = rand.Read(d.id[:]) // never fails
	x.ledger.doubts[d.id] = d
	x.note(d.id, change{doubt: d, revoked: true})
	return d
}

// mayTake tells whether there is anything of what e names. For what a prefix names that takes a scan, which a request that Vault may well refuse is not worth.
func (x *Index) mayTake(e Eviction) bool {
	switch e.Scope {
	case ScopeToken, ScopeOrphaning:
		return x.tokens[vault.NewToken(e.Value).ID()] != nil
	case ScopeAccessor:
		return x.byAccessor[vault.Accessor(e.Value)] != nil
	case ScopeLease:
		return x.byLease[vault.LeaseID(e.Value)] != nil
	default:
		return len(x.tokens) > 0 && (!e.InPath || x.namespaces[e.Namespace])
	}
}

// dispel takes a doubt out of the journal. What it was about is on disk by now, so nobody needs to wait for that: until then a restart only forgets more.
func (x *Index) dispel(d *doubt) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.ledger.doubts, d.id)
	x.note(d.id, change{})
	if x.journaled() {
		x.catchUpSoon()
	}
}

// flagDoubt is the only flag of a doubt's record:
//
//	version, flags, id, scope, what else is set, namespace, value
const (
	flagDoubt  = 1 << 7
	doubtInNS  = 1 << 0
	doubtClear = 1 << 1
)

// record is a doubt's record. It may hold a token.
func (d *doubt) record() []byte {
	var set byte
	if d.eviction.InPath {
		set |= doubtInNS
	}
	if d.eviction.Clear {
		set |= doubtClear
	}
	b := append([]byte{recordVersion, flagDoubt}, d.id[:]...)
	b = append(b, byte(d.eviction.Scope), set)
	return appendText(appendText(b, d.eviction.Namespace), d.eviction.Value)
}

// parseDoubt reads a doubt's record; false for any other.
func parseDoubt(b []byte) (*doubt, bool) {
	c := cursor{rest: b}
	if c.byte() != recordVersion || c.byte() != flagDoubt {
		return nil, false
	}
	id, scope, set := c.take(sha256.Size), Scope(c.byte()), c.byte()
	namespace, value := c.text(), c.text()
	if c.failed || len(c.rest) != 0 || scope > ScopeAll || set > doubtInNS|doubtClear {
		return nil, false
	}
	return &doubt{id: recordID(id), keptUntil: math.MaxInt64, eviction: Eviction{
		Scope: scope, Namespace: vault.Namespace(namespace), Value: string(value), InPath: set&doubtInNS != 0, Clear: set&doubtClear != 0,
	}}, true
}
