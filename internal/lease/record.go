package lease

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"math"
	"net/http"
	"time"
)

// A record is one entry, or a token without an answer, as the journal has it. Times are absolute, so that a restart renews nothing that is not due:
// Unix nanoseconds in 8 bytes, 0 for none. Texts and numbers have or are uvarints. Each thing has exactly one form.
//
//	version, flags, namespace, path, [id of the owner]
//	lease: lease id
//	token: token, accessor, end, [how many hold it, then of each: name, since when]
//	with an answer: key, life, end, due, status, received, header, body, digits from, digits to
//	[request: method, target, header, body]
const recordVersion = 2

const (
	flagAnswer   = 1 << iota // a lease, or a token whose answer is served
	flagLease                // else it is a token
	flagAuto                 // a current auto-auth token
	flagOwner                // hangs on a token
	flagLast                 // cannot be extended further
	flagReplaced             // its key answers with another
	flagRequest              // has what brings its successor
	flagsKnown   = 1<<iota - 1
)

// record is a record taken apart; the slices are the record's own bytes.
type record struct {
	flags                byte
	namespace, path      []byte // the path that a token without an answer has is that of its login
	owner                []byte // the id of the token that it hangs on; nil for none
	leaseID              []byte
	token, accessor      []byte
	ends                 int64  // of a token: its end when that is known apart from its answer's
	holds                []byte // of an auto-auth token: its holders, all but their number
	key                  []byte
	life                 time.Duration
	end, due, received   int64
	status               int
	header, body         []byte
	digits               span
	method, target, sent []byte // of the request, with its header
	payload              []byte
}

var errRecord = errors.New("not a record of a lease or a token")

// parseRecord takes a record apart. It allocates nothing.
func parseRecord(b []byte) (r record, err error) {
	c := cursor{rest: b}
	if c.byte() != recordVersion {
		return r, errRecord
	}
	r.flags = c.byte()
	r.namespace, r.path = c.text(), c.text()
	if r.is(flagOwner) {
		r.owner = c.take(sha256.Size)
	}
	if r.is(flagLease) {
		r.leaseID = c.text()
	} else {
		r.token, r.accessor, r.ends = c.text(), c.text(), c.nanos()
	}
	if r.is(flagAuto) {
		r.holds = c.holds()
	}
	if r.is(flagAnswer) {
		r.key, r.life = c.take(sha256.Size), time.Duration(c.nanos())
		r.end, r.due, r.status, r.received = c.nanos(), c.nanos(), c.number(), c.nanos()
		r.header, r.body = c.text(), c.text()
		r.digits = span{c.number(), c.number()}
	}
	if r.is(flagRequest) {
		r.method, r.target, r.sent, r.payload = c.text(), c.text(), c.text(), c.text()
	}
	if c.failed || len(c.rest) != 0 || !r.whole() {
		return record{}, errRecord
	}
	return r, nil
}

func (r *record) is(flag byte) bool { return r.flags&flag != 0 }

// whole tells whether a record has what an entry needs.
func (r *record) whole() bool {
	answer, lease := r.is(flagAnswer), r.is(flagLease)
	switch {
	case r.flags > flagsKnown:
		return false
	case lease && (!answer || !r.is(flagOwner) || r.is(flagAuto) || len(r.leaseID) == 0):
		return false
	case !lease && (len(r.token) == 0 || r.is(flagRequest)):
		return false
	case !answer:
		return !r.is(flagLast|flagReplaced) && (r.is(flagAuto) || r.ends != 0)
	case r.due < 0 || r.due != 0 && r.is(flagLast|flagReplaced): // it is not renewed
		return false
	default:
		return r.end != 0 && r.life > 0 && r.digits.from <= r.digits.to && r.digits.to <= len(r.body)
	}
}

// until is when a restart would not enter it any more; the end of time when nobody knows.
func (r *record) until() int64 { return earliest(r.end, r.ends) }

// earliest of those times that are known.
func earliest(times ...int64) int64 {
	first := int64(math.MaxInt64)
	for _, t := range times {
		if t != 0 {
			first = min(first, t)
		}
	}
	return first
}

// until is the same of a token in the tree.
func (n *node) until() int64 {
	if n.entry != nil {
		return earliest(n.entry.end.Load(), n.ends, n.expires)
	}
	return earliest(n.ends, n.expires)
}

