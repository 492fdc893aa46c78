package upstream

import (
	"strings"
	"time"
)

// Node is how one address of Vault is, as far as requests and checks have found out.
type Node struct {
	Address   string // without user name and password
	Host      string // of it: host:port, or the path of a socket
	InUse     bool
	State     string    // one of NodeStates
	Since     time.Time // of State
	LastError string    // of a connection; it stays when the node is up again
	ErrorAt   time.Time // zero without LastError
}

// Up reports whether it can answer.
func (n Node) Up() bool { return n.State == NodeStates()[steady] || n.State == NodeStates()[back] }

// NodeStates are what a node can be: up, recovering (up, but not for long), unable (sealed, not initialized, or a secondary) or down.
func NodeStates() []string { return []string{"up", "recovering", "unable", "down"} }

// history is what is told of a node and decides nothing.
type history struct {
	level level
	since time.Time // of level
	err   error
	at    time.Time // of err
}

func newHistory(n int) []history {
	all := make([]history, n)
	for i := range all {
		all[i].since = time.Now()
	}
	return all
}

// failed notes why a request or a check did not reach the node.
func (h *history) failed(err error) {
	if err != nil {
		h.err, h.at = err, time.Now()
	}
}

// remember notes the levels that have changed. Callers hold mu.
func (ns *nodes) remember() {
	for i, s := range ns.standing {
		if h := &ns.history[i]; h.level != s.level {
			h.level, h.since = s.level, time.Now()
		}
	}
}

// Nodes tells how the addresses are, in the order of preference, and whether the circuit breaker is open: no node can be reached, and requests are
// refused at once.
func (c *Client) Nodes() (all []Node, open bool) {
	ns := c.nodes
	ns.mu.Lock()
	defer ns.mu.Unlock()
	inUse := ns.inUse.Load()
	for i, n := range ns.list {
		h := ns.history[i]
		told := Node{Address: n.address, Host: n.origin.Host, InUse: n == inUse, State: NodeStates()[h.level], Since: h.since, ErrorAt: h.at}
		if n.overSocket() {
			told.Host = strings.TrimPrefix(n.address, "unix://")
		}
		if h.err != nil {
			told.LastError = h.err.Error()
		}
		all = append(all, told)
	}
	return all, ns.open.Load()
}
