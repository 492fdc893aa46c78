package e2e

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// world is what clients were told, and therefore may rely on. Its time is a count of what began and ended, since only the order of things decides
// what may be said of answers that crossed.
type world struct {
	mu       sync.Mutex // guards everything, and what it points to
	now      int
	requests []*request
	byKey    map[string]*request
	byID     map[string]*grant // all that anybody was ever told of
	names    map[string]*gate  // in leaser/creds: revocations by prefix
	prefixes gate              // all of them: they have answers under way passed on and not kept
	open     bool              // how the revocation of a token went nobody knows since the last kill
	counts   counts
}

// counts tell whether the test tested anything.
type counts struct {
	kills, underWay, starting                  int // kills, those with requests under way, those of a process that was not ready yet
	told, coalesced, renewed, revocations      int // under load: answers, and those of renewals and revocations
	hits, revoked, openGone, openHit, fromLost int // after a restart: hits, what was revoked, what Vault did or did not revoke unanswered, hits of unanswered requests
}

// gate notes when things were under way, so that an answer that crossed one is judged by neither what was before nor what is after.
type gate struct{ under, ended int }

func (g *gate) quiet(since int) bool { return g.under == 0 && g.ended < since }

// request is what a client may send again to be answered from memory.
type request struct {
	method, path, body string
	name               string // in leaser/creds; "" when the request creates a token
	by                 *grant // the token that it is sent with; nil for that of auto-auth

	grants  []*grant // what it was answered with, until that is known to be gone
	asking  gate
	changed int  // when grants last became more, or less
	lost    bool // at the last kill no answer had come
	broken  bool // a fault was reported of it, and need not be again
}

// grant is a lease, or a token, as a client was told of it.
type grant struct {
	request    *request
	id, secret string // lease id and password, or accessor and token
	body       []byte // without its durations

	granted  int       // seconds, at most
	until    time.Time // at least
	renewing bool
	blurred  bool // a renewal was not answered

	revoking gate
	revoked  bool // a revocation was answered
	open     bool // a revocation was not, or may have met it: either outcome is fine
	gone     bool // Vault does not know it any more
}

func (g *grant) certain() bool { return !g.revoked && !g.open && !g.gone }

// below tells whether a grant is another, or hangs on it.
func (g *grant) below(top *grant) bool {
	for ; g != nil; g = g.request.by {
		if g == top {
			return true
		}
	}
	return false
}

// request returns the one request of this kind; nil when it is not to be asked any more.
func (w *world) request(r request) *request {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := r.path + r.body
	if r.by != nil {
		key += r.by.secret
	}
	known := w.byKey[key]
	switch {
	case known == nil:
		known = &r
		w.byKey[key] = known
		w.requests = append(w.requests, known)
		if r.name != "" && w.names[r.name] == nil {
			w.names[r.name] = &gate{}
		}
	case known.broken:
		return nil
	}
	return known
}

