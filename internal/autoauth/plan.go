package autoauth

import (
	"log/slog"
	"time"

	"leasehold/internal/vault"
)

// plan says what to do next about the held token, and when. The zero plan is to do nothing.
type plan struct {
	at    time.Time
	renew bool // else: log in again
}

// planFor renews after two thirds of the life that began at from, less up to a tenth of that so that a fleet spreads out. What
// cannot be renewed is replaced after 80 to 90 % of its life, as Vault Agent does.
//
// Times carry no monotonic reading: tokens end by the wall clock, also while this machine sleeps.
func planFor(g vault.Grant, from time.Time) plan {
	from = from.Round(0)
	switch {
	case g.TTL == 0:
		return plan{} // does not expire (AUT-8)
	case g.Renewable:
		return plan{at: from.Add(between(g.TTL*2/3, 0.9, 1)), renew: true}
	default:
		return plan{at: from.Add(between(g.TTL, 0.8, 0.9))}
	}
}

// attr says the same in the log.
func (p plan) attr() slog.Attr {
	switch {
	case p.at.IsZero():
		return slog.String("next", "nothing: the token does not expire")
	case p.renew:
		return slog.Duration("next_renewal_in", time.Until(p.at))
	default:
		return slog.Duration("next_login_in", time.Until(p.at))
	}
}

// ending returns when a token ends that has ttl to live; the zero time for never.
func ending(from time.Time, ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return from.Round(0).Add(ttl)
}
