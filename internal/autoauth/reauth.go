package autoauth

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// forced are the calls of Reauth that wait.
type forced struct {
	notice  chan struct{} // capacity 1: tells Run of them
	mu      sync.Mutex
	waiting []chan error // each has capacity 1
	ended   bool
}

// errEnded is what Reauth returns when Run has ended.
var errEnded = errors.New("Leasehold is stopping")

// Reauth has the manager log in now, and returns when that has succeeded or failed, or ctx has ended. The token that is held stays in use until there is another.
// Calls that come together share one login; between two there is Options.MinBackoff, or three quarters of it after one that failed.
func (m *Manager) Reauth(ctx context.Context) error {
	done := make(chan error, 1)
	m.forced.mu.Lock()
	if m.forced.ended {
		m.forced.mu.Unlock()
		return errEnded
	}
	m.forced.waiting = append(m.forced.waiting, done)
	m.forced.mu.Unlock()
	notify(m.forced.notice)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the forced login: %w", context.Cause(ctx))
	}
}

// take returns the calls that a login which begins now is for.
func (f *forced) take() []chan error {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.waiting
	f.waiting = nil
	return calls
}

// isWaitedFor reports whether there are such calls.
func (f *forced) isWaitedFor() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting) > 0
}

// end answers everybody, now and later.
func (f *forced) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	answerAll(f.take(), errEnded)
}

func answerAll(calls []chan error, err error) {
	for _, done := range calls {
		done <- err
	}
}
