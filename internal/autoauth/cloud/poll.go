package cloud

import (
	"context"
	"log/slog"
	"time"
)

// Poll asks for the credentials every period, and calls changed when differs says that they are others than those in use, until ctx ends. That they cannot be had
// is logged once: it may last for as long as the metadata is away.
func Poll[C any](ctx context.Context, period time.Duration, log *slog.Logger, ask func(context.Context) (C, error), differs func(C) bool, changed func()) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		found, err := ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			log.Warn("cannot look for new credentials", "error", err)
		}
		failing = err != nil
		if err == nil && differs(found) {
			changed()
		}
	}
}
