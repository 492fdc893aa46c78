package lease

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"leasehold/internal/vault"
)

// renewClient is what the clock needs from Vault. Both methods are safe for concurrent use, send the token they are given in the
// namespace they are given, and wrap vault.ErrRefused when Vault says no for good.
type renewClient interface {
	RenewLease(ctx context.Context, ns vault.Namespace, t vault.Token, id vault.LeaseID) (vault.Grant, error)
	RenewSelf(ctx context.Context, ns vault.Namespace, t vault.Token) (vault.Grant, error)
}

const (
	renewShare    = 2.0 / 3.0 // of a life, when a renewal is due
	renewJitter   = 0.1       // of a life, spread around that point so that leases made together part
	replaceShare  = 0.1       // of a life, how long before its end a lease that cannot be extended makes room for a new one
	retryShare    = 0.05      // of a life, the first pause after a failed renewal; doubled from there
	maxRetryPause = time.Minute
	minLead       = 2 * time.Second // before the end, when the life is long enough
	renewTimeout  = 30 * time.Second
	renewWorkers  = 16
	slack         = time.Second // Vault answers in whole seconds
)

// Clock renews every entry of an index: one heap of alarms, a few workers, no goroutine per lease.
type Clock struct {
	index  *Index
	vault  renewClient
	log    *slog.Logger
	onDone func(ok bool)
}

// NewClock returns a clock for index that renews through client and tells onDone, which may be nil, how each renewal ended.
func NewClock(index *Index, client renewClient, log *slog.Logger, onDone func(ok bool)) *Clock {
	if onDone == nil {
		onDone = func(bool) {}
	}
	return &Clock{index: index, vault: client, log: log, onDone: onDone}
}

// Run renews what is due and drops what has ended, until ctx ends.
func (c *Clock) Run(ctx context.Context) error {
	workers, ctx := errgroup.WithContext(ctx)
	due := make(chan task)
	for range renewWorkers {
		workers.Go(func() error {
			for t := range due {
				c.renew(ctx, t)
			}
			return nil
		})
	}
	workers.Go(func() error {
		defer close(due)
		c.dispatch(ctx, due)
		return nil
	})
	return workers.Wait()
}

// maxWait bounds a wait for the next alarm: alarms follow the wall clock, which may jump while a timer does not.
const maxWait = 30 * time.Second

func (c *Clock) dispatch(ctx context.Context, due chan<- task) {
	for ctx.Err() == nil {
		t, wait := c.index.next(time.Now())
		if t.entry != nil {
			select {
			case due <- t:
			case <-ctx.Done():
			}
			continue
		}
		timer := time.NewTimer(min(wait, maxWait))
		select {
		case <-timer.C:
		case <-c.index.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (c *Clock) renew(running context.Context, t task) {
	sent := time.Now()
	ctx, cancel := context.WithTimeout(running, renewTimeout)
	defer cancel()
	var grant vault.Grant
	var err error
	if t.leaseID != "" {
		grant, err = c.vault.RenewLease(ctx, t.namespace, t.token, t.leaseID)
	} else {
		grant, err = c.vault.RenewSelf(ctx, t.namespace, t.token)
	}
	name := slog.String("lease", string(t.leaseID))
	if t.leaseID == "" {
		name = slog.String("accessor", string(t.accessor))
	}
	switch {
	case err == nil:
		c.index.extend(t.entry, grant, sent, true)
		c.log.Debug("renewed", name, slog.Duration("ttl", grant.TTL))
	case errors.Is(err, vault.ErrRefused):
		c.index.drop(t.entry)
		c.log.Info("no longer renewable; dropped from the cache", name, slog.Any("error", err))
	case running.Err() != nil:
		return // the daemon stops
	default:
		pause := c.index.retry(t.entry, time.Now())
		c.log.Warn("renewal failed; the lease lives on and will be tried again", name, slog.Duration("in", pause), slog.Any("error", err))
	}
	c.onDone(err == nil)
}

// alarm is a place in the heap; exactly one of entry and node is set while it is there.
type alarm struct {
	at    int64 // Unix nanoseconds
	pos   int   // index in the heap plus one; 0 when not in it
	entry *Entry
	node  *node
}

// alarms is a heap by time.
type alarms []*alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].at < h[j].at }
func (h alarms) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].pos, h[j].pos = i+1, j+1 }
func (h *alarms) Push(a any)        { *h = append(*h, a.(*alarm)); (*h)[len(*h)-1].pos = len(*h) }
func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last], a.pos = nil, 0
	*h = (*h)[:last]
	return a
}

