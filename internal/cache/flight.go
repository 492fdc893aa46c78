package cache

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/lease"
)

// flights lets identical requests share one call to Vault, when its answer can be kept.
type flights struct {
	mu    sync.Mutex
	byKey map[lease.Key]*flight
}

// flight is one call under way. It ends at the moment it is known whether the answer is kept, which is before the answer is written.
type flight struct {
	all    *flights
	key    lease.Key
	span   trace.SpanContext // in which it was begun; zero without traces
	done   chan struct{}
	entry  *lease.Entry // what was kept, nil if nothing; written before done is closed
	cancel context.CancelFunc

	// Guarded by all.mu.
	members    int  // whose client still waits, the leader included
	leaderLeft bool // its client is gone; the handler goes on for the others
	over       bool
	failed     bool // Vault did not answer; read when done is closed
}

// join returns the flight of a key. The one for whom it was begun leads: it must call finish. ctx is the leader's; the flight keeps its values but
// is cancelled only when every member has left.
func (f *flights) join(ctx context.Context, key lease.Key) (fl *flight, flightCtx context.Context, leads bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl = f.byKey[key]; fl != nil {
		fl.members++
		return fl, nil, false
	}
	flightCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	fl = &flight{all: f, key: key, span: trace.SpanContextFromContext(ctx), done: make(chan struct{}), cancel: cancel, members: 1}
	f.byKey[key] = fl
	return fl, flightCtx, true
}

// finish ends the flight with what was kept. Later calls do nothing. When nothing was kept, the call goes on for the leader alone.
func (fl *flight) finish(e *lease.Entry) {
	fl.all.mu.Lock()
	defer fl.all.mu.Unlock()
	if fl.over {
		return
	}
	fl.over, fl.entry = true, e
	delete(fl.all.byKey, fl.key)
	close(fl.done)
	if e == nil && fl.leaderLeft {
		fl.cancel()
	}
}

// fail notes that Vault did not answer, before finish.
func (fl *flight) fail() {
	fl.all.mu.Lock()
	defer fl.all.mu.Unlock()
	fl.failed = fl.failed || !fl.over
}

// leave is called when a member's client is gone.
func (fl *flight) leave(leader bool) {
	fl.all.mu.Lock()
	defer fl.all.mu.Unlock()
	fl.members--
	fl.leaderLeft = fl.leaderLeft || leader
	if fl.members == 0 || (fl.over && fl.entry == nil && fl.leaderLeft) {
		fl.cancel()
	}
}
