package daemon

import (
	"context"
	"net/http"

	"leasehold/internal/cache"
	"leasehold/internal/config"
	"leasehold/internal/router"
)

// Handler is what the first listener of a configuration serves, by all the parts that a daemon has, without the socket; bare, nothing counts or tells of a
// request. run keeps the logins until its context ends, and then ends everything.
func Handler(cfg *config.Config, o Options, bare bool) (h http.Handler, run func(context.Context) error, err error) {
	p, err := build(cfg, o)
	if err != nil {
		return nil, nil, err
	}
	routes, options := p.routes(cfg, cfg.Listeners[0], p.rights[0], func() {})
	if bare {
		routes.Seen, routes.Active = nil, nil
		p.cache.Close() // the next one takes its place
		if p.cache, err = cache.New(p.index, p.upstream, p.logins, uncounted{}, cacheOptions(cfg)); err != nil {
			return nil, nil, err
		}
		routes.Answer = p.cache
	}
	end := p.access.start()
	return router.New(routes, options), func(ctx context.Context) error {
		defer p.close()
		defer end()
		return p.runLogins(ctx)
	}, nil
}

// uncounted is a meter that does not count.
type uncounted struct{}

func (uncounted) Hit()         {}
func (uncounted) Miss()        {}
func (uncounted) Answered(int) {}
