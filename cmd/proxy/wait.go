package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"leasehold/internal/api"
)

const waitUsage = `usage: leasehold wait [-timeout=60s] [-require=PARTS] [-json] [flags]

wait returns when a Leasehold is ready, which need not run yet. It says on standard error what it waits for, whenever that changes, and ends with 0, or with 1
and the reason when -timeout is over first. When there is no admin socket either, it asks http://127.0.0.1:8100.
`

const (
	// waitTimeout is how long wait waits by itself.
	waitTimeout = time.Minute
	// waitPause is between two questions. Leasehold has Vault asked no more often for that.
	waitPause = 250 * time.Millisecond
	// waitWithin bounds one answer.
	waitWithin = 5 * time.Second
)

// wait runs `leasehold wait`.
func wait(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, f := newHealthFlags("wait", waitUsage, stderr, waitTimeout)
	set.Lookup("timeout").Usage = "how long to wait"
	if err := f.parse(set, args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	w := waiting{flags: f, told: stderr}
	err := w.until(ctx)
	if f.asJSON && w.answered {
		err = errors.Join(err, printJSON(stdout, w.last))
	} else if err == nil {
		_, err = fmt.Fprintln(stdout, verdictOf(w.last))
	}
	return err
}

// waiting is a wait for readiness.
type waiting struct {
	flags    *healthFlags
	told     io.Writer // what is waited for
	about    string    // as told last
	last     api.Readiness
	answered bool // last is an answer
}

// until asks again and again, until Leasehold is ready or ctx ends.
func (w *waiting) until(ctx context.Context) error {
	for {
		ready, err := w.ask(ctx)
		if ready || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return w.late(ctx)
		case <-time.After(waitPause):
		}
	}
}

// ask asks once. Its error is one that waiting does not mend.
func (w *waiting) ask(ctx context.Context) (ready bool, err error) {
	c, err := w.flags.prober(waitWithin) // anew each time: the socket may come with the daemon
	if err != nil {
		return false, err
	}
	defer c.Close()
	r, err := c.Ready(ctx, w.flags.require...)
	said, isAnswer := errors.AsType[*api.Error](err)
	switch {
	case err == nil:
		w.last, w.answered = r, true
		if r.Ready {
			return true, nil
		}
		w.tell(verdictOf(r))
	case isAnswer && said.Status/100 == http.StatusBadRequest/100:
		return false, err
	case ctx.Err() == nil: // else it was we who did not wait for it
		w.tell(printable(err.Error()))
	}
	return false, nil
}

// tell tells what is waited for, unless it was the last time.
func (w *waiting) tell(what string) {
	if what != w.about {
		w.about = what
		_, _ = fmt.Fprintln(w.told, "waiting:", what)
	}
}

// late is the end without success.
func (w *waiting) late(ctx context.Context) error {
	what := w.about
	if what == "" {
		what = "there was no answer"
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("asked to stop while waiting: " + what)
	}
	return fmt.Errorf("gave up after %v: %s", w.flags.timeout, what)
}
