package autoauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"

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

// Resume is Options.Resume for who knows that token later. Call it before Run.
func (m *Manager) Resume(r Resumed) {
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
	m.since = m.opts.Now()
	m.tell(Holding)
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
	m.confirmAt = time.Time{}
	m.tell(Holding)
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
		m.begun()
		m.story().Info("the token of the last run is good")
		return m.watch, nil
	case m.expired():
		m.countFailure()
		m.slot.drop(m.held.Token)
		m.lose("it expired")
		return m.login, nil
	case Final(err):
		m.slot.drop(m.held.Token)
		m.lose(err.Error())
		return m.login, nil
	}
	pause := m.confirms.next()
	log := m.log.With("error", err, "accessor", m.held.Accessor, "next_attempt_in", pause)
	if end := m.held.Expires; !end.IsZero() {
		log = log.With("token_ends_in", end.Sub(m.opts.Now()))
	}
	m.failures.add(err)
	log.Warn("Vault could not confirm the token of the last run; it stays in use")
	return m.pauseResuming(ctx, pause)
}

// pauseResuming waits for the next attempt. A request that needs more life than the token is known to have cuts the wait, but to no less than
// MinBackoff: there may be many of them, and Vault is in trouble.
func (m *Manager) pauseResuming(ctx context.Context, pause time.Duration) (state, error) {
	now := m.opts.Now()
	at, soonest := now.Add(pause), now.Add(m.opts.MinBackoff)
	for {
		m.confirmAt = at
		m.tell(Holding)
		switch m.idle(ctx, at) {
		case stopped:
			return nil, nil
		case lost:
			return m.login, nil
		case due, answers:
			return m.resume, nil
		case wanted:
			return m.login, nil
		case hurried:
			if o := m.occupant(); !m.lasts(&o) && soonest.Before(at) {
				at = soonest
			}
		}
	}
}

// confirm asks about the held token, for its life at most. Life is what it was made with.
func (m *Manager) confirm(ctx context.Context) (a answer, life time.Duration, err error) {
	ctx, span := m.begin(ctx, "look up auto-auth token")
	defer func() { end(span, err) }()
	ctx, cancel := m.untilExpiry(ctx)
	defer cancel()
	secret, err := Confirm(ctx, m.cleanClient, m.held.Token)
	if err == nil {
		a, err = readAnswer(secret)
	}
	if err != nil {
		return answer{}, 0, err
	}
	life = a.grant.TTL // when Vault does not say, the rest has to do
	if n, ok := secret.Data["creation_ttl"].(json.Number); ok {
		seconds, _ := n.Int64()
		life = max(life, time.Duration(seconds)*time.Second)
	}
	return a, life, nil
}

// Confirm asks Vault whether t, the token of an earlier run, is good, and returns what Vault says of it: the answer to a lookup, or, for a token that may not
// look itself up (token_no_default_policy), to a renewal, which shows as well that it is good. Each request has a client of its own from fresh, without a
// token. Final tells whether an error is Vault's last word.
func Confirm(ctx context.Context, fresh func() *api.Client, t vault.Token) (*api.Secret, error) {
	c := fresh()
	c.SetToken(t.Reveal())
	secret, err := c.Auth().Token().LookupSelfWithContext(ctx)
	if err == nil {
		err = isAbout(secret, t)
	}
	if err == nil {
		return secret, nil
	}
	err = explain(err, "lookup", noRemedy)
	if !Final(err) || tokenGone(err) {
		return nil, err
	}
	secret, failure := renewSelf(ctx, fresh(), t)
	if failure == nil && secret.Auth.LeaseDuration == 0 { // rounded down: what does not expire is not renewed
		failure = errEnding
	}
	if failure != nil {
		return nil, fmt.Errorf("%s; %w", err.Error(), failure) // the second says whether that is final
	}
	secret.Auth.ClientToken = t.Reveal() // it is this one, whatever Vault calls it
	return secret, nil
}

// isAbout checks that an answer is of t, and of a token that does not end just now.
func isAbout(secret *api.Secret, t vault.Token) error {
	a, err := readAnswer(secret)
	if err == nil && !a.token.Equal(t) {
		err = errOtherToken
	}
	return err
}

func noRemedy(int) string { return "" } // a login follows

// Final reports whether an error of Confirm is Vault's last word about a token. A refusal without a reason is that of something in front of Vault: an
// ingress that has lost its backend answers 404.
func Final(err error) bool {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.refused() && len(e.reasons) > 0
	}
	return errors.Is(err, errEnding)
}
