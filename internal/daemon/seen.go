package daemon

import "leasehold/internal/router"

// seen is told of every request when it is over.
func (p *parts) seen(x *router.Exchange) {
	if !x.Stream { // which says nothing about how fast we are
		p.requests.Observe(x.Route, x.Outcome, x.Upstream, x.Took)
	}
	p.access.write(x)
}
