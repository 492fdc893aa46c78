package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// verify asks for all that clients were told of, over several connections.
func (l *killLoop) verify(t *testing.T, p *proxy) {
	queue := make(chan *request)
	var checkers sync.WaitGroup
	for range killCheckers {
		checkers.Go(func() {
			for r := range queue {
				l.check(t, p, r)
			}
		})
	}
	for _, r := range slices.Clone(l.world.requests) {
		if !r.broken {
			queue <- r
		}
	}
	close(queue)
	checkers.Wait()
	l.world.forget()
}

// check asks one request again and holds the answer against what Vault has.
func (l *killLoop) check(t *testing.T, p *proxy, r *request) {
	w := &l.world
	for _, g := range r.grants { // nobody else changes them now
		_, known := l.lookup(t, g.id, isToken(g))
		w.mu.Lock()
		if !known && g.certain() {
			t.Errorf("Vault has no %s any more, which nobody has revoked", g.id)
		}
		g.gone = !known
		w.mu.Unlock()
	}
	q := w.ask(r)
	a, err := send(t.Context(), r.method, p.URLs[0]+r.path, r.body, r.header()...)
	if err != nil {
		w.lose(q, false)
		t.Errorf("%s %s: %v", r.method, r.path, err)
		return
	}
	got, err := readingOf(a)
	v := verdict{reading: got}
	if err == nil {
		v.ends, v.known = l.lookup(t, got.id, r.name == "")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.close(q)
	if err == nil {
		w.confirm(t, q, v)
	} else if a.Status == http.StatusOK || w.quiet(r, q.since) { // a token that was revoked is refused
		t.Errorf("%s %s = %d %s: %v", r.method, r.path, a.Status, a.Body, err)
	}
	w.settle(r, v)
}

// lookup asks Vault itself until when it has a lease or a token, if it does. What it has only to clean up is gone.
func (l *killLoop) lookup(t *testing.T, id string, token bool) (ends time.Time, known bool) {
	var s *api.Secret
	var err error
	if token {
		s, err = l.vault.Client().Auth().Token().LookupAccessor(id)
	} else {
		s, err = l.vault.Client().Sys().Lookup(id)
	}
	if refused, ok := errors.AsType[*api.ResponseError](err); ok && refused.StatusCode < http.StatusInternalServerError {
		return ends, false
	}
	if err != nil {
		t.Errorf("look up %s: %v", id, err)
		return ends, true
	}
	text, _ := s.Data["expire_time"].(string)
	if ends, err = time.Parse(time.RFC3339Nano, text); err != nil {
		t.Errorf("look up %s: %v", id, err)
	}
	return ends, ends.After(time.Now())
}

// verdict is an answer after a restart, with what Vault says of what it tells.
type verdict struct {
	reading
	ends  time.Time
	known bool
}

// confirm judges the first answer to a request after a restart, with no load. The lock is held.
func (w *world) confirm(t *testing.T, q *question, v verdict) {
	r, g := q.request, w.byID[v.id]
	if must := q.want; must != nil && !must.gone && (v.how != "HIT" || g != must && (g != nil || !r.lost)) {
		t.Errorf("%s %s = %s (%s) of %s; want a hit of %s, which was answered before the kill", r.method, r.path, v.how, v.reason, v.id, must.id)
	}
	switch {
	case v.how == "COALESCED":
		t.Errorf("%s %s = COALESCED without another request", r.method, r.path)
	case g != nil && g.revoked:
		t.Errorf("%s of %s, whose revocation was answered before the kill", v.how, v.id)
		r.broken = true
	case !v.known:
		t.Errorf("%s of %s, which Vault has revoked; the kill came before that was answered", v.how, v.id)
		r.broken = true
	case g == nil:
		if v.how == "HIT" {
			w.counts.fromLost++
		}
		w.learn(t, q, v.reading)
	default:
		w.counts.hits++
		w.wantAsTold(t, q, g, v)
	}
}

// wantAsTold checks that a hit tells what was told before, and no other life than the lease has.
func (w *world) wantAsTold(t *testing.T, q *question, g *grant, v verdict) {
	if !bytes.Equal(v.body, g.body) {
		t.Errorf("%s was told differently before the kill:\n%s\n%s", g.id, v.body, g.body)
	}
	left := time.Duration(v.seconds) * time.Second
	if v.seconds > g.granted || !g.blurred && q.at.Add(left).After(v.ends.Add(time.Second)) {
		t.Errorf("%s has %v, of %d s granted; Vault has it until %v", g.id, left, g.granted, v.ends)
	}
	if least := time.Until(g.until) - 2*time.Second; left < least {
		t.Errorf("%s has %v, and was granted %v more than that", g.id, left, least-left)
	}
}

// settle notes what is left of a request after its answer was judged. The lock is held.
func (w *world) settle(r *request, v verdict) {
	var living []*grant
	for _, g := range r.grants {
		switch {
		case g.revoked:
			w.counts.revoked++
			g.gone = true
		case g.gone:
			w.counts.openGone++
		case v.how == "MISS" && g.id != v.id:
			g.revoked = true // nothing was kept for this key, so neither is this, and it may not come back
		default:
			living = append(living, g)
		}
	}
	if len(living) == 1 && living[0].id == v.id && v.how == "HIT" && living[0].open {
		living[0].open = false
		w.counts.openHit++
	}
	r.grants, r.lost = living, false
}

// forget drops what was verified and can be asked for no more: all that hangs on tokens that are not good, or may not be.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = false
	bad := func(r *request) bool { return !w.quiet(r, w.now+1) }
	w.requests = slices.DeleteFunc(w.requests, bad)
	for key, r := range w.byKey {
		if bad(r) {
			delete(w.byKey, key)
		}
	}
}

// reading is what an answer tells.
type reading struct {
	id, secret  string
	seconds     int
	body        []byte // without durations
	how, reason string
}

var durations = regexp.MustCompile(`"lease_duration":\d+`)

// readingOf reads an answer that must be whole.
func readingOf(a answer) (reading, error) {
	got := reading{how: a.Header.Get("X-Cache"), reason: a.Header.Get("X-Cache-Reason"), body: durations.ReplaceAll(a.Body, nil)}
	s, err := api.ParseSecret(bytes.NewReader(a.Body))
	switch {
	case err != nil:
		return got, err
	case a.Status != http.StatusOK || s == nil:
		return got, errors.New("not a secret")
	case s.Auth != nil:
		got.id, got.secret, got.seconds = s.Auth.Accessor, s.Auth.ClientToken, s.Auth.LeaseDuration
	default:
		got.id, got.seconds = s.LeaseID, s.LeaseDuration
		got.secret, _ = s.Data["password"].(string)
	}
	if got.id == "" || got.secret == "" || got.seconds < 1 || (got.how != "HIT" && got.how != "MISS" && got.how != "COALESCED") {
		return got, errors.New("half an answer")
	}
	return got, nil
}
