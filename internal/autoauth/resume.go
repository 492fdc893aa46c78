package autoauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leasehold/internal/vault"
)

// Resumed is the token of the last run.
type Resumed struct {
	Token    vault.Token // zero: there is nothing to resume
	Accessor vault.Accessor
	Expires  time.Time // zero: not known, or never
}

// maxConfirmPause bounds the pause between two attempts to have the token of the last run confirmed. Nobody renews it before, and nobody is told
// that the daemon is ready; so Vault's return should be noticed soon.
const maxConfirmPause = 15 * time.Second

// Resuming reports whether the current token is that of the last run and Vault has not confirmed it yet.
func (m *Manager) Resuming() bool {
	o := m.slot.now.Load()
	return o != nil && o.provisional
}

// takeUp puts the token of the last run into use, unless it has ended.
func (m *Manager) takeUp(r Resumed) {
	if r.Token.IsZero() {
		return
	}
	m.held = Held{Token: r.Token, Accessor: r.Accessor, Expires: r.Expires.Round(0)}
	m.least = m.opts.MinTokenTTL
	if m.expired() {
		return // observers cannot be told here: first does it
	}
	o := m.occupant()
	o.provisional = true
	m.slot.put(o)
}

// first is the step that a life begins with.
func (m *Manager) first() state {
	switch {
	case m.held.Token.IsZero():
		return m.login
	case m.expired():
		m.slot.drop(m.held.Token)
		m.lose("it expired")
		return m.login
	default:
		return m.resume
	}
}

// resume asks Vault once whether the token of the last run is good. It is given up for Vault's word, or at its end, and for nothing else: all that
// was created under it goes with it, and the credentials may be good for no second login.
func (m *Manager) resume(ctx context.Context) (state, error) {
	started := m.opts.Now()
	asking, done := m.slot.while(ctx, m.held.Token)
	a, life, err := m.confirm(asking)
	done()
	switch {
	case ctx.Err() != nil:
		return nil, nil
	case m.slot.get().IsZero(): // even if the answer was good: it may be older than the one that says otherwise
		m.lose("Vault no longer accepts it")
		return m.login, nil
	case err == nil:
		// An Invalidate from here on finds the token still in the slot or keeps it out, and watch sees to the rest.
		m.adopt(a, started, m.leastOf(vault.Grant{TTL: life}), m.slot.update)
		m.story().Info("the token of the last run is good")
		return m.watch, nil
	case m.expired():
		m.countFailure()
		m.slot.drop(m.held.Token)
		m.lose("it expired")
		return m.login, nil
	case final(err):
		m.slot.drop(m.held.Token)
		m.lose(err.Error())
		return m.login, nil
	}
	pause := m.confirms.next()
	log := m.log.With("error", err, "accessor", m.held.Accessor, "next_attempt_in", pause)
	if end := m.held.Expires; !end.IsZero() {
		log = log.With("token_ends_in", end.Sub(m.opts.Now()))
	}
	log.Warn("Vault could not confirm the token of the last run; it stays in use")
	return m.pauseResuming(ctx, pause)
}

// pauseResuming waits for the next attempt. A request that needs more life than the token is known to have cuts the wait, but to no less than
// MinBackoff: there may be many of them, and Vault is in trouble.
func (m *Manager) pauseResuming(ctx context.Context, pause time.Duration) (state, error) {
	now := m.opts.Now()
	at, soonest := now.Add(pause), now.Add(m.opts.MinBackoff)
	for {
		switch m.idle(ctx, at) {
		case stopped:
			return nil, nil
		case lost:
			return m.login, nil
		case due:
			return m.resume, nil
		case hurried:
			if o := m.occupant(); !m.lasts(&o) && soonest.Before(at) {
				at = soonest
			}
		}
	}
}

// confirm looks the held token up. One that may not do that may still renew itself (token_no_default_policy), which shows as well that it is good.
func (m *Manager) confirm(ctx context.Context) (a answer, life time.Duration, err error) {
	a, life, err = m.askAboutToken(ctx)
	if err == nil || !final(err) || tokenGone(err) {
		return a, life, err
	}
	grant, failure := m.askForRenewal(ctx)
	if failure == nil && grant.TTL == 0 {
		failure = errEnding // rounded down: what does not expire is not renewed
	}
	if failure != nil {
		return answer{}, 0, fmt.Errorf("%s; %w", err.Error(), failure) // the second says whether that is final
	}
	return answer{token: m.held.Token, accessor: m.held.Accessor, grant: grant}, grant.TTL, nil
}

// final reports whether err is Vault's last word about a token. A refusal without a reason is that of something in front of Vault: an ingress that
// has lost its backend answers 404.
func final(err error) bool {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.refused() && len(e.reasons) > 0
	}
	return errors.Is(err, errEnding)
}
