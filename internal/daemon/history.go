package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/config"
	"leasehold/internal/upstream"
)

const (
	samplePace = 10 * time.Second
	maxSamples = 360 // an hour
)

// history is what the last hour was like. Its methods may be called at any time.
type history struct {
	mu      sync.Mutex
	samples []api.Sample // the oldest first
	taken   int          // so far
}

// run takes a sample now and every ten seconds, until ctx ends. While nobody could look at them it takes none.
func (h *history) run(ctx context.Context, wanted func() bool, take func() api.Sample) {
	tick := time.NewTicker(samplePace)
	defer tick.Stop()
	for {
		if wanted() { // which a reload may change
			h.add(take())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (h *history) add(s api.Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) == maxSamples {
		h.samples = slices.Delete(h.samples, 0, 1)
	}
	h.samples = append(h.samples, s)
	h.taken++
}

// since returns the samples that were taken after the first seen, the oldest first, and how many have been taken by now. Times would not do: a clock may be
// set back.
func (h *history) since(seen int) (fresh []api.Sample, taken int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(max(h.taken-seen, 0), len(h.samples))
	return slices.Clone(h.samples[len(h.samples)-n:]), h.taken
}

// visible tells whether a listener serves events.
func (p *parts) visible() bool {
	return slices.ContainsFunc(*p.open.Load(), func(l openListener) bool {
		return l.listener.Role == config.RoleAdmin || l.listener.EnableStatus && l.listener.Role != config.RoleMetricsOnly
	})
}

// sample is what this moment is like.
func (p *parts) sample() api.Sample {
	now := time.Now()
	counts, held := p.meters.Counts(), p.index.Survey(now)
	entries, _, tokens := p.index.Stats()
	nodes, _ := p.upstream.Nodes()
	s := api.Sample{
		At: now.UTC().Truncate(time.Millisecond), Requests: counts.Success + counts.ClientError, Failed: counts.Failed, Hits: counts.Hits, Misses: counts.Misses,
		Entries: entries, Failing: held.Failing, Tokens: tokens, VaultUp: slices.ContainsFunc(nodes, upstream.Node.Up),
		RunwayMedian: held.Runway[0].Seconds(), Runway95: held.Runway[1].Seconds(), TokenLeft: map[string]float64{},
	}
	for _, one := range p.logins {
		if ends := one.manager.Status().Expires; !ends.IsZero() {
			s.TokenLeft[one.name.Stanza()] = max(ends.Sub(now), 0).Round(time.Second).Seconds()
		}
	}
	return s
}