// record is a lease's record. It holds tokens and secrets.
func (e *Entry) record() []byte {
	flags := e.flags() | flagLease | flagOwner
	if e.request != nil {
		flags |= flagRequest
	}
	b := make([]byte, 0, recordOverhead+len(e.namespace)+len(e.path)+len(e.leaseID)+len(e.answer.Header.coded)+len(e.answer.Body)+int(e.request.size()))
	b = appendText(append(b, recordVersion, flags), e.namespace)
	b = append(appendText(b, e.path), e.owner.id[:]...)
	b = e.appendAnswer(appendText(b, e.leaseID))
	if q := e.request; q != nil {
		b = appendText(appendText(b, q.Method), q.Target)
		b = appendText(appendText(b, appendFields(nil, sorted(q.Header))), q.Body)
	}
	return b
}

// recordOverhead is room for what is of fixed length in a record, and for the lengths of the rest.
const recordOverhead = 200

// record is a token's record, with its answer if that is served. It holds the token.
func (n *node) record() []byte {
	var flags byte
	path, size := n.origin, 0
	if e := n.entry; e != nil {
		flags, path, size = e.flags(), e.path, len(e.answer.Header.coded)+len(e.answer.Body)
	}
	if n.parent != nil {
		flags |= flagOwner
	}
	if n.auto() {
		flags |= flagAuto
	}
	b := make([]byte, 0, recordOverhead+len(n.namespace)+len(path)+len(n.token.Reveal())+len(n.accessor)+size)
	b = appendText(append(b, recordVersion, flags), n.namespace)
	b = appendText(b, path)
	if n.parent != nil {
		b = append(b, n.parent.id[:]...)
	}
	b = appendText(appendText(b, n.token.Reveal()), n.accessor)
	if n.auto() {
		b = appendHolds(appendNanos(b, n.expires), n.holds)
	} else {
		b = appendNanos(b, n.ends)
	}
	if n.entry != nil {
		b = n.entry.appendAnswer(b)
	}
	return b
}

func (e *Entry) flags() byte {
	flags := byte(flagAnswer)
	if e.last {
		flags |= flagLast
	}
	if e.replaced {
		flags |= flagReplaced
	}
	return flags
}

func (e *Entry) appendAnswer(b []byte) []byte {
	a := &e.answer
	b = appendNanos(append(b, e.key[:]...), int64(e.life), e.end.Load(), e.planned())
	b = appendNanos(appendNumber(b, a.Status), nanosOf(a.Received))
	b = appendText(appendText(b, a.Header.coded), a.Body)
	return appendNumber(appendNumber(b, a.digits.from), a.digits.to)
}

// planned is when the clock will renew the entry; 0 when it is due, or will not be renewed.
func (e *Entry) planned() int64 {
	if e.last || e.replaced || e.alarm.pos == 0 || e.alarm.ready {
		return 0
	}
	return max(e.alarm.at, 1)
}

// requested is the request of a record; nil when it has none.
func (r *record) requested() (*Request, error) {
	if !r.is(flagRequest) {
		return nil, nil
	}
	fields, err := parseFields(r.sent)
	if err != nil {
		return nil, err
	}
	q := &Request{Method: string(r.method), Target: string(r.target), Body: copied(r.payload)}
	if len(fields) > 0 {
		q.Header = make(http.Header, len(fields))
	}
	for _, f := range fields {
		q.Header[f.Name] = f.Values
	}
	return q, nil
}

// RecordInfo is what may be shown of a record.
type RecordInfo struct {
	Kind string    // "lease", "token", "auto-auth token", or "revocation": one that is under way
	End  time.Time // zero when it is not known
	Size int       // of the answer's body, in bytes
}

// InspectRecord tells what a record is, without its secrets, names and paths.
func InspectRecord(b []byte) (RecordInfo, error) {
	if _, ok := parseDoubt(b); ok {
		return RecordInfo{Kind: "revocation"}, nil
	}
	r, err := parseRecord(b)
	if err != nil {
		return RecordInfo{}, err
	}
	_, badHeader := parseFields(r.header)
	_, badRequest := r.requested()
	if err := cmp.Or(badHeader, badRequest); err != nil {
		return RecordInfo{}, err
	}
	info := RecordInfo{Kind: "token", Size: len(r.body)}
	switch {
	case r.is(flagLease):
		info.Kind = "lease"
	case r.is(flagAuto):
		info.Kind = "auto-auth token"
	}
	if until := r.until(); until != math.MaxInt64 {
		info.End = timeOf(until)
	}
	return info, nil
}

// codedHeader is the header set of a record. Answers nearly all have the same one as the last, which is then shared without a look inside.
func (x *Index) codedHeader(coded []byte) (*Header, error) {
	if x.header != nil && bytes.Equal(x.header.coded, coded) {
		return x.header, nil
	}
	fields, err := parseFields(coded)
	if err != nil {
		return nil, err
	}
	x.header = &Header{Fields: fields, coded: copied(coded)}
	return x.header, nil
}
