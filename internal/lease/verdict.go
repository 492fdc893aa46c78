package lease

import "time"

// Verdict says what becomes of an answer, and why it is not kept.
type Verdict string

const (
	KeepLease      Verdict = "lease"
	KeepToken      Verdict = "token"
	NotASecret     Verdict = "not a secret"
	NotRenewable   Verdict = "not renewable"
	Wrapped        Verdict = "wrapped"
	SecondFactor   Verdict = "waits for a second factor"
	NoEnd          Verdict = "does not expire"
	UnmanagedToken Verdict = "the request's token was not issued through here"
	KnownAlready   Verdict = "the lease or token is held already"
	Evicted        Verdict = "evicted while the request was under way"
	Full           Verdict = "the cache is full"
)

// Kept reports whether the answer is kept.
func (v Verdict) Kept() bool { return v == KeepLease || v == KeepToken }

// classify applies the decision table to a 2xx answer of a Creation (Vault Proxy's rules, with batch tokens, wrapped answers and
// logins that wait for a second factor told apart). Whether the request's token is managed only the index can tell; leases that cannot be renewed
// are kept where a rule says so.
func classify(s *Secret, managed, nonRenewable bool) Verdict {
	switch {
	case s == nil:
		return NotASecret
	case s.Wrapped:
		return Wrapped
	case s.LeaseID != "":
		return classifyLease(s, managed, nonRenewable)
	case s.Auth == nil:
		return NotRenewable
	case s.Auth.MFA:
		return SecondFactor
	case s.Auth.Token.IsZero():
		return NotASecret
	case !s.Auth.Renewable:
		return NotRenewable
	case s.Auth.TTL < time.Second:
		return NoEnd
	case !s.Auth.Orphan && !managed:
		return UnmanagedToken
	default:
		return KeepToken
	}
}

func classifyLease(s *Secret, managed, nonRenewable bool) Verdict {
	switch {
	case !s.Renewable && !nonRenewable:
		return NotRenewable
	case s.TTL < time.Second:
		return NoEnd
	case !managed:
		return UnmanagedToken
	default:
		return KeepLease
	}
}
