package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// watchReloads sends for each SIGHUP, until ctx ends; of those that come while one waits to be taken, one counts. From the call on the signal does not
// end the process, as it would by itself: users' unit files send it for a reload.
func watchReloads(ctx context.Context) <-chan struct{} {
	hangup, asked := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-hangup:
			case <-ctx.Done():
				return
			}
			ask(asked)
		}
	}()
	return asked
}

// ask leaves a request in a channel that has room for one: what waits there will see what this one would.
func ask(asked chan<- struct{}) {
	select {
	case asked <- struct{}{}:
	default:
	}
}