func (x *Index) setAlarm(a *alarm, at time.Time) {
	a.at = at.UnixNano()
	if a.pos == 0 {
		heap.Push(&x.alarms, a)
	} else {
		heap.Fix(&x.alarms, a.pos-1)
	}
	if a.pos == 1 {
		select {
		case x.wake <- struct{}{}:
		default: // it is awake already and will look at the heap
		}
	}
}

func (x *Index) dropAlarm(a *alarm) {
	if a.pos != 0 {
		heap.Remove(&x.alarms, a.pos-1)
	}
}

// task is one renewal: a copy of what it needs, so that no lock is held while Vault is asked.
type task struct {
	entry     *Entry
	namespace vault.Namespace
	token     vault.Token
	leaseID   vault.LeaseID
	accessor  vault.Accessor
}

// next takes the first entry that is due for renewal, and removes on its way what has ended. With nothing due it returns how long to wait.
func (x *Index) next(now time.Time) (task, time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.alarms) > 0 {
		a := x.alarms[0]
		if wait := a.at - now.UnixNano(); wait > 0 {
			return task{}, time.Duration(wait)
		}
		if a.node != nil {
			x.removeNode(a.node)
			continue
		}
		e := a.entry
		switch {
		case e.Remaining(now) <= 0:
			x.remove(e)
			continue
		case e.last && e.token != nil:
			x.unserve(e.token) // the next login gets a new token; the leases of this one are good as long as it is
			continue
		case e.last:
			x.remove(e)
			continue
		}
		x.dropAlarm(a)
		if e.token != nil {
			return task{entry: e, namespace: e.namespace, token: e.token.token, accessor: e.token.accessor}, 0
		}
		return task{entry: e, namespace: e.namespace, token: e.owner.token, leaseID: e.leaseID}, 0
	}
	return task{}, maxWait
}

// renewAt is when a life that began at from should be prolonged: at two thirds, but early enough that a short lease does not fall below the
// second that a hit needs.
func renewAt(from time.Time, life time.Duration) time.Time {
	share := renewShare + renewJitter*(rand.Float64()-0.5)
	latest := life - min(minLead, life/2)
	return from.Add(min(time.Duration(share*float64(life)), latest))
}

// extend applies a renewal. When ours, which asks for the first life again, was granted less, the lease nears its maximum: it is not renewed
// again, and makes room before its end so that the next request gets a fresh one while the old one is still good. A client's own
// renewal may have asked for less, so it proves nothing.
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
	if g.TTL == 0 {
		g.TTL = e.life // a token made periodic or endless meanwhile: ask again as before
	}
	end := sent.Add(g.TTL)
	e.end.Store(end.UnixNano())
	e.last = !g.Renewable || (ours && g.TTL < e.life-slack)
	if e.last {
		x.setAlarm(&e.alarm, end.Add(-replaceBefore(e.life)))
		return
	}
	x.setAlarm(&e.alarm, renewAt(sent, g.TTL))
}

// replaceBefore is how long before its end a lease that cannot be extended makes room for a new one.
func replaceBefore(life time.Duration) time.Duration {
	return time.Duration(replaceShare * float64(life))
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
		if n != nil && n.entry == nil && !n.auto && g.TTL > 0 {
			x.setAside(n, sent.Add(g.TTL))
			x.saveNode(n)
		}
	}
	x.mu.Unlock()
	if e != nil {
		x.extend(e, g, sent, false)
	}
}
