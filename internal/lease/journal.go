package lease

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"leasehold/internal/vault"
)

// journal is where entries outlive the process.
type journal interface {
	// Write returns when all changes are on disk, or none.
	Write(changes []Change) error
	// Each calls f with every record that can still be read.
	Each(f func(record []byte) error) error
}

// Change is one record of the journal to be written, or removed when it has none.
type Change struct {
	ID     [sha256.Size]byte
	Record []byte // holds tokens and secrets in the clear: the journal seals it
}

// record is an entry, or a token without an answer, as the journal has it. Times are absolute: a restart renews nothing that is not due.
type record struct {
	Key       []byte
	Namespace vault.Namespace
	Path      string
	LeaseID   vault.LeaseID  `json:",omitempty"`
	Owner     []byte         `json:",omitempty"` // the id of the token that it hangs on
	Token     string         `json:",omitempty"` // of a token, with its accessor
	Accessor  vault.Accessor `json:",omitempty"`
	Auto      bool           `json:",omitempty"` // an auto-auth token, which has no answer
	Life      time.Duration
	End       int64    // Unix nanoseconds; 0 of the current auto-auth token, whose end Vault is asked for
	Last      bool     `json:",omitempty"`
	Replaced  bool     `json:",omitempty"`
	Request   *Request `json:",omitempty"`
	Status    int
	Header    []Field
	Body      []byte
	Received  time.Time
	Digits    [2]int
}

// recordID names the record of a lease or a token.
func (e *Entry) recordID() [sha256.Size]byte {
	if e.token != nil {
		return e.token.id
	}
	return leaseRecord(e.leaseID)
}

func leaseRecord(id vault.LeaseID) [sha256.Size]byte { return sha256.Sum256([]byte("lease " + id)) }

// save and forget note a change for the next flush, the latest of each record. Both are called with the lock held, so that the journal never sees an
// older one after a newer.
func (x *Index) save(e *Entry) {
	if x.opt.Journal == nil {
		return
	}
	r := record{
		Key: e.key[:], Namespace: e.namespace, Path: e.path, LeaseID: e.leaseID, Life: e.life, End: e.end.Load(), Last: e.last, Replaced: e.replaced, Request: e.request,
		Status: e.answer.Status, Header: e.answer.Header.Fields, Body: e.answer.Body, Received: e.answer.Received,
		Digits: [2]int{e.answer.digits.from, e.answer.digits.to},
	}
	if e.owner != nil {
		r.Owner = e.owner.id[:]
	}
	if e.token != nil {
		r.Token, r.Accessor = e.token.token.Reveal(), e.token.accessor
	}
	x.enqueue(e.recordID(), &r)
}

// saveNode is save for a token without an answer.
func (x *Index) saveNode(n *node) {
	if x.opt.Journal == nil || n.entry != nil { // a cached login that became the auto-auth token has its record
		return
	}
	r := &record{Namespace: n.namespace, Path: n.origin, Token: n.token.Reveal(), Accessor: n.accessor, Auto: true}
	if !n.auto {
		r.End = n.alarm.at
	}
	if n.parent != nil {
		r.Owner = n.parent.id[:]
	}
	x.enqueue(n.id, r)
}

func (x *Index) enqueue(id [sha256.Size]byte, r *record) {
	text, err := json.Marshal(r)
	if err != nil { // strings, numbers and bytes always marshal; without a record the entry is only not restored
		return
	}
	x.changes[id] = text
}

func (x *Index) forget(id [sha256.Size]byte) {
	if x.opt.Journal != nil {
		x.changes[id] = nil
	}
}

// flush returns when every change that was made before is on disk. Those who wait here for another's write find theirs written with the next:
// one commit serves all. A journal that fails costs what a restart would have brought back.
func (x *Index) flush() {
	if x.opt.Journal == nil {
		return
	}
	x.flushing.Lock()
	defer x.flushing.Unlock()
	x.mu.Lock()
	changes := make([]Change, 0, len(x.changes))
	for id, text := range x.changes {
		changes = append(changes, Change{id, text})
	}
	clear(x.changes)
	x.mu.Unlock()
	if len(changes) == 0 {
		return
	}
	if err := x.opt.Journal.Write(changes); err != nil {
		x.opt.Log.Error("the state file was not written; what changed just now is tried again with the next change", slog.Any("error", err))
		x.mu.Lock()
		for _, c := range changes {
			if _, newer := x.changes[c.ID]; !newer {
				x.changes[c.ID] = c.Record
			}
		}
		x.mu.Unlock()
	}
}

