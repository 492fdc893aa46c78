//go:build !windows

package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// watchDumps sends stderr for each SIGUSR1, for the metrics to be written to it.
func watchDumps(ctx context.Context, stderr io.Writer) <-chan io.Writer {
	asked, dumps := make(chan os.Signal, 1), make(chan io.Writer)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for {
			select {
			case <-asked:
			case <-ctx.Done():
				return
			}
			select {
			case dumps <- stderr:
			case <-ctx.Done():
				return
			}
		}
	}()
	return dumps
}

// watchProfiles writes profiles for each SIGUSR2, one set after the other; one that comes while two are due is lost.
func watchProfiles(ctx context.Context, log *slog.Logger) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	go func() {
		for {
			select {
			case <-asked:
			case <-ctx.Done():
				return
			}
			dir, err := writeProfiles(ctx, os.TempDir())
			if err != nil {
				log.Warn("profiles not written", slog.Any("error", err))
				continue
			}
			log.Info("profiles written", slog.String("directory", dir))
		}
	}()
}
