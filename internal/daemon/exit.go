package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"leasehold/internal/autoauth"
)

// exit sees to it that a stop, from its first moment, takes no longer than shutdown_timeout.
type exit struct {
	p     *parts
	asked atomic.Int64 // Unix nanoseconds
}

// watch notes when ctx ends, which begins the stop.
func (p *parts) watch(ctx context.Context) *exit {
	e := &exit{p: p}
	context.AfterFunc(ctx, func() { e.asked.Store(time.Now().UnixNano()) })
	return e
}

// drain is how long requests under way may take: all of shutdown_timeout, or two thirds when there is something to be done after them.
func (p *parts) drain() time.Duration {
	if p.revokes() {
		return p.cfg.ShutdownTimeout / 3 * 2
	}
	return p.cfg.ShutdownTimeout
}

func (p *parts) revokes() bool { return p.cfg.Cache != nil && p.cfg.Cache.RevokeOnExit }

// finish revokes what was created through Leasehold, if that is wanted. exit_after_auth wants the opposite: its token is for others.
func (e *exit) finish(why error) {
	p := e.p
	if !p.revokes() || errors.Is(why, autoauth.ErrDone) {
		return
	}
	begun := time.Now()
	if asked := e.asked.Load(); asked != 0 { // else it was so short ago that nobody has noted it yet
		begun = time.Unix(0, asked)
	}
	ctx, cancel := context.WithDeadline(context.Background(), begun.Add(p.cfg.ShutdownTimeout))
	defer cancel()
	revoked, failed := p.index.RevokeAll(ctx, p.upstream, p.log, p.ownsToken())
	level := slog.LevelInfo
	if failed > 0 {
		level = slog.LevelWarn
	}
	p.log.Log(ctx, level, "revoked what was created through Leasehold", slog.Int("revoked", revoked), slog.Int("failed", failed))
}

// ownsToken reports whether nobody but Leasehold has the auto-auth token: a login of its own brought it, and no sink hands it on.
func (p *parts) ownsToken() bool {
	a := p.cfg.AutoAuth
	return a != nil && a.Method.Type != "token_file" && len(a.Sinks) == 0
}
