package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"leasehold/internal/api"
)

// liveWithin is how long the look at the parts may take: what needs it is microseconds, and what takes longer hangs, or starves.
const liveWithin = 5 * time.Second

// works returns when every part that requests pass has answered: a lock that is never released keeps it from doing so. Its error is that one does not move.
func (p *parts) works() error {
	p.index.Stats()
	p.partStates()
	if clock := p.renewing(); clock != nil {
		return stuck(clock.Pulse())
	}
	return nil
}

// pulse looks whether the process works, however many ask at a time: one look that hangs holds one goroutine.
type pulse struct {
	works func() error

	mu    sync.Mutex
	look  *look
	alive bool
	since time.Time // of alive
}

// look is one call of works.
type look struct {
	began time.Time
	done  chan struct{} // closed when it has returned, and err says what
	err   error
}

func newPulse(works func() error, since time.Time) *pulse {
	return &pulse{works: works, alive: true, since: since}
}

var errHangs = errors.New("the process does not answer itself: a lock is not released, or it gets no CPU time")

// tell waits for a look, unless one has been under way for too long. When the asker leaves first he is told what was known before.
func (p *pulse) tell(ctx context.Context) api.Liveness {
	l := p.begin()
	late := time.NewTimer(liveWithin - time.Since(l.began))
	defer late.Stop()
	select {
	case <-l.done:
		return p.took(l, l.err)
	case <-late.C:
		return p.took(l, errHangs)
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		return api.Liveness{Alive: p.alive, Since: p.since}
	}
}

// begin joins the look that is under way, or begins one.
func (p *pulse) begin() *look {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.look != nil {
		select {
		case <-p.look.done:
		default:
			return p.look
		}
	}
	l := &look{began: time.Now(), done: make(chan struct{})}
	p.look = l
	go func() {
		l.err = p.works()
		close(l.done)
	}()
	return l
}

// took notes what came of a look.
func (p *pulse) took(l *look, err error) api.Liveness {
	p.mu.Lock()
	defer p.mu.Unlock()
	if alive := err == nil; alive != p.alive {
		p.alive, p.since = alive, time.Now()
		if !alive {
			p.since = l.began
		}
	}
	out := api.Liveness{Alive: p.alive, Since: p.since}
	if err != nil {
		out.Reason = err.Error()
	}
	return out
}