// pick chooses one of what must be hits; nil when there is none such.
func (w *world) pick(rnd *rand.Rand, suits func(*grant) bool) *grant {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*grant
	for _, r := range w.requests {
		for _, g := range r.grants {
			if !r.broken && g.certain() && g.revoking.under == 0 && suits(g) {
				all = append(all, g)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[rnd.IntN(len(all))]
}

func isLease(g *grant) bool { return g.request.name != "" }
func isToken(g *grant) bool { return g.request.name == "" }

// quiet tells that nothing has been revoked since that the request depends on. The lock is held.
func (w *world) quiet(r *request, since int) bool {
	if r.name != "" && !w.names[r.name].quiet(since) {
		return false
	}
	for g := r.by; g != nil; g = g.request.by {
		if !g.certain() || !g.revoking.quiet(since) {
			return false
		}
	}
	return true
}

// question is one request under way.
type question struct {
	*request
	since   int
	at      time.Time
	want    *grant // must be the answer, unless it is revoked meanwhile
	crossed bool   // with the same request of another client
}

// ask notes that a request is sent.
func (w *world) ask(r *request) *question {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now++
	q := &question{request: r, since: w.now, at: time.Now()}
	for _, g := range r.grants {
		if g.certain() && g.revoking.under == 0 && r.asking.under == 0 {
			q.want = g // there is no second one that is certain: learn sees to that
		}
	}
	r.asking.under++
	return q
}

// close notes that a question is over. The lock is held.
func (w *world) close(q *question) {
	q.asking.under--
	q.crossed = !q.asking.quiet(q.since)
	w.now++
	q.asking.ended = w.now
}

// lose notes that a question got no answer.
func (w *world) lose(q *question, sent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.close(q)
	q.lost = q.lost || sent
}

// tell notes the whole answer that a client got, and judges it.
func (w *world) tell(t *testing.T, q *question, a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.close(q)
	got, err := readingOf(a)
	if err != nil {
		if a.Status == http.StatusOK || w.quiet(q.request, q.since) { // a token that is being revoked may be refused
			t.Errorf("%s %s = %d %s: %v", q.method, q.path, a.Status, a.Body, err)
		}
		return
	}
	w.counts.told++
	if got.how == "COALESCED" {
		w.counts.coalesced++
	}
	g := w.byID[got.id]
	if must := q.want; must != nil && must.certain() && must.revoking.quiet(q.since) && (g != must || got.how != "HIT") {
		t.Errorf("%s %s = %s of %s; want a hit of %s", q.method, q.path, got.how, got.id, must.id)
	}
	switch {
	case g == nil:
		w.learn(t, q, got)
	case g.revoked && g.revoking.ended < q.since:
		t.Errorf("%s of %s, whose revocation was answered before", got.how, got.id)
	case !bytes.Equal(got.body, g.body):
		t.Errorf("%s was told differently before:\n%s\n%s", got.id, got.body, g.body)
	}
}

// learn enters what was not known before. The lock is held.
func (w *world) learn(t *testing.T, q *question, got reading) {
	r := q.request
	if got.how != "MISS" && !q.crossed && !r.lost {
		t.Errorf("%s of %s, which no request has brought", got.how, got.id)
	}
	quiet := w.quiet(r, q.since)
	if got.reason != "" && quiet && w.prefixes.quiet(q.since) {
		t.Errorf("%s %s: not kept, since %s", r.method, r.path, got.reason)
	}
	g := &grant{request: r, id: got.id, secret: got.secret, body: got.body, granted: got.seconds, until: q.at.Add(time.Duration(got.seconds) * time.Second)}
	g.open = !quiet || got.reason != "" || r.changed > q.since
	for _, other := range r.grants {
		if !other.revoked && !other.gone { // of two answers for one request either may be the hit
			g.open, other.open = true, true
		}
	}
	w.now++
	r.changed = w.now
	r.grants = append(r.grants, g)
	w.byID[g.id] = g
}

// revocation is a request that takes grants back.
type revocation struct {
	request
	main   *grant // what it names
	prefix bool   // by its name in leaser/creds

	takes []*grant
	gates []*gate
	since int
}

// begin notes that a revocation is sent. What it takes that is told of only later counts as open: quiet sees to that.
func (w *world) begin(v *revocation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := v.main.request.name
	if v.prefix {
		v.gates = append(v.gates, &w.prefixes, w.names[name])
	}
	for _, r := range w.requests {
		for _, g := range r.grants {
			if g.below(v.main) || v.prefix && r.name == name {
				v.takes, v.gates = append(v.takes, g), append(v.gates, &g.revoking)
			}
		}
	}
	for _, g := range v.gates {
		g.under++
	}
	w.now++
	v.since = w.now
}

// end notes what has become of a revocation: status is 0 without an answer.
func (w *world) end(t *testing.T, v *revocation, status int, sent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range v.gates {
		g.under--
	}
	done, undisturbed := status >= http.StatusOK && status < http.StatusMultipleChoices, v.main.revoking.quiet(v.since)
	if status != 0 && !done && undisturbed {
		t.Errorf("%s %s = %d", v.method, v.path, status)
	}
	w.now++
	for _, g := range v.takes {
		g.request.changed = w.now
		g.revoked = g.revoked || done
		g.open = g.open || sent && !done
	}
	for _, g := range v.gates {
		g.ended = w.now
	}
	if done {
		w.counts.revocations++
	}
	w.open = w.open || isToken(v.main) && sent && status == 0
}
