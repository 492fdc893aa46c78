package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
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
		return p.now.Load().ShutdownTimeout / 3 * 2
	}
	return p.now.Load().ShutdownTimeout
}

func (p *parts) revokes() bool {
	return p.revokesAll() || slices.ContainsFunc(p.logins, (*login).revokes)
}

func (p *parts) revokesAll() bool {
	c := p.now.Load().Cache
	return c != nil && c.RevokeOnExit
}

// revokes reports whether the login's token ends with the process.
func (l *login) revokes() bool { return l.stanza != nil && l.stanza.RevokeOnExit }

// finish revokes what was created through Leasehold, and the tokens of logins, as far as that is wanted. exit_after_auth wants the opposite: its token is
// for others.
func (e *exit) finish(why error) {
	p := e.p
	if !p.revokes() || errors.Is(why, errDone) {
		return
	}
	begun := time.Now()
	if asked := e.asked.Load(); asked != 0 { // else it was so short ago that nobody has noted it yet
		begun = time.Unix(0, asked)
	}
	ctx, cancel := context.WithDeadline(context.Background(), begun.Add(p.now.Load().ShutdownTimeout))
	defer cancel()
	if tracer := p.tracer(); tracer != nil {
		var span trace.Span
		ctx, span = tracer.Start(ctx, "revoke on exit") // the parent of every request to Vault that follows
		defer span.End()
	}
	if p.revokesAll() {
		revoked, failed := p.index.RevokeAll(ctx, p.upstream, p.log, p.ownsToken)
		level := slog.LevelInfo
		if failed > 0 {
			level = slog.LevelWarn
		}
		p.log.Log(ctx, level, "revoked what was created through Leasehold", slog.Int("revoked", revoked), slog.Int("failed", failed))
	}
	var tasks sync.WaitGroup
	for _, one := range p.logins {
		if one.revokes() {
			tasks.Go(func() { p.revokeToken(ctx, one) })
		}
	}
	tasks.Wait()
}

// revokeToken gives a login's token back, and all that hangs on it. A kill before Vault's answer must not bring it back.
func (p *parts) revokeToken(ctx context.Context, one *login) {
	t := one.manager.Token()
	if t.IsZero() || p.index.Accessor(t) == "" && p.revokesAll() && p.ownsToken(one.name) {
		return // there is none, or it is revoked already
	}
	for _, other := range p.logins {
		if !other.revokes() && other.manager.Token().Equal(t) {
			p.log.Info("the auto-auth token stays: it is that of another stanza, without revoke_on_exit", slog.String("auto_auth", string(one.name)), slog.String("other", string(other.name)))
			return
		}
	}
	log := p.log.With(slog.String("auto_auth", string(one.name)), slog.String("accessor", string(one.held.accessor())))
	settle := p.index.Announce(lease.Eviction{Scope: lease.ScopeToken, Value: t.Reveal()})
	err := p.upstream.RevokeSelf(ctx, one.held.namespace, t)
	gone := err == nil || errors.Is(err, vault.ErrTokenGone) // two stanzas may hold the same token
	settle(gone)
	if !gone {
		log.Warn("the auto-auth token was not revoked", slog.Any("error", err))
		return
	}
	log.Info("the auto-auth token was revoked")
}

// ownsToken reports whether the auto-auth token of a stanza is Leasehold's to revoke: a login of its own brought it, and no sink hands it on.
func (p *parts) ownsToken(name vault.AutoAuthName) bool {
	a := p.cfg.AutoAuthNamed(name)
	return a != nil && (a.RevokeOnExit || a.Method.Type != "token_file" && len(a.Sinks) == 0)
}
