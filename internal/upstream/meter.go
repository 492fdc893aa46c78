package upstream

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Meter counts what goes to Vault. Its methods are called from many goroutines.
type Meter interface {
	// Asked is called for each request that left, and for each that could not, once the headers of its answer are there or it has failed: status is that
	// of the answer, 0 when there is none. Health checks of Leasehold's own do not count.
	Asked(status int, took time.Duration)
	// Retried is called for each retry: reason is the status, "connection" when nothing was sent, or "lost" when the answer was.
	Retried(reason string)
}

// metered is a way to Vault that a meter counts on.
type metered struct {
	http.RoundTripper
	meter Meter
}

func (m metered) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := m.RoundTripper.RoundTrip(r)
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	m.meter.Asked(status, time.Since(began))
	return resp, err
}

// countRetry tells the meter why a request is sent again.
func (c *Client) countRetry(resp *http.Response, err error) {
	switch {
	case c.meter == nil:
	case resp != nil:
		c.meter.Retried(strconv.Itoa(resp.StatusCode))
	case neverSent(err):
		c.meter.Retried("connection")
	default:
		c.meter.Retried("lost")
	}
}

// Node is how an address of Vault does.
type Node struct {
	Host string // host:port, or the path of a socket; no user name, no password
	Up   bool   // it can answer, as far as requests and checks have told
}

// Nodes are all addresses in their order, and whether the circuit breaker is open, since none can be reached.
func (c *Client) Nodes() (all []Node, open bool) {
	ns := c.nodes
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for i, n := range ns.list {
		host := n.origin.Host
		if n.overSocket() {
			host = strings.TrimPrefix(n.address, "unix://")
		}
		all = append(all, Node{Host: host, Up: ns.standing[i].level <= back})
	}
	return all, ns.open.Load()
}
