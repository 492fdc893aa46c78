package main

import (
	"context"
	"io"
	"log/slog"
)

// watchDumps does nothing: Windows has no such signals.
func watchDumps(context.Context, io.Writer) <-chan io.Writer { return nil }

// watchProfiles does nothing: Windows has no such signals.
func watchProfiles(context.Context, *slog.Logger) {}
