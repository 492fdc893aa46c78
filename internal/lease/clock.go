package lease

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"leasehold/internal/vault"
)

// renewClient is what the clock needs from Vault. All methods are safe for concurrent use, and send the token they are given in the namespace
// they are given. Renewals wrap vault.ErrRefused when Vault says no for good, and vault.ErrTokenGone when it is the token that it does not know.
type renewClient interface {
	RenewLease(ctx context.Context, ns vault.Namespace, t vault.Token, id vault.LeaseID) (vault.Grant, error)
	RenewSelf(ctx context.Context, ns vault.Namespace, t vault.Token) (vault.Grant, error)
}

const (
	renewTimeout = 30 * time.Second
	renewWorkers = 16
)

// ClockOptions tune a Clock. The zero value renews without a limit.
type ClockOptions struct {
	RenewRate float64                             // renewals a second toward Vault, at most; 0 means no limit
	Refresh   func(ctx context.Context, e *Entry) // replaces an entry that is due and was hit; nil leaves that to the next request
	OnDone    func(err error)                     // told how each renewal ended, as the client did; may be nil
	OnGone    func(t vault.Token)                 // told of a token that Vault was found not to know any more; may be nil
	Tracer    trace.Tracer                        // makes a span of each renewal; nil makes none
	Now       func() time.Time                    // the wall clock; nil means time.Now
}

// Clock renews every entry of an index: one heap of alarms, a few workers, no goroutine per lease.
type Clock struct {
	index *Index
	vault renewClient
	log   *slog.Logger
	opt   ClockOptions
	limit *rate.Limiter
	pulse *pulse
}

// NewClock returns a clock for index that renews through client.
func NewClock(index *Index, client renewClient, log *slog.Logger, o ClockOptions) *Clock {
	if o.OnDone == nil {
		o.OnDone = func(error) {}
	}
	if o.OnGone == nil {
		o.OnGone = func(vault.Token) {}
	}
	if o.Tracer == nil {
		o.Tracer = noop.Tracer{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Clock{index: index, vault: client, log: log, opt: o, limit: rate.NewLimiter(rate.Inf, 1), pulse: newPulse()}
	c.SetRenewRate(o.RenewRate)
	return c
}

// SetRenewRate bounds renewals from the next one on: so many a second; 0 means no limit.
func (c *Clock) SetRenewRate(perSecond float64) {
	if perSecond <= 0 {
		c.limit.SetLimit(rate.Inf)
		return
	}
	c.limit.SetLimit(rate.Limit(perSecond))
}

// Run renews what is due and drops what has ended, until ctx ends.
func (c *Clock) Run(ctx context.Context) error {
	workers, ctx := errgroup.WithContext(ctx)
	due := make(chan task)
	for range renewWorkers {
		workers.Go(func() error {
			for t := range due {
				c.do(ctx, t)
			}
			return nil
		})
	}
	workers.Go(func() error {
		defer close(due)
		c.dispatch(ctx, due)
		return nil
	})
	if c.index.opt.Journal != nil {
		workers.Go(func() error {
			c.tend(ctx)
			return nil
		})
	}
	return workers.Wait()
}

// tend has the journal written for which nobody waits: what has ended, what the disk refused, what is written anew. It is no part of dispatch, since a
// disk may take long.
func (c *Clock) tend(ctx context.Context) {
	for ctx.Err() == nil {
		if !c.index.catchUp() {
			idle(ctx, maxWait, c.index.ledger.behind)
		}
	}
}

// maxWait bounds a wait for the next alarm: alarms follow the wall clock, which may jump, or go on while the machine sleeps; a timer does neither.
const maxWait = 30 * time.Second

// dispatch hands what is due to the workers, no faster than the limit.
func (c *Clock) dispatch(ctx context.Context, due chan<- task) {
	wall, ticks := c.opt.Now(), time.Now()
	for ctx.Err() == nil {
		now := c.opt.Now()
		// A wall clock that was set back would have leases outlive Vault's: it is the time that has passed that counts.
		if back := time.Since(ticks) - now.Round(0).Sub(wall.Round(0)); back > maxSkew {
			c.log.Warn("the system clock was set back; all deadlines go with it", slog.Duration("by", back))
			c.index.shift(-back)
		}
		wall, ticks = now, time.Now()
		t, wait := c.index.next(now)
		waiting := c.index.waiting()
		if t.entry != nil {
			waiting++ // it is not sent yet
		}
		c.pulse.look(waiting)
		if t.entry == nil {
			idle(ctx, min(wait, maxWait), c.index.wake)
			continue
		}
		if !t.refresh && c.pace(ctx) != nil {
			return
		}
		select {
		case due <- t:
		case <-ctx.Done():
		}
	}
}

// pace waits for the renew rate.
func (c *Clock) pace(ctx context.Context) error {
	c.pulse.paced.Store(true)
	defer c.pulse.paced.Store(false)
	return c.limit.Wait(ctx)
}

// maxSkew is what a clock may be corrected by without a word.
const maxSkew = 2 * time.Second

func idle(ctx context.Context, d time.Duration, nudge <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-nudge:
	case <-ctx.Done():
	}
}

func (c *Clock) do(running context.Context, t task) {
	ctx, cancel := context.WithTimeout(running, renewTimeout)
	defer cancel()
	if t.refresh {
		if c.opt.Refresh != nil {
			c.opt.Refresh(ctx, t.entry)
		}
		return
	}
	if !c.index.begin(t.entry, cancel) {
		return // it was removed while it waited for a worker
	}
	c.renew(ctx, running, t)
}

func (c *Clock) renew(ctx, running context.Context, t task) {
	ctx, span := c.beginSpan(ctx, t)
	defer span.End()
	sent := c.opt.Now()
	var grant vault.Grant
	var err error
	if t.leaseID != "" {
		grant, err = c.vault.RenewLease(ctx, t.namespace, t.token, t.leaseID)
	} else {
		grant, err = c.vault.RenewSelf(ctx, t.namespace, t.token)
	}
	if !c.index.finish(t.entry) || running.Err() != nil {
		span.SetAttributes(renewalKey.String("dropped"))
		return // it was removed meanwhile, or the daemon stops
	}
	tell(span, grant, err)
	name := slog.String("lease", string(t.leaseID))
	if t.leaseID == "" {
		name = slog.String("accessor", string(t.accessor))
	}
	switch {
	case err == nil:
		c.index.extend(t.entry, grant, sent, true)
		c.log.DebugContext(ctx, "renewed", name, slog.Duration("ttl", grant.TTL))
	case errors.Is(err, vault.ErrTokenGone):
		// Nothing else that hangs on it is asked for: thousands of refused renewals are what takes Vault down (hashicorp/vault#25712).
		c.index.Lose(t.token)
		c.opt.OnGone(t.token)
		c.log.WarnContext(ctx, "Vault does not know the token any more; all that hung on it left the cache",
			slog.String("accessor", string(t.accessor)), slog.Any("error", err))
	case errors.Is(err, vault.ErrRefused):
		c.index.drop(t.entry)
		c.log.InfoContext(ctx, "no longer renewable; dropped from the cache", name, slog.Any("error", err))
	default:
		pause := c.index.retry(t.entry, c.opt.Now())
		c.log.WarnContext(ctx, "renewal failed; the lease lives on and will be tried again", name, slog.Duration("in", pause), slog.Any("error", err))
	}
	c.opt.OnDone(err)
}
