package autoauth

import (
	"time"

	"leasehold/internal/vault"
)

// State is where a manager is in its life.
type State string

const (
	Unauthenticated State = "unauthenticated" // there is no token; the next login is planned
	LoggingIn       State = "logging in"      // there is no token; a login is under way
	Holding         State = "held"            // there is a token, or one was handed out wrapped
	Renewing        State = "renewing"        // there is a token; its renewal is under way
	Replacing       State = "replacing"       // there is a token; the login for the next one is under way
)

// Status is what can be told of a manager. It holds no secret.
type Status struct {
	State    State
	Since    time.Time // of there being this token, confirmed or not, or none: neither renewals nor logins that fail change it
	Resuming bool      // the token is the last run's, and not confirmed yet
	Wrapped  bool      // the token was handed out wrapped: nobody here has it

	Accessor vault.Accessor
	Expires  time.Time // of the token; zero: it does not expire, or there is none, or nobody knows

	Next   string    // "login", "renewal" or "lookup"; "" for nothing
	NextAt time.Time // zero while Next is under way, and without Next

	Failures  int    // logins and renewals that failed since the last that did not
	LastError string // of the last of these
}

// SafeOutage returns how long from now on Vault can be away without a loss, known for a token that ends.
func (s Status) SafeOutage(now time.Time) (left time.Duration, known bool) {
	if s.Expires.IsZero() {
		return 0, false
	}
	return max(s.Expires.Sub(now), 0), true
}

// Status tells how the manager is. It may be called from any goroutine.
func (m *Manager) Status() Status {
	s := *m.status.Load()
	o := m.slot.now.Load()
	s.Resuming = o != nil && o.provisional
	return s
}

// tell publishes the state that a step begins with.
func (m *Manager) tell(state State) {
	s := Status{State: state, Since: m.since, Accessor: m.held.Accessor, Expires: m.held.Expires, Failures: m.failures.since, Wrapped: m.wrapped}
	if err := m.failures.last; err != nil {
		s.LastError = err.Error()
	}
	switch state {
	case LoggingIn, Replacing:
		s.Next = nextLogin
	case Renewing:
		s.Next = nextRenewal
	default:
		s.Next, s.NextAt = m.next()
	}
	m.status.Store(&s)
}

// What Status.Next may say.
const (
	nextLogin   = "login"
	nextRenewal = "renewal"
	nextLookup  = "lookup" // of the last run's token
)

// next is what is planned, and when: the renewal or login of the plan, or the login that follows one that failed.
func (m *Manager) next() (what string, at time.Time) {
	switch {
	case m.Resuming():
		return nextLookup, m.confirmAt
	case !m.retryAt.IsZero() && (m.plan.at.IsZero() || m.retryAt.Before(m.plan.at)):
		return nextLogin, m.retryAt
	case m.plan.at.IsZero():
		return "", time.Time{}
	case m.plan.renew:
		return nextRenewal, m.plan.at
	default:
		return nextLogin, m.plan.at
	}
}
