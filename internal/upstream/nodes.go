package upstream

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// goodChecks is how many checks in a row a node must pass before it is returned to.
	goodChecks = 2
	// breakCount connections that failed one after the other, over breakAfter at least, open the circuit breaker: a restart of Vault is bridged by
	// retries, and nobody waits for more.
	breakCount, breakAfter = 3, 3 * time.Second
)

// level says how well a node can answer; the lower, the better.
type level uint8

const (
	steady level = iota // it answers, also as a standby, which forwards or redirects
	back                // it does again, but not for long
	unable              // sealed, not initialized, or a disaster recovery secondary
	away                // no connection, or none that can be trusted
)

func (l level) String() string {
	return [...]string{"it answers", "it answers again", "it is sealed, not initialized, or a secondary", "it cannot be reached"}[l]
}

// outcome is what a try tells about its node.
type outcome uint8

const (
	unclear    outcome = iota
	answered           // like an active node, or a standby
	alive              // but that is all it tells
	sealed             // Vault says so, and has not acted
	distrusted         // TLS or certificates do not fit; nothing was sent
	refused            // no connection; nothing was sent
)

// nodes are the addresses of Vault in the order of preference, and a circuit breaker in front of them all. Both are one state, since the
// breaker opens when no node is left: what a check or a request finds out serves both.
type nodes struct {
	list  []*node
	log   *slog.Logger
	inUse atomic.Pointer[node]
	calm  atomic.Bool   // all are steady and no connection has failed: an answer is no news
	open  atomic.Bool   // no node can be reached: requests end at once
	lost  chan struct{} // told when open becomes true

	reached func() // called when it becomes false; nil for nobody

	mu       sync.Mutex
	standing []standing // of list
	history  []history  // likewise
	failures int        // connections, one after the other
	since    time.Time  // the first of them
	outlook  outlook
}

// standing is what is known of a node.
type standing struct {
	level level
	good  int // checks passed since it was last not steady
}

func newNodes(list []*node, log *slog.Logger) *nodes {
	ns := &nodes{
		list: list, log: log, lost: make(chan struct{}, 1), standing: make([]standing, len(list)), history: newHistory(len(list)), outlook: newOutlook(),
	}
	ns.inUse.Store(list[0])
	ns.calm.Store(true)
	return ns
}

func (ns *nodes) addresses() []string {
	var all []string
	for _, n := range ns.list {
		all = append(all, n.address)
	}
	return all
}

// ErrAway is the error, wrapped, of requests that were not sent because no node can be reached. The log has said so once.
var ErrAway = errors.New("no node of Vault can be reached")

// awayError is the answer while the circuit breaker is open.
type awayError string

func (e awayError) Error() string { return string(e) }
func (awayError) Unwrap() error   { return ErrAway }

// ClientStatus is the HTTP status for the client, who may read the text as well.
func (awayError) ClientStatus() int { return http.StatusServiceUnavailable }

// pick returns the node to send a request to, and an error at once when none can be reached.
func (ns *nodes) pick() (*node, error) {
	if ns.open.Load() {
		return nil, awayError("Vault at " + strings.Join(ns.addresses(), ", ") +
			" cannot be reached; check that it runs and that the address in the vault stanza is right. Leasehold looks for it every second")
	}
	return ns.inUse.Load(), nil
}

