package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// killClient is one client of a process that is going to be killed. It does one thing after the other, at random.
type killClient struct {
	t      *testing.T
	loop   *killLoop
	world  *world
	url    string
	rnd    *rand.Rand
	failed bool // an answer failed to come, without a kill
}

func (l *killLoop) client(t *testing.T, p *proxy, rnd *rand.Rand) *killClient {
	return &killClient{t: t, loop: l, world: &l.world, url: p.URLs[0], rnd: rnd}
}

// step is one thing that a client does.
func (c *killClient) step() {
	switch n := c.rnd.IntN(100); {
	case n < 35:
		if g := c.pick(anything); g != nil {
			c.read(g.request)
		}
	case n < 58:
		c.read(c.some())
	case n < 64:
		c.readTwice(c.some())
	case n < 73:
		c.read(c.someChild())
	case n < 85:
		c.renew()
	case n < 94:
		c.revokeLease()
	case n < 97:
		c.revokePrefix()
	default:
		c.revokeToken()
	}
}

// creation is a request for a lease.
func creation(name string, by *grant) request {
	return request{method: http.MethodGet, path: "/v1/leaser/creds/" + name + "?ttl=600", name: name, by: by}
}

// child is a request for a child token.
func child(name string, by *grant) request {
	return request{method: http.MethodPost, path: "/v1/auth/token/create", body: `{"ttl":"1h","display_name":"` + name + `"}`, by: by}
}

// header carries the request's own token, if it has one.
func (r *request) header() []string {
	if r.by == nil {
		return nil
	}
	return []string{"X-Vault-Token: " + r.by.secret}
}

// some is a request for a lease, which may be a hit or not.
func (c *killClient) some() *request {
	var by *grant
	names := killNames
	if c.rnd.IntN(5) < 2 {
		if by = c.pick(isToken); by != nil {
			names = killChildNames
		}
	}
	return c.world.request(creation(fmt.Sprint("kill-", c.rnd.IntN(names)), by))
}

// someChild is a request for a child token, or for one of a child token.
func (c *killClient) someChild() *request {
	if c.rnd.IntN(2) == 0 {
		if by := c.pick(func(g *grant) bool { return isToken(g) && g.request.by == nil }); by != nil {
			return c.world.request(child("grandchild", by))
		}
	}
	return c.world.request(child(fmt.Sprint("child-", c.rnd.IntN(killChildren)), nil))
}

func (c *killClient) pick(suits func(*grant) bool) *grant { return c.world.pick(c.rnd, suits) }

func anything(*grant) bool { return true }

// read sends a request whose answer is kept. There is nothing to do without one.
func (c *killClient) read(r *request) {
	if r == nil {
		return
	}
	q := c.world.ask(r)
	if a, sent := c.send(r); a.Status == 0 {
		c.world.lose(q, sent)
	} else {
		c.world.tell(c.t, q, a)
	}
}

// readTwice is two clients who want the same.
func (c *killClient) readTwice(r *request) {
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { c.read(r) })
	}
	both.Wait()
}

// send sends a request to the process that may be killed meanwhile. The answer has status 0 when it did not come, or not wholly; sent tells whether the
// process may have seen the request all the same.
func (c *killClient) send(r *request) (a answer, sent bool) {
	k := c.loop.killer.Load()
	k.pass(begun)
	a, err := send(c.t.Context(), r.method, c.url+r.path, r.body, r.header()...)
	if err == nil {
		k.pass(answered)
		return a, true
	}
	if k == nil || !k.struck.Load() {
		c.t.Errorf("%s %s: %v", r.method, r.path, err)
		c.failed = true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return answer{}, false
	}
	if k != nil {
		k.lost.Add(1)
	}
	return answer{}, true
}

// renew asks for another life of a lease. One client at a time does so, since Vault may carry out two in another order than they are answered in.
func (c *killClient) renew() {
	w := c.world
	g := c.pick(func(g *grant) bool { return isLease(g) && !g.renewing })
	if g == nil {
		return
	}
	w.mu.Lock()
	if g.renewing {
		w.mu.Unlock()
		return
	}
	g.renewing = true
	w.now++
	since := w.now
	w.mu.Unlock()
	at, increment := time.Now(), 300*(1+c.rnd.IntN(3))
	a, sent := c.send(&request{method: http.MethodPut, path: "/v1/sys/leases/renew", body: fmt.Sprintf(`{"lease_id":%q,"increment":%d}`, g.id, increment)})
	w.mu.Lock()
	defer w.mu.Unlock()
	g.renewing = false
	s, err := api.ParseSecret(bytes.NewReader(a.Body))
	switch {
	case a.Status == 0 && !sent:
	case a.Status == 0: // the renewal may count or not
		g.blurred = true
		g.granted = max(g.granted, increment)
		if end := at.Add(time.Duration(increment) * time.Second); end.Before(g.until) {
			g.until = end
		}
	case a.Status == http.StatusOK && err == nil && s.LeaseID == g.id:
		w.counts.renewed++
		g.blurred = false
		g.granted, g.until = max(600, s.LeaseDuration), at.Add(time.Duration(s.LeaseDuration)*time.Second) // 600 is what the proxy itself asks for
	case g.certain() && g.revoking.quiet(since):
		c.t.Errorf("renewal of %s = %d %s", g.id, a.Status, a.Body)
	}
}

func (c *killClient) revokeLease() {
	if g := c.pick(isLease); g != nil {
		c.revoke(&revocation{main: g, request: request{
			method: http.MethodPut, path: "/v1/sys/leases/revoke", body: fmt.Sprintf(`{"lease_id":%q,"sync":%v}`, g.id, c.rnd.IntN(2) == 0),
		}})
	}
}

func (c *killClient) revokePrefix() {
	if g := c.pick(isLease); g != nil {
		c.revoke(&revocation{main: g, prefix: true, request: request{method: http.MethodPut, path: "/v1/sys/leases/revoke-prefix/leaser/creds/" + g.request.name}})
	}
}

func (c *killClient) revokeToken() {
	g := c.pick(isToken)
	switch {
	case g == nil:
	case c.rnd.IntN(2) == 0:
		c.revoke(&revocation{main: g, request: request{method: http.MethodPost, path: "/v1/auth/token/revoke-self", by: g}})
	default:
		c.revoke(&revocation{main: g, request: request{
			method: http.MethodPost, path: "/v1/auth/token/revoke-accessor", body: fmt.Sprintf(`{"accessor":%q}`, g.id),
		}})
	}
}

func (c *killClient) revoke(v *revocation) {
	c.world.begin(v)
	a, sent := c.send(&v.request)
	c.world.end(c.t, v, a.Status, sent)
}