// Restored tells what a restart brought back.
type Restored struct {
	Entries int
	Dropped int         // ended meanwhile, or hung on a token that is not there
	Auto    vault.Token // the last auto-auth token, to be tried before a new login; zero if there is none
}

// Restore reads the journal into an empty index. What has ended is dropped; what lives waits for its due time.
func (x *Index) Restore(now time.Time) (Restored, error) {
	var out Restored
	var records []record
	err := x.opt.Journal.Each(func(text []byte) error {
		var r record
		if json.Unmarshal(text, &r) != nil || !r.whole() {
			out.Dropped++ // a bad record costs that record
			return nil
		}
		records = append(records, r)
		return nil
	})
	if err != nil {
		return Restored{}, fmt.Errorf("restore the cache: %w", err)
	}
	// Tokens before leases; children wait until their parent is there.
	slices.SortStableFunc(records, func(a, b record) int { return cmp.Compare(a.rank(), b.rank()) })
	x.mu.Lock()
	for before := -1; len(records) != before; {
		before = len(records)
		records = slices.DeleteFunc(records, func(r record) bool { return x.restore(&r, now, &out) })
	}
	for i := range records { // their tokens are not there
		x.forget(records[i].id())
		out.Dropped++
	}
	x.mu.Unlock()
	x.flush()
	return out, nil
}

// whole tells whether a record has what an entry needs.
func (r *record) whole() bool {
	if r.Auto {
		return r.Token != "" && (len(r.Owner) == 0 || len(r.Owner) == sha256.Size)
	}
	from, to := r.Digits[0], r.Digits[1]
	return len(r.Key) == sha256.Size && (len(r.Owner) == 0 || len(r.Owner) == sha256.Size) && (r.LeaseID == "") != (r.Token == "") &&
		(r.LeaseID == "" || len(r.Owner) > 0) && 0 <= from && from <= to && to <= len(r.Body) && r.End != 0 && r.Life > 0
}

// restore enters one record and reports whether it is dealt with; if not, its token may come with a later one.
func (x *Index) restore(r *record, now time.Time, out *Restored) bool {
	var owner *node
	if len(r.Owner) > 0 {
		owner = x.tokens[vault.TokenID(r.Owner)]
	}
	switch {
	case r.End != 0 && r.End <= now.UnixNano():
		x.forget(r.id())
		out.Dropped++
	case len(r.Owner) > 0 && owner == nil:
		return false
	case r.Auto:
		t := vault.NewToken(r.Token)
		n := &node{id: t.ID(), token: t, accessor: r.Accessor, namespace: r.Namespace, origin: r.Path, parent: owner}
		if owner != nil {
			owner.adopt(n)
		}
		if r.End != 0 {
			x.add(n)
			x.setAside(n, time.Unix(0, r.End))
			break
		}
		out.Auto = t
		x.addAuto(n)
	default:
		x.restoreEntry(r, owner)
		out.Entries++
	}
	return true
}

func (x *Index) restoreEntry(r *record, owner *node) {
	e := &Entry{
		key: Key(r.Key), namespace: r.Namespace, path: r.Path, leaseID: r.LeaseID, owner: owner, life: r.Life, last: r.Last, replaced: r.Replaced,
		rule:   x.ruleOf(r.Path),
		answer: Answer{Status: r.Status, Header: x.shareHeader(r.header()), Body: r.Body, Received: r.Received, digits: span{r.Digits[0], r.Digits[1]}},
	}
	if r.LeaseID != "" {
		if e.rule.RefreshAhead {
			e.request = r.Request
		}
		x.hangLease(e)
	} else {
		x.hangToken(e, &Auth{Token: vault.NewToken(r.Token), Accessor: r.Accessor, Orphan: owner == nil})
	}
	x.namespaces[e.namespace] = true
	e.size = e.measure()
	began := time.Unix(0, r.End).Add(-r.Life)
	x.insert(e, began)
	if !e.replaced {
		x.publish(e, began, false)
	}
}

func (r *record) header() map[string][]string {
	h := make(map[string][]string, len(r.Header))
	for _, f := range r.Header {
		h[f.Name] = f.Values
	}
	return h
}

func (r *record) id() [sha256.Size]byte {
	if r.LeaseID != "" {
		return leaseRecord(r.LeaseID)
	}
	return vault.NewToken(r.Token).ID()
}

func (r *record) rank() int {
	switch {
	case r.Auto:
		return 0
	case r.Token != "":
		return 1
	default:
		return 2
	}
}
