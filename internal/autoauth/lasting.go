package autoauth

import (
	"context"
	"net/http"
	"time"

	"leasehold/internal/vault"
)

// ErrNotLasting is what a request gets that would create something under a token which is about to end, when no better one comes in time.
const ErrNotLasting = unavailable("the auto-auth token has less than min_token_ttl to live and could not be replaced yet; " +
	"see Leasehold's log for why the login fails, or lower min_token_ttl")

// unavailable is an error that the client may read.
type unavailable string

func (u unavailable) Error() string { return string(u) }

// ClientStatus is the HTTP status for the client.
func (unavailable) ClientStatus() int { return http.StatusServiceUnavailable }

// Lasting returns the current token when it has Options.MinTokenTTL to live, without a lock or an allocation. Otherwise it has the token renewed, or
// another login made, and waits for that until ctx ends; then the error is ErrNotLasting. What is created under a token ends with it, so nothing
// should be that outlives it (hashicorp/vault-secrets-operator#436).
func (m *Manager) Lasting(ctx context.Context) (vault.Token, error) {
	if o := m.slot.now.Load(); o != nil && m.lasts(o) {
		return o.token, nil
	}
	t, err := m.slot.await(ctx, func(o *occupant) bool {
		if m.lasts(o) {
			return true
		}
		notify(m.hurry)
		return false
	})
	if err != nil && !m.slot.get().IsZero() {
		return vault.Token{}, ErrNotLasting
	}
	return t, err
}

func (m *Manager) lasts(o *occupant) bool { return o.until.IsZero() || m.opts.Now().Before(o.until) }

// occupant is the held token as the slot has it.
func (m *Manager) occupant() occupant {
	o := occupant{token: m.held.Token}
	if m.opts.MinTokenTTL > 0 && !m.held.Expires.IsZero() {
		o.until = m.held.Expires.Add(-m.least)
	}
	return o
}

// leastOf is MinTokenTTL, or half the life of a token that a login grants less: else none would ever do, and every request cost a login.
func (m *Manager) leastOf(g vault.Grant) time.Duration {
	half := g.TTL / 2
	if g.TTL > 0 && half < m.opts.MinTokenTTL {
		m.log.Warn("tokens of this login live so short that half their life has to do for min_token_ttl; raise the role's token_ttl, or lower min_token_ttl",
			"ttl", g.TTL, "min_token_ttl", m.opts.MinTokenTTL)
		return half
	}
	return m.opts.MinTokenTTL
}
