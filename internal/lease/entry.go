package lease

import (
	"cmp"
	"crypto/sha256"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"leasehold/internal/vault"
)

// Key names a request by everything that changes Vault's answer to it, the token included.
type Key [sha256.Size]byte

// Answer is a stored answer, ready to be written. It never changes.
type Answer struct {
	Status   int
	Header   *Header // shared between answers that have the same
	Body     []byte
	Received time.Time

	digits span // where in Body the remaining seconds stand
}

// Split returns the body around the digits of lease_duration.
func (a *Answer) Split() (before, digits, after []byte) {
	return a.Body[:a.digits.from], a.Body[a.digits.from:a.digits.to], a.Body[a.digits.to:]
}

// Header is the set of header fields of an answer, without those that belong to one
// transfer (Date, Content-Length, hop-by-hop).
type Header struct {
	Fields []Field // in the order of their names

	coded []byte // as records have them
}

// Field is one header field. Values must not be changed.
type Field struct {
	Name   string
	Values []string
}

// transfer are the fields that are not stored: they belong to a connection, a moment, or to the cache itself.
var transfer = map[string]bool{
	"Age": true, "Connection": true, "Content-Encoding": true, "Content-Length": true, "Date": true, "Keep-Alive": true,
	"Set-Cookie": true, "Proxy-Authenticate": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
	"Upgrade": true, "X-Cache": true, "X-Cache-Reason": true,
}

func newHeader(h http.Header) *Header {
	fields := slices.DeleteFunc(sorted(h), func(f Field) bool { return transfer[f.Name] })
	return &Header{Fields: fields, coded: appendFields(nil, fields)}
}

// same reports whether h has exactly the fields that newHeader(o) would have.
func (h *Header) same(o http.Header) bool {
	n := 0
	for name := range o {
		if !transfer[name] {
			n++
		}
	}
	if n != len(h.Fields) {
		return false
	}
	for _, f := range h.Fields {
		values := o[f.Name]
		if len(values) != len(f.Values) {
			return false
		}
		for i := range values {
			if values[i] != f.Values[i] {
				return false
			}
		}
	}
	return true
}

// Entry is one kept lease or token. All but its end is fixed when it is kept; the Index owns the rest.
type Entry struct {
	key       Key
	answer    Answer // in place: a hit has one less to fetch from memory, and so has the collector
	namespace vault.Namespace
	path      string // as FullPath spells it
	leaseID   vault.LeaseID
	owner     *node // the token that the lease hangs on; a token's parent; nil for an orphan
	token     *node // of a token entry: the token itself
	life      time.Duration
	end       atomic.Int64 // Unix nanoseconds by the wall clock, since Vault ends leases by it; 0 once removed
	attempts  int          // renewals failed in a row
	rule      *Rule
	request   *Request // what brings a successor; nil unless the rule says RefreshAhead
	alarm     alarm
	size      int64       // as measure gave it
	keptUntil int64       // Unix nanoseconds: the latest end that the journal may have of it; 0 when it has none
	last      bool        // cannot be extended further
	replaced  bool        // its key answers with another: it is not extended, and lives on for those who hold it
	due       atomic.Bool // to be replaced, although it is still good
	hit       atomic.Bool // since its last renewal; only kept when the rule says RefreshAhead
	hits      atomic.Uint32
}

// Request is what is sent again to replace an entry before it ends. It may hold secrets.
type Request struct {
	Method string
	Target string // path and query as the client sent them
	Header http.Header
	Body   []byte
}

func (r *Request) size() int64 {
	if r == nil {
		return 0
	}
	n := len(r.Method) + len(r.Target) + len(r.Body) + requestOverhead
	for name, values := range r.Header {
		n += len(name) + 64
		for _, v := range values {
			n += len(v)
		}
	}
	return int64(n)
}

// Answer returns what Vault answered when the entry was kept.
func (e *Entry) Answer() *Answer { return &e.answer }

// Remaining returns what is left of the lease at now; zero or less when it has ended or was removed.
func (e *Entry) Remaining(now time.Time) time.Duration {
	return time.Duration(e.end.Load() - now.UnixNano())
}

// Due reports whether the entry, still good, is to be replaced: it cannot be extended, and nears its end.
func (e *Entry) Due() bool { return e.due.Load() }

// Touch notes a hit.
func (e *Entry) Touch() {
	e.hits.Add(1)
	if e.request != nil && !e.hit.Load() { // a load first: a hit must not take the cache line from other cores
		e.hit.Store(true)
	}
}

// Request returns what brings a successor, and the token to send it with; nil when the entry is not refreshed ahead. Neither must be changed.
func (e *Entry) Request() (*Request, vault.Token) {
	if e.request == nil {
		return nil, vault.Token{}
	}
	return e.request, e.owner.token
}

// measure is what an entry is counted as: its own bytes and a measured allowance for its place in maps and heap.
func (e *Entry) measure() int64 {
	return int64(len(e.answer.Body)+len(e.path)+2*len(e.leaseID)) + entryOverhead + e.request.size()
}

// Overheads are the memory beyond the texts, as measured at 100,000 leases, and some to be on the safe side.
const (
	entryOverhead   = 512
	nodeOverhead    = 512
	requestOverhead = 256
)

// node is a token in the tree: a cached token, or an auto-auth token.
type node struct {
	id        vault.TokenID
	token     vault.Token
	accessor  vault.Accessor
	namespace vault.Namespace
	parent    *node
	children  map[*node]struct{}
	leases    map[*Entry]struct{}
	entry     *Entry // nil when there is no answer to serve: an auto-auth token, or a login that was cleared or nears its max TTL
	origin    string // the path of its login inside the namespace, with a slash at the end; "" when unknown
	holds     []hold // by name: the auto-auth logins whose current token it is; none of most tokens
	expires   int64  // Unix nanoseconds: when a current auto-auth token ends unless it is renewed; 0 when not known
	ends      int64  // Unix nanoseconds: a token that was set aside is not renewed, and what hangs on it ends with it; 0 when not known
	keptUntil int64  // as an Entry has it
	alarm     alarm  // when a token without an entry ends; never set for a current auto-auth token
}

// hold is that a token is an auto-auth login's current one.
type hold struct {
	name  vault.AutoAuthName
	since int64 // Unix nanoseconds
}

// auto reports whether a token is a current one of auto-auth.
func (n *node) auto() bool { return len(n.holds) > 0 }

// place is where the hold of a name is among those of n, or would be.
func (n *node) place(name vault.AutoAuthName) (int, bool) {
	return slices.BinarySearchFunc(n.holds, name, func(h hold, name vault.AutoAuthName) int { return cmp.Compare(h.name, name) })
}

// take makes n a login's current token.
func (n *node) take(h hold) {
	if i, held := n.place(h.name); !held {
		n.holds = slices.Insert(n.holds, i, h)
	}
}

// yield is take's counterpart.
func (n *node) yield(name vault.AutoAuthName) {
	if i, held := n.place(name); held {
		n.holds = slices.Delete(n.holds, i, i+1)
	}
}

func (n *node) size() int64 {
	return int64(len(n.token.Reveal())+len(n.accessor)+len(n.origin)) + nodeOverhead
}
