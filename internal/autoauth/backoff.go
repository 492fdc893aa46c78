package autoauth

import (
	"math/rand/v2"
	"time"
)

// backoff doubles its pauses from min to max. Each is shortened by up to a quarter, so that daemons which failed together do
// not come back together. The numbers are Vault Agent's.
type backoff struct {
	min, max time.Duration
	last     time.Duration // 0: nothing failed since the last reset
}

func (b *backoff) next() time.Duration {
	base := b.min
	if b.last > 0 {
		base = min(2*b.last, b.max)
	}
	b.last = between(base, 0.75, 1)
	return b.last
}

func (b *backoff) reset() { b.last = 0 }

// between returns a random share of d, from lo to hi.
func between(d time.Duration, lo, hi float64) time.Duration {
	return time.Duration(float64(d) * (lo + rand.Float64()*(hi-lo)))
}
