package autoauth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"leasehold/internal/vault"
)

// state is one step of the manager's life. It works or waits, and names the next step; nil ends the life.
type state func(context.Context) (state, error)

// live takes the steps. It begins with resume when there is a token of the last run, else with login. Login leads to watch, with a token or without; from
// there the token's end, a planned or wanted login lead back to login, and a planned renewal to renew; from renew, back to watch, or to login when
// Vault says that the token is gone. Resume leads to watch as well when the token is good, else to login.
func (m *Manager) live(ctx context.Context) error {
	defer m.forced.end()
	for step := m.first(); step != nil; {
		var err error
		if step, err = step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// login asks Vault for a token. One that is still held stays in use meanwhile.
func (m *Manager) login(ctx context.Context) (state, error) {
	if m.opts.Now().Before(m.notBefore) {
		m.retryAt = m.notBefore
		m.rest()
	}
	if !m.pauseUntil(ctx, m.notBefore) {
		return nil, nil
	}
	for _, notice := range []chan struct{}{m.forced.notice, m.renewed} { // this login is what they are about
		select {
		case <-notice:
		default:
		}
	}
	calls := m.forced.take() // after its notice: who comes between leaves another
	if m.hasNone() {
		m.tell(LoggingIn)
	} else {
		m.tell(Replacing)
	}
	started := m.opts.Now()
	err := m.logInOnce(ctx, started)
	m.begun()
	answerAll(calls, err)
	defer func() { m.asked = false }()
	switch {
	case err == nil:
		return m.watch, nil
	case ctx.Err() != nil:
		return nil, nil
	}
	return m.failed(err, started)
}

// rest tells that nothing is under way.
func (m *Manager) rest() {
	if m.hasNone() {
		m.tell(Unauthenticated)
	} else {
		m.tell(Holding)
	}
}

// hasNone reports whether there is no token, neither held nor handed out wrapped.
func (m *Manager) hasNone() bool { return m.held.Token.IsZero() && !m.wrapped }

// begun notes that the credentials may be watched: a login has used them, or the last run's token is good without one.
func (m *Manager) begun() {
	select {
	case <-m.tried:
	default:
		close(m.tried)
	}
}

// logInOnce asks once, and holds or hands out what comes.
func (m *Manager) logInOnce(ctx context.Context, started time.Time) error {
	ctx, cancel := m.failures.until(ctx, m.opts.TotalTimeout)
	defer cancel()
	if m.opts.WrapTTL > 0 {
		w, err := m.askForWrapping(ctx)
		if err != nil {
			return err
		}
		m.succeeded(started)
		return m.handOut(w)
	}
	a, err := m.askForToken(ctx)
	if err != nil {
		return err
	}
	m.succeeded(started)
	m.hold(a, started)
	return nil
}

func (m *Manager) succeeded(started time.Time) {
	m.notBefore, m.retryAt = started.Add(m.opts.MinBackoff), time.Time{}
	m.logins.reset()
}

// failed plans the next login after one that failed, unless that was the last.
func (m *Manager) failed(err error, started time.Time) (state, error) {
	m.countFailure()
	m.failures.add(err)
	now := m.opts.Now()
	if m.opts.ExitOnErr {
		return nil, err
	}
	pause := m.logins.next()
	m.retryAt = now.Add(pause)
	m.notBefore = started.Add(m.opts.MinBackoff * 3 / 4) // the least that a pause can be
	if m.hasNone() && !m.asked {                         // how often others want one is not for max_attempts to bound
		if err := m.failures.exhausted(m.opts, started, now); err != nil {
			return nil, err
		}
		if end := m.failures.deadline(m.opts.TotalTimeout); !end.IsZero() && end.Before(m.retryAt) {
			m.retryAt = end // for the last attempt
			if end.Before(m.notBefore) {
				m.notBefore = end
			}
		}
	}
	m.log.Error("login failed", "error", err, "next_attempt_in", m.retryAt.Sub(now))
	switch {
	case m.Resuming():
		return m.resume, nil
	case !m.plan.renew: // it was this login
		m.plan = plan{}
	}
	return m.watch, nil
}

// watch waits for the planned renewal or login, or for the token's end.
func (m *Manager) watch(ctx context.Context) (state, error) {
	m.rest()
	what, at := m.next()
	switch m.idle(ctx, at) {
	case stopped:
		return nil, nil
	case hurried:
		o, now := m.occupant(), m.opts.Now()
		switch {
		case m.lasts(&o): // it has been renewed since
			return m.watch, nil
		case m.plan.renew && now.Before(m.renewFrom): // Vault is in trouble, and there may be many who ask
			m.plan.at = m.renewFrom
			return m.watch, nil
		case m.plan.renew:
			return m.renew, nil
		case now.Before(m.retryAt):
			return m.watch, nil
		}
	case due:
		if what == nextRenewal {
			return m.renew, nil
		}
	case answers:
		switch {
		case m.failures.since == 0:
			return m.watch, nil
		case !m.retryAt.IsZero():
			return m.login, nil
		case m.plan.renew:
			return m.renew, nil
		}
	case wanted:
		m.asked = true
	}
	return m.login, nil
}

// renew tries once to prolong the held token. A failure gives the token up only if Vault says that it is gone: while Vault is
// away, the token is still good for all its remaining life (hashicorp/vault#10918).
func (m *Manager) renew(ctx context.Context) (state, error) {
	m.tell(Renewing)
	started := m.opts.Now()
	grant, err := m.askForRenewal(ctx)
	if err != nil && ctx.Err() == nil {
		m.countFailure()
		m.failures.add(err)
	}
	switch {
	case err == nil:
		m.prolong(grant, started)
	case ctx.Err() != nil:
		return nil, nil
	case tokenGone(err):
		m.slot.drop(m.held.Token)
		m.lose(err.Error())
		return m.login, nil
	case errors.Is(err, vault.ErrRefused):
		// Asking again would get the same answer: a policy without auth/token/renew-self is the usual reason.
		m.plan = planFor(vault.Grant{TTL: m.held.Grant.TTL}, m.held.Expires.Add(-m.held.Grant.TTL))
		if o := m.occupant(); !m.lasts(&o) {
			m.plan.at = m.opts.Now()
		}
		m.log.Warn("token will not be renewed", "error", err, "accessor", m.held.Accessor, "next_login_in", m.plan.at.Sub(m.opts.Now()))
	default:
		left := m.held.Expires.Sub(m.opts.Now())
		pause := min(m.renewals.next(), max(left/2, m.opts.MinBackoff)) // more attempts, not fewer, as the end comes near
		m.plan.at, m.renewFrom = m.opts.Now().Add(pause), m.opts.Now().Add(min(pause, m.opts.MinBackoff))
		m.log.Warn("renewal failed", "error", err, "accessor", m.held.Accessor, "next_attempt_in", pause, "token_ends_in", left)
	}
	return m.watch, nil
}

// event is what ended a wait.
type event int

const (
	stopped event = iota // ctx ended
	due                  // the time came
	lost                 // the held token ended
	hurried              // it has too little left for what is to be created
	answers              // Vault does again
	wanted               // a login is wanted: there are new credentials, or somebody has called Reauth
)

// idle waits until at, the zero time being never, and sees to it that a held token which ends meanwhile is not used any longer.
func (m *Manager) idle(ctx context.Context, at time.Time) event {
	for {
		until := at
		if end := m.held.Expires; !end.IsZero() && (until.IsZero() || end.Before(until)) {
			until = end
		}
		var timer <-chan time.Time // nil: waits for ever
		if !until.IsZero() {
			timer = time.After(min(until.Sub(m.opts.Now().Round(0)), maxWait))
		}
		select {
		case <-ctx.Done():
			return stopped
		case <-m.revoked:
			if !m.held.Token.IsZero() && m.slot.get().IsZero() {
				m.lose("Vault no longer accepts it")
				return lost
			}
		case <-m.hurry:
			return hurried
		case <-m.renewed:
			m.log.Info("there are new credentials")
			return wanted
		case <-m.back:
			return answers
		case <-m.forced.notice:
			if !m.forced.isWaitedFor() { // the login that they were told of is done
				continue
			}
			m.log.Info("a login was asked for")
			return wanted
		case <-timer:
			if m.expired() {
				m.countFailure()
				m.slot.drop(m.held.Token)
				m.lose("it expired")
				return lost
			}
			if !m.opts.Now().Before(at) && !at.IsZero() {
				return due
			}
		}
	}
}

// maxWait bounds a wait: the wall clock may jump, or go on while the machine sleeps, and a timer does neither.
const maxWait = 30 * time.Second

// pauseUntil waits until at whatever becomes of the held token. It reports false when ctx ended.
func (m *Manager) pauseUntil(ctx context.Context, at time.Time) bool {
	if !m.opts.Now().Before(at) {
		return ctx.Err() == nil
	}
	for {
		switch m.idle(ctx, at) {
		case stopped:
			return false
		case due:
			return true
		}
	}
}

func (m *Manager) expired() bool {
	return !m.held.Expires.IsZero() && !m.opts.Now().Before(m.held.Expires)
}

// hold makes the token that a login brought the current one.
func (m *Manager) hold(a answer, started time.Time) {
	m.adopt(a, started, m.leastOf(a.grant), m.slot.put)
	m.story().Info("logged in to Vault")
	m.offerToInspect(a)
}

// adopt makes the answer's token the held one. show brings it into the slot.
func (m *Manager) adopt(a answer, started time.Time, least time.Duration, show func(occupant)) {
	h := Held{Token: a.token, Accessor: a.accessor, Policies: a.policies, Grant: a.grant, Expires: ending(started, a.grant.TTL)}
	previous, alive, ends := m.lost, false, time.Time{}
	if !m.held.Token.IsZero() {
		previous, alive, ends = m.held.Token, !m.expired() && m.slot.get().Equal(m.held.Token), m.held.Expires
	}
	if !previous.Equal(h.Token) {
		h.Previous, h.PreviousAlive = previous, alive
		if alive {
			h.PreviousEnds = ends
		}
	}
	if m.Resuming() || !m.held.Token.Equal(h.Token) {
		m.since = m.opts.Now()
	}
	m.held, m.lost, m.least, m.failures = h, vault.Token{}, least, failures{}
	m.schedule(planFor(h.Grant, started))
	m.renewals.reset()

	// Observers first: no request may use a token that the lease index has not heard of.
	m.announce()
	show(m.occupant())
	m.publish(h.Token)
}

// publish gives the sinks what a login brought.
func (m *Manager) publish(t vault.Token) {
	for _, w := range m.writers {
		w.offer(t)
	}
	select {
	case <-m.ready:
	default:
		close(m.ready)
	}
	m.countSuccess()
}

// story is the log with all that there is to say of a token just adopted.
func (m *Manager) story() *slog.Logger {
	h := m.held
	return m.log.With(m.plan.attr()).With("accessor", h.Accessor, "policies", h.Policies,
		"namespace", m.opts.Namespace, "ttl", h.Grant.TTL, "renewable", h.Grant.Renewable)
}

// prolong notes a renewal that succeeded at Vault.
func (m *Manager) prolong(g vault.Grant, started time.Time) {
	m.renewals.reset()
	m.countSuccess()
	m.failures = failures{}
	capped := g.TTL < m.held.Grant.TTL // the max TTL is in sight: no renewal will reach further
	if g.TTL == 0 {
		m.plan = plan{at: started} // Vault has rounded down: what had an end keeps it
	} else {
		m.held.Grant, m.held.Expires = g, ending(started, g.TTL)
		// What is too short for MinTokenTTL right after its renewal would be renewed again for every request, and never last.
		o := m.occupant()
		m.schedule(planFor(vault.Grant{TTL: g.TTL, Renewable: g.Renewable && !capped && m.lasts(&o)}, started))
		m.slot.update(m.occupant())
	}
	m.held.Previous, m.held.PreviousAlive, m.held.PreviousEnds = vault.Token{}, false, time.Time{}
	m.announce()
	m.log.With(m.plan.attr()).Info("token renewed", "accessor", m.held.Accessor, "ttl", g.TTL)
}

// schedule takes a plan; a login in good time for MinTokenTTL.
func (m *Manager) schedule(p plan) {
	if until := m.occupant().until; !p.renew && !until.IsZero() && until.Before(p.at) {
		p.at = until
	}
	m.plan = p
}

// lose notes that the held token, already out of the slot, has ended.
func (m *Manager) lose(reason string) {
	m.log.Warn("token lost", "accessor", m.held.Accessor, "reason", reason)
	m.lost = m.held.Token
	m.held, m.plan, m.since = Held{}, plan{}, m.opts.Now()
	m.failures.begun = time.Time{}
	m.tell(Unauthenticated)
	for _, o := range m.opts.Observers {
		o.TokenLost(m.lost)
	}
}

func (m *Manager) announce() {
	for _, o := range m.opts.Observers {
		o.TokenHeld(m.held)
	}
}

func (m *Manager) countSuccess() {
	if m.opts.Meter != nil {
		m.opts.Meter.AuthSuccess()
	}
}

func (m *Manager) countFailure() {
	if m.opts.Meter != nil {
		m.opts.Meter.AuthFailure()
	}
}
