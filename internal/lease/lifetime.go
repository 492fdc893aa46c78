package lease

import (
	"context"
	"math/rand/v2"
	"time"

	"leasehold/internal/vault"
)

// DefaultRenewAt is two thirds of a life.
const DefaultRenewAt = 0.67

const (
	renewJitter   = 0.1  // of a life, spread around the point of renewal so that leases made together part
	retryShare    = 0.05 // of a life, the first pause after a failed renewal; doubled from there
	maxRetryPause = time.Minute
	minLead       = 2 * time.Second // before the end, when the life is long enough
	slack         = time.Second     // Vault answers in whole seconds
)

// task is one renewal, or a replacement: a copy of what it needs, so that no lock is held while Vault is asked.
type task struct {
	entry     *Entry
	refresh   bool
	namespace vault.Namespace
	token     vault.Token
	leaseID   vault.LeaseID
	accessor  vault.Accessor // of the token
}

// steps bounds how many alarms one call of next deals with, so that nobody waits long for the lock when very many are due at once.
const steps = 256

// next takes the renewal that is due and whose lease ends first, so that those with time left do not cost those without theirs when Vault was
// away or is slow. It deals on its way with what has ended. With nothing due it returns how long to wait.
func (x *Index) next(now time.Time) (task, time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.noteBacklog(now)
	wait := maxWait
	for range steps {
		if len(x.alarms) == 0 {
			break
		}
		a := x.alarms[0]
		if wait = time.Duration(a.at - now.UnixNano()); wait > 0 {
			break
		}
		if t := x.ring(a, now); t.entry != nil {
			return t, 0
		}
	}
	for len(x.ready) > 0 {
		e := x.ready[0].entry
		if e.Remaining(now) <= 0 {
			x.expire(e.change(), now)
			continue
		}
		x.dropAlarm(&e.alarm)
		if e.token != nil {
			return task{entry: e, namespace: e.namespace, token: e.token.token, accessor: e.token.accessor}, 0
		}
		return task{entry: e, namespace: e.namespace, token: e.owner.token, accessor: e.owner.accessor, leaseID: e.leaseID}, 0
	}
	return task{}, max(wait, 0)
}

// ring deals with the first alarm, whose time has come.
func (x *Index) ring(a *alarm, now time.Time) (t task) {
	if a.node != nil {
		x.expire(change{token: a.node}, now)
		return t
	}
	switch e := a.entry; {
	case e.Remaining(now) <= 0:
		x.expire(e.change(), now)
	case e.last || e.replaced:
		x.setAlarm(a, time.Unix(0, e.end.Load()))
		if e.due.Swap(true) || e.replaced {
			return t
		}
		if e.request != nil && e.hit.Load() {
			return task{entry: e, refresh: true}
		}
	default:
		x.setReady(a, e.end.Load())
	}
	return t
}

// begin notes a renewal under way, to be cancelled when its entry is removed. It reports false when that has happened.
func (x *Index) begin(e *Entry, cancel context.CancelFunc) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.end.Load() == 0 {
		return false
	}
	x.renewing[e] = cancel
	return true
}

// finish is begin's counterpart; it reports whether the entry is still there.
func (x *Index) finish(e *Entry) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.renewing, e)
	return e.end.Load() != 0
}

// renewAt is when a life that began at from should be prolonged: after a share of it, but early enough that a short lease does not fall below the
// second that a hit needs.
func (x *Index) renewAt(from time.Time, life time.Duration) time.Time {
	share := x.opt.RenewAt + renewJitter*(rand.Float64()-0.5)
	latest := life - min(minLead, life/2)
	return from.Add(max(min(time.Duration(share*float64(life)), latest), 0))
}

// extend applies a renewal. When ours, which asks for the first life again, was granted less, the lease nears its maximum: it is not renewed
// again, and is replaced before its end, while it is still good. A client's own renewal may have asked for less, so it proves nothing.
func (x *Index) extend(e *Entry, g vault.Grant, sent time.Time, ours bool) {
	x.mu.Lock()
	if e.end.Load() != 0 { // else it was removed meanwhile
		x.prolong(e, g, sent, ours)
		x.save(e)
	}
	x.mu.Unlock()
	x.flush()
}

func (x *Index) prolong(e *Entry, g vault.Grant, sent time.Time, ours bool) {
	e.attempts = 0
	e.hit.Store(false)
	if g.TTL == 0 {
		g.TTL = e.life // a token made periodic or endless meanwhile: ask again as before
	}
	e.setEnd(sent.Add(g.TTL))
	e.last = !g.Renewable || (ours && g.TTL < e.life-slack)
	x.plan(e, sent, g.TTL)
}

// retry sets the next try of a failed renewal and returns the pause. The lease stays served until it really ends: a Vault that is away
// has not taken it back (hashicorp/vault#6837).
func (x *Index) retry(e *Entry, now time.Time) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.end.Load() == 0 {
		return 0
	}
	share := min(retryShare*float64(e.life)*float64(int(1)<<min(e.attempts, 10)), float64(maxRetryPause))
	left := max(e.Remaining(now), 0)
	// More tries, not fewer, as the end comes near: a Vault that is back by then must not find the last one planned for the end itself.
	pause := min(time.Duration(share*(0.75+0.5*rand.Float64())), max(left/2, min(left, slack)))
	e.attempts++
	x.setAlarm(&e.alarm, now.Add(pause))
	return pause
}

func (x *Index) drop(e *Entry) {
	x.mu.Lock()
	if e.end.Load() != 0 {
		x.remove(e)
	}
	x.mu.Unlock()
	x.flush()
}

// shift moves every deadline by d, in the journal too: there they are absolute.
func (x *Index) shift(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.saveAll()
	if x.behind != 0 {
		x.behind += int64(d)
	}
	for _, n := range x.tokens {
		if n.expires != 0 {
			n.expires += int64(d)
		}
		if n.ends != 0 {
			n.ends += int64(d)
		}
		if n.entry != nil {
			n.entry.end.Add(int64(d))
		}
	}
	for _, l := range x.byLease {
		l.end.Add(int64(d))
	}
	for _, heap := range [...]alarms{x.alarms, x.ready} { // their order stays as it is
		for _, a := range heap {
			a.at += int64(d)
		}
	}
}

// Renewed applies a renewal that passed through to the entry it concerns, so that hits report its new end.
func (x *Index) Renewed(body []byte, sent time.Time) {
	s, err := ParseSecret(body)
	if err != nil {
		return
	}
	x.mu.Lock()
	e, g := x.byLease[s.LeaseID], vault.Grant{TTL: s.TTL, Renewable: s.Renewable}
	if s.Auth != nil {
		g = vault.Grant{TTL: s.Auth.TTL, Renewable: s.Auth.Renewable}
		n := x.tokens[s.Auth.Token.ID()]
		if n == nil {
			n = x.byAccessor[s.Auth.Accessor]
		}
		if n != nil {
			e = n.entry
		}
		if n != nil && n.entry == nil && !n.auto() && g.TTL > 0 {
			x.setAside(n, sent.Add(g.TTL))
			x.saveToken(n)
		}
	}
	x.mu.Unlock()
	if e != nil {
		x.extend(e, g, sent, false)
	} else {
		x.flush()
	}
}
