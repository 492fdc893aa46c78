package autoauth

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/vault"
)

// Pauses between attempts at one sink: doubling, half as long to half as long again, so 1 to 3 s at first.
const (
	sinkPause    = 2 * time.Second
	sinkPauseMax = time.Minute
)

// writer keeps one sink up to date. Each sink has its own, so that one that fails holds up no other (AUT-19).
type writer struct {
	sink   Sink
	log    *slog.Logger
	tracer trace.Tracer
	next   chan vault.Token // capacity 1: the newest token not yet taken up
	stored chan struct{}    // closed when the sink has had its first token

	mu    sync.Mutex
	state SinkState
}

func newWriter(s Sink, log *slog.Logger, tracer trace.Tracer) *writer {
	return &writer{
		sink:   s,
		log:    log.With("sink", s.Name()),
		tracer: tracer,
		next:   make(chan vault.Token, 1),
		stored: make(chan struct{}),
		state:  SinkState{Name: s.Name(), Since: time.Now()},
	}
}

// offer hands over the newest token and does not block. One goroutine offers. That there is none is no token to be stored (AUT-10).
func (w *writer) offer(t vault.Token) {
	if t.IsZero() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock() // note must not find the one without the other
	w.turn(true)
	select {
	case <-w.next: // too late for this one
	default:
	}
	w.next <- t
}

// run writes what is offered until ctx ends, retrying for ever; a newer token takes the place of one that cannot be written.
func (w *writer) run(ctx context.Context) error {
	var (
		want, have vault.Token
		pause      = sinkPause
		retry      <-chan time.Time // nil: nothing to retry
		first      = true
	)
	for {
		select {
		case <-ctx.Done():
			return nil
		case want = <-w.next:
		case <-retry:
		}
		if want.Equal(have) {
			w.note(nil)
			continue
		}
		retry = nil
		err := w.write(ctx, want)
		if err != nil && ctx.Err() != nil {
			return nil // stopped in the middle: not the sink's failure
		}
		w.count(err)
		w.note(err)
		if err != nil {
			have = vault.Token{} // the failure may have come after the content changed
			wait := min(between(pause, 0.5, 1.5), sinkPauseMax)
			pause = min(2*pause, sinkPauseMax)
			retry = time.After(wait)
			w.log.Error("token not stored", "error", err, "next_attempt_in", wait)
			continue
		}
		have, pause = want, sinkPause
		w.log.Info("token stored")
		if first {
			close(w.stored)
			first = false
		}
	}
}

// write writes once.
func (w *writer) write(ctx context.Context, t vault.Token) error {
	ctx, span := w.tracer.Start(ctx, "write sink", trace.WithAttributes(sinkKey.String(w.sink.Name())))
	err := w.sink.Write(ctx, t)
	end(span, err)
	return err
}
