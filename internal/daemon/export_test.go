package daemon

import (
	"context"
	"log/slog"

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
