package lease

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// StuckAfter is how long a clock that works may take between two looks at what is due: four times its longest idleness, and as often the longest
	// renewal. What waits for the renew rate is not counted.
	StuckAfter = 4 * maxWait
	// lateAfter is how long renewals may wait without a break before the clock is behind.
	lateAfter = 30 * time.Second
)

// Pulse is how a clock gets on.
type Pulse struct {
	Waiting int           // renewals that were due at its last look, and are not sent
	Late    bool          // some have been waiting for more than half a minute on end
	Since   time.Time     // of Late: since when something waits, or since when nothing has for so long
	Still   time.Duration // how long it has not looked at what is due
}

// pulse is what Pulse is made of. Time is the monotonic one: a machine that sleeps holds nothing up.
type pulse struct {
	looked atomic.Int64 // nanoseconds from made to the last look
	paced  atomic.Bool  // it waits for the renew rate
	made   time.Time

	mu      sync.Mutex
	waiting int
	since   time.Time // something has been waiting without a break; zero: nothing waits
	calm    time.Time // since when nothing was late
}

func newPulse() *pulse {
	now := time.Now()
	return &pulse{made: now, calm: now}
}

// look notes that the clock has looked, and how many renewals it found waiting.
func (p *pulse) look(waiting int) {
	now := time.Now()
	p.looked.Store(int64(now.Sub(p.made)))
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.waiting = waiting; {
	case waiting > 0 && p.since.IsZero():
		p.since = now
	case waiting == 0 && !p.since.IsZero():
		if now.Sub(p.since) >= lateAfter {
			p.calm = now
		}
		p.since = time.Time{}
	}
}

// Pulse tells how the clock gets on, from when Run has begun. It takes no lock that a renewal holds, so that it tells of one that hangs.
func (c *Clock) Pulse() Pulse {
	p, now := c.pulse, time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	out := Pulse{Waiting: p.waiting, Since: p.calm}
	if !p.since.IsZero() && now.Sub(p.since) >= lateAfter {
		out.Late, out.Since = true, p.since
	}
	if !p.paced.Load() {
		out.Still = now.Sub(p.made) - time.Duration(p.looked.Load())
	}
	return out
}

// waiting is how many renewals are due.
func (x *Index) waiting() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.ready)
}
