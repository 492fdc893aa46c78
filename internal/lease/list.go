package lease

import (
	"cmp"
	"container/heap"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/vault"
)

// Sort is what List orders by.
type Sort string

// What List can order by. Entries that are equal in it stand in the order of their names.
const (
	ByEnd     Sort = "expiry"
	ByHits    Sort = "hits"
	ByPath    Sort = "path" // as it is shown
	ByCreated Sort = "created"
	ByRenewal Sort = "renewal" // those that are not renewed come last
)

// Query says what List is to show.
type Query struct {
	Mount     string           // whole segments at the beginning of the path inside the namespace; "" means all
	Path      string           // in the words of Rule.Path
	Namespace *vault.Namespace // nil means all
	Tokens    bool             // only tokens
	Leases    bool             // only leases
	Accessor  string           // of the token that an entry is, or hangs on, or the name that Hasher gives it
	State     State

	Sort       Sort // "" means ByEnd
	Descending bool
	Limit      int    // at least 1
	After      string // Page.Next of the page before

	Show   func(path string) string // hides what may be a secret
	Hasher *vault.Hasher
}

// Page is a part of what matches a Query.
type Page struct {
	Total int    // of all that match
	Next  string // "" when this is the last page
	Views []View
}

// View is an entry as it may be shown, but for the accessors. It holds no secret.
type View struct {
	ID               string // a name of the lease id, or of the token
	Token            bool   // it is a token, not a lease
	Namespace        vault.Namespace
	Path             string // below the root namespace, as shown
	Mount            string
	Accessor, Parent vault.Accessor // of the token that it is, or hangs on; of the token above the token that it is
	Created, Until   time.Time
	Renewal          time.Time // zero when it is not renewed, or is due
	Renewable        bool
	State            State
	Hits             int64
	Size             int64
}

// ErrAfter is that Query.After was not made by List for the same order.
var ErrAfter = errors.New("after must be what the page before said as next, for the same sort")

// List shows a page of the entries that match. Pages that follow each other repeat no entry and leave none out whose place did not change meanwhile.
func (x *Index) List(q Query) (Page, error) {
	q.Sort = cmp.Or(q.Sort, ByEnd)
	p := picker{q: &q}
	if q.After != "" {
		var err error
		if p.after, err = q.readPlace(q.After); err != nil {
			return Page{}, err
		}
	}
	pattern := Rule{Path: q.Path}
	total := 0
	x.each(func(e *Entry) {
		if !q.matches(e, &pattern) || q.State != "" && q.State != e.state() {
			return
		}
		total++
		p.offer(q.key(e), e)
	})
	found := p.sorted()
	page := Page{Total: total, Views: []View{}}
	if len(found) > q.Limit {
		found = found[:q.Limit]
		page.Next = q.writePlace(found[q.Limit-1])
	}
	for some := range slices.Chunk(found, chunk) {
		x.mu.Lock()
		for _, f := range some {
			if f.entry.end.Load() != 0 { // else it was removed meanwhile
				page.Views = append(page.Views, view(f))
			}
		}
		x.mu.Unlock()
	}
	for i := range page.Views { // without the lock: to hide what may be a secret takes longer than to copy
		v := &page.Views[i]
		v.Path, v.Mount = q.Show(v.Path), q.Show(v.Mount)
	}
	return page, nil
}

func (q *Query) matches(e *Entry, pattern *Rule) bool {
	switch {
	case q.Tokens && e.token == nil, q.Leases && e.token != nil:
		return false
	case q.Namespace != nil && *q.Namespace != e.namespace:
		return false
	case q.Path != "" && !pattern.matches(e.path):
		return false
	case q.Accessor != "" && q.Accessor != string(e.accessor()) && q.Accessor != q.Hasher.Of(string(e.accessor())):
		return false
	}
	rest, ok := strings.CutPrefix(e.inside(), q.Mount)
	return q.Mount == "" || ok && (rest == "" || rest[0] == '/')
}

