package daemon

import (
	"net/http"

	"leasehold/internal/router"
)

// seen is told of every request when it is over.
func (p *parts) seen(x *router.Exchange) {
	if !x.Stream { // which says nothing about how fast we are
		p.requests.Observe(x.Route, x.Outcome, x.Upstream, x.Took)
	}
	if x.Status >= http.StatusBadRequest && x.Upstream == 0 {
		p.meters.OwnError(x.Status)
	}
	p.access.write(x)
}
