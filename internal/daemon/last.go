package daemon

import (
	"context"
	"errors"
	"sync"
	"time"
)

// lastExports bounds how long the end waits for what metrics and traces are sent to, all of it together.
const lastExports = 3 * time.Second

// sendLast ends meters and traces, which send what they have left.
func (p *parts) sendLast() error {
	var all []func(context.Context) error
	if p.meters != nil {
		all = append(all, p.meters.Close)
	}
	if p.traces != nil {
		all = append(all, func(ctx context.Context) error { p.traces.Close(ctx); return nil })
	}
	return sideBySide(lastExports, all...)
}

// sideBySide runs all at the same time, with a context that ends after limit, and returns when they have.
func sideBySide(limit time.Duration, all ...func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	errs := make([]error, len(all))
	var under sync.WaitGroup
	for i, f := range all {
		under.Go(func() { errs[i] = f(ctx) })
	}
	under.Wait()
	return errors.Join(errs...)
}