// view is an entry as it is told, but for what Query.Show is to hide.
func view(f position) View {
	e := f.entry
	v := View{
		ID: f.id, Token: e.token != nil, Namespace: e.namespace, Path: e.path, Mount: mountOf(e.inside()), Accessor: e.accessor(),
		Created: e.answer.Received, Until: time.Unix(0, e.end.Load()), Renewal: e.renewal(), Renewable: !e.last && !e.replaced,
		State: e.state(), Hits: int64(e.hits.Load()), Size: e.size,
	}
	if v.Token && e.token.parent != nil {
		v.Parent = e.token.parent.accessor
	}
	return v
}

// mountOf is the first segment of a path, and the second where that is auth: which mounts Vault has nobody here knows.
func mountOf(path string) string {
	first, rest, _ := strings.Cut(path, "/")
	if first == "auth" {
		second, _, _ := strings.Cut(rest, "/")
		return first + "/" + second
	}
	return first
}

// sortKey is what a Query orders by: number for all but ByPath.
type sortKey struct {
	number int64
	text   string
}

func (q *Query) key(e *Entry) (k sortKey) {
	switch q.Sort {
	case ByHits:
		k.number = int64(e.hits.Load())
	case ByPath:
		k.text = q.Show(e.path)
	case ByCreated:
		k.number = e.answer.Received.UnixNano()
	case ByRenewal:
		k.number = 1<<63 - 1
		if at := e.renewal(); !at.IsZero() {
			k.number = at.UnixNano()
		}
	default:
		k.number = e.end.Load()
	}
	return k
}

// position is where an entry stands in the order.
type position struct {
	key   sortKey
	id    string
	entry *Entry
}

// compareKeys is below zero when a comes before b, and zero when their names decide.
func (q *Query) compareKeys(a, b sortKey) int {
	c := cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.text, b.text))
	if q.Descending {
		c = -c
	}
	return c
}

func (q *Query) compare(a, b position) int {
	return cmp.Or(q.compareKeys(a.key, b.key), cmp.Compare(a.id, b.id))
}

func (q *Query) writePlace(p position) string {
	text := strconv.FormatInt(p.key.number, 10) + " " + p.id + " " + p.key.text
	return base64.RawURLEncoding.EncodeToString([]byte(string(q.Sort) + " " + text))
}

func (q *Query) readPlace(s string) (*position, error) {
	text, err := base64.RawURLEncoding.DecodeString(s)
	parts := strings.SplitN(string(text), " ", 4)
	if err != nil || len(parts) != 4 || parts[0] != string(q.Sort) {
		return nil, ErrAfter
	}
	p := &position{id: parts[2], key: sortKey{text: parts[3]}}
	if p.key.number, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return nil, ErrAfter
	}
	return p, nil
}

// picker keeps those that come first of many, one more than the limit: a heap with the last of them on top.
type picker struct {
	q     *Query
	after *position
	best  []position
}

func (p *picker) Len() int           { return len(p.best) }
func (p *picker) Less(i, j int) bool { return p.q.compare(p.best[i], p.best[j]) > 0 }
func (p *picker) Swap(i, j int)      { p.best[i], p.best[j] = p.best[j], p.best[i] }
func (p *picker) Push(a any)         { p.best = append(p.best, a.(position)) }
func (p *picker) Pop() any {
	last := p.best[len(p.best)-1]
	p.best = p.best[:len(p.best)-1]
	return last
}

// offer takes an entry if it belongs to the page. It is named only when that depends on its name, or is so: that costs more than all else.
func (p *picker) offer(key sortKey, e *Entry) {
	full := len(p.best) > p.q.Limit
	if p.after != nil && p.q.compareKeys(key, p.after.key) < 0 || full && p.q.compareKeys(key, p.best[0].key) > 0 {
		return
	}
	at := position{key: key, id: e.Name(p.q.Hasher), entry: e}
	switch {
	case p.after != nil && p.q.compare(at, *p.after) <= 0:
	case !full:
		heap.Push(p, at)
	case p.q.compare(at, p.best[0]) < 0:
		p.best[0] = at
		heap.Fix(p, 0)
	}
}

func (p *picker) sorted() []position {
	slices.SortFunc(p.best, p.q.compare)
	return p.best
}

// Name is the ID that a View of e has.
func (e *Entry) Name(h *vault.Hasher) string { return h.Of(e.name()) }
