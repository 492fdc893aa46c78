package autoauth

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"leasehold/internal/vault"
)

// slot is where requests find the current token. The manager's goroutine puts tokens in; anyone may read, wait, or take out a
// token that Vault no longer accepts.
type slot struct {
	now atomic.Pointer[occupant] // nil: none

	mu      sync.Mutex    // orders changes of now and of changed; readers of now do without
	changed chan struct{} // closed at the next change
}

// occupant is a token, and until when something may be created under it: the zero time for always.
type occupant struct {
	token       vault.Token
	until       time.Time
	provisional bool // the last run's, which Vault has not confirmed yet
}

func newSlot() *slot { return &slot{changed: make(chan struct{})} }

func (s *slot) get() vault.Token {
	if o := s.now.Load(); o != nil {
		return o.token
	}
	return vault.Token{}
}

func (s *slot) put(o occupant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(&o)
}

// update is put for the token that is there already; one that was dropped meanwhile stays out.
func (s *slot) update(o occupant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now.Load(); now != nil && now.token.Equal(o.token) {
		s.change(&o)
	}
}

func (s *slot) change(o *occupant) {
	s.now.Store(o)
	close(s.changed)
	s.changed = make(chan struct{})
}

// drop takes t out and reports whether it was there: of many callers that saw the same token fail, one gets true.
func (s *slot) drop(t vault.Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now.Load(); now == nil || !now.token.Equal(t) {
		return false
	}
	s.change(nil)
	return true
}

// while returns a context that ends when t leaves the slot, or anything else changes there. done releases it.
func (s *slot) while(ctx context.Context, t vault.Token) (_ context.Context, done func()) {
	s.mu.Lock()
	changed := s.changed
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	if !s.get().Equal(t) {
		cancel()
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(); watch.Wait() }
}

// await waits until there is a token that will do.
func (s *slot) await(ctx context.Context, will func(*occupant) bool) (vault.Token, error) {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if o := s.now.Load(); o != nil && will(o) {
			return o.token, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return vault.Token{}, fmt.Errorf("wait for the auto-auth login: %w", context.Cause(ctx))
		}
	}
}