// report takes in how a try at n went, with its error if there is one. It returns the node at which the same request should be tried at once, nil when the outcome stands.
func (ns *nodes) report(n *node, o outcome, err error) *node {
	if o == unclear {
		return nil
	}
	first := o != alive && ns.outlook.hear() // a sealed Vault is alive
	if ns.calm.Load() && !first && (o == answered || o == alive) {
		return nil
	}
	i := slices.Index(ns.list, n)
	if i < 0 { // a redirect led there
		return nil
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if o >= distrusted {
		ns.history[i].failed(err)
	}
	switch o {
	case answered:
		ns.failures = 0
		if n == ns.inUse.Load() { // what comes late from a node that was left is no news
			ns.standing[i] = standing{}
		}
	case alive:
		ns.failures = 0
	case sealed:
		ns.failures = 0
		ns.standing[i] = standing{level: unable}
	case distrusted:
		ns.standing[i] = standing{level: away}
	case refused:
		ns.standing[i] = standing{level: away}
		ns.failed()
	}
	ns.choose()
	if next := ns.inUse.Load(); next != n && o >= sealed {
		return next
	}
	return nil
}

// failed counts a connection that could not be made. Callers hold mu.
func (ns *nodes) failed() {
	now := time.Now()
	if ns.failures == 0 {
		ns.since = now
	}
	ns.failures++
	if ns.failures < breakCount || now.Sub(ns.since) < breakAfter || ns.open.Load() || slices.ContainsFunc(ns.standing, standing.reachable) {
		return
	}
	ns.open.Store(true)
	ns.log.Warn("Vault cannot be reached: requests are refused until it can", slog.String("vault", strings.Join(ns.addresses(), ", ")))
	select {
	case ns.lost <- struct{}{}:
	default:
	}
}

func (s standing) reachable() bool { return s.level != away }

// checked takes in what a check of node i has found: steady, unable or away, and then why.
func (ns *nodes) checked(i int, found level, err error) {
	ns.outlook.hear()
	ns.mu.Lock()
	defer ns.mu.Unlock()
	s := &ns.standing[i]
	switch {
	case found != steady:
		*s = standing{level: found}
	case s.level != steady:
		s.level = back
		if s.good++; s.good >= goodChecks {
			*s = standing{}
		}
	}
	if found == away {
		ns.history[i].failed(err)
		ns.failed()
	} else {
		ns.failures = 0
		if ns.open.CompareAndSwap(true, false) {
			ns.log.Info("Vault can be reached again", slog.String("vault", ns.list[i].address))
			if ns.reached != nil {
				ns.reached()
			}
		}
	}
	ns.choose()
}

// choose puts the best node to use: of those that can answer equally well, the preferred one. Callers hold mu.
func (ns *nodes) choose() {
	ns.remember()
	best, calm := 0, ns.failures == 0
	for i, s := range ns.standing {
		if s.level < ns.standing[best].level {
			best = i
		}
		calm = calm && s.level == steady
	}
	ns.calm.Store(calm)
	ns.outlook.turn(ns.standing[best].level)
	n, old := ns.list[best], ns.inUse.Load()
	if n == old {
		return
	}
	ns.inUse.Store(n)
	if why := ns.standing[slices.Index(ns.list, old)].level; why > back {
		ns.log.Warn("going on with another address of Vault", slog.String("address", n.address), slog.String("instead_of", old.address),
			slog.String("reason", why.String()))
		return
	}
	ns.log.Info("going back to a preferred address of Vault", slog.String("address", n.address))
}

// outcomeOf reads a try of r for the target t.
func (c *Client) outcomeOf(r *http.Request, t string, resp *http.Response, err error) outcome {
	switch {
	case err == nil && healthEndpoint(t):
		return alive
	case err == nil && saysSealed(resp):
		return sealed
	case err == nil:
		return answered
	case r.Context().Err() != nil, staleConnection(err):
		return unclear
	case neverSent(err):
		return refused
	case tlsFailure(err):
		return distrusted
	}
	return unclear
}

// maxSealed bounds the answer of a sealed Vault.
const maxSealed = 1 << 10

// saysSealed reports whether resp is the answer of a sealed Vault, and leaves it as it was.
func saysSealed(resp *http.Response) bool {
	if resp.StatusCode != http.StatusServiceUnavailable || resp.ContentLength <= 0 || resp.ContentLength > maxSealed {
		return false
	}
	text, _ := io.ReadAll(resp.Body) // what is wrong with it, whoever reads the rest will see
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), resp.Body), resp.Body}
	return bytes.Contains(text, []byte("Vault is sealed"))
}
