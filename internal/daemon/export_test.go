package daemon

import (
	"context"
	"log/slog"

	"leasehold/internal/api"
)

// Verdicts say of each key of the configuration whether a reload puts it to use.
var Verdicts = verdicts

// FeedWatchdog feeds the watchdog of the environment with a check of a test's own.
func FeedWatchdog(ctx context.Context, log *slog.Logger, works func() error) {
	newNotifier(log).feed(ctx, works)
}

// AwaitAccepting is what the watchdog waits for at each listener.
var AwaitAccepting = awaitAccepting

// History is what the last hour was like.
type History = history

// Run is run, for tests.
func (h *history) Run(ctx context.Context, wanted func() bool, take func() api.Sample) {
	h.run(ctx, wanted, take)
}

// Since is since, for tests.
func (h *history) Since(seen int) ([]api.Sample, int) { return h.since(seen) }
