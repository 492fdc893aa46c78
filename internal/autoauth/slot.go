package autoauth

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"leasehold/internal/vault"
)

// slot is where requests find the current token. The manager's goroutine puts tokens in; anyone may read, wait, or take out a
// token that Vault no longer accepts.
type slot struct {
	token atomic.Pointer[vault.Token] // nil: none

	mu      sync.Mutex    // orders changes of token and arrived; readers of token do without
	arrived chan struct{} // closed while there is a token
}

func newSlot() *slot { return &slot{arrived: make(chan struct{})} }

func (s *slot) get() vault.Token {
	if t := s.token.Load(); t != nil {
		return *t
	}
	return vault.Token{}
}

func (s *slot) put(t vault.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.Swap(&t) == nil {
		close(s.arrived)
	}
}

// drop takes t out and reports whether it was there: of many callers that saw the same token fail, one gets true.
func (s *slot) drop(t vault.Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.token.Load(); now == nil || !now.Equal(t) {
		return false
	}
	s.token.Store(nil)
	s.arrived = make(chan struct{})
	return true
}

func (s *slot) await(ctx context.Context) (vault.Token, error) {
	for {
		s.mu.Lock()
		arrived := s.arrived
		s.mu.Unlock()
		if t := s.get(); !t.IsZero() {
			return t, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return vault.Token{}, fmt.Errorf("wait for the auto-auth login: %w", context.Cause(ctx))
		}
	}
}
