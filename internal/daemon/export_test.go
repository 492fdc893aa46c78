package daemon

import (
	"context"
	"log/slog"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// Verdicts say of each key of the configuration whether a reload puts it to use.
var Verdicts = verdicts

// FeedWatchdog feeds the watchdog of the environment with a check of a test's own.
func FeedWatchdog(ctx context.Context, log *slog.Logger, works func() error) {
	newNotifier(log).feed(ctx, works)
}

// AwaitAccepting is what the watchdog waits for at each listener.
var AwaitAccepting = awaitAccepting

// Details are those of a record of the log as status shows them.
func Details(of map[string]string, full bool) map[string]string {
	return inside{&parts{hasher: vault.NewHasher()}}.details(of, full)
}

// NewPulse is what livez tells of a process for which works looks whether it does.
func NewPulse(works func() error, since time.Time) func(context.Context) api.Liveness {
	return newPulse(works, since).tell
}

// ClockState is what readyz tells of a clock, or of none yet, in a process that was started then.
func ClockState(clock *lease.Clock, started time.Time) api.PartState {
	return (&parts{renews: clock, started: started}).clockState()
}

// ListenersState is what readyz tells of listeners that were bound then, in a process that has been asked to stop, or has not.
func ListenersState(bound time.Time, stopping *time.Time) api.PartState {
	p := &parts{bound: bound}
	p.stopping.Store(stopping)
	return p.listenersState()
}

// History is what the last hour was like.
type History = history

// Run is run, for tests.
func (h *history) Run(ctx context.Context, wanted func() bool, take func() api.Sample) {
	h.run(ctx, wanted, take)
}

// Since is since, for tests.
func (h *history) Since(seen int) ([]api.Sample, int) { return h.since(seen) }

// SideBySide is sideBySide, for tests.
var SideBySide = sideBySide
