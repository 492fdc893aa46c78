package autoauth

import (
	"context"
	"fmt"
	"time"
)

// failures are the logins and renewals that failed since the last that did not.
type failures struct {
	since  int
	last   error
	begun  time.Time // the first login without a token that failed; zero: none has
	logins int       // that failed since then
}

func (f *failures) add(err error) { f.since, f.last = f.since+1, err }

// exhausted returns the error that ends Run, for a login without a token that failed at now; nil to go on.
func (f *failures) exhausted(o Options, started, now time.Time) error {
	if f.begun.IsZero() {
		f.begun, f.logins = started, 0
	}
	f.logins++
	switch {
	case o.MaxAttempts > 0 && f.logins >= o.MaxAttempts:
		return fmt.Errorf("%w after max_attempts (%d): %w", ErrGaveUp, o.MaxAttempts, f.last)
	case o.TotalTimeout > 0 && !now.Before(f.deadline(o.TotalTimeout)):
		return fmt.Errorf("%w after total_timeout (%v): %w", ErrGaveUp, o.TotalTimeout, f.last)
	}
	return nil
}

// deadline is when total is used up; zero: not yet known, or never.
func (f *failures) deadline(total time.Duration) time.Time {
	if total <= 0 || f.begun.IsZero() {
		return time.Time{}
	}
	return f.begun.Add(total)
}

// until bounds a login by what is left of total.
func (f *failures) until(ctx context.Context, total time.Duration) (context.Context, context.CancelFunc) {
	switch end := f.deadline(total); {
	case total <= 0:
		return context.WithCancel(ctx)
	case end.IsZero():
		return context.WithTimeout(ctx, total)
	default:
		return context.WithTimeout(ctx, max(time.Until(end), minLast))
	}
}

// minLast is what the last attempt has, which begins when the time is used up.
const minLast = 5 * time.Second
