package upstream

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"
)

const (
	// maxHops is how many redirects one try follows.
	maxHops = 3
	// maxWarned bounds how many hosts a warning is written for.
	maxWarned = 64
)

// errRedirects is the end of a loop, and of a chain that might as well be one.
const errRedirects = redirectError("Vault redirected the request more than three times; check api_addr of Vault's nodes")

type redirectError string

func (e redirectError) Error() string { return string(e) }

// ClientStatus is the HTTP status for the client, who may read the text as well.
func (redirectError) ClientStatus() int { return http.StatusBadGateway }

// once makes one try: it takes another connection when the one from the pool was stale, goes on to another node when the one in use cannot have
// acted, and follows redirects.
func (x *exchange) once(r *http.Request) (*http.Response, error) {
	at, err := x.client.nodes.pick()
	if err != nil {
		return nil, err
	}
	for hops, moves := 0, 0; ; {
		resp, err := x.client.send(at.pools.Load().proxying, at, at.aim(r, x.target, x.parsed), x.sent)
		x.sent++
		better := x.client.nodes.report(at, x.client.outcomeOf(r, x.target, resp, err), err)
		switch {
		case err != nil && x.stale < maxStale && staleConnection(err):
			x.stale++
		case better != nil && moves < len(x.client.nodes.list)-1:
			moves++
			at = better
		case err != nil:
			return nil, err
		default:
			to := x.redirectedTo(resp, at)
			if to == nil {
				return resp, nil
			}
			if hops++; hops > maxHops {
				discard(resp)
				return nil, fmt.Errorf("%w: the last time to %s", errRedirects, to.origin.Host)
			}
			at = to
		}
		next, ok := x.rewound(r)
		if !ok {
			return resp, err
		}
		discard(resp)
		r = next
	}
}

// redirectedTo returns where the request is to be sent instead, nil when resp is for the client. A redirect is followed when it names the same
// path and query on a host that may see the token; 303 asks for another method, and is the client's.
func (x *exchange) redirectedTo(resp *http.Response, at *node) *node {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	if x.terms.passRedirects || resp.Request == nil {
		return nil
	}
	from := resp.Request.URL
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || to.Opaque != "" {
		return nil
	}
	if to.Host == "" {
		to.Host = from.Host
	}
	if to.Scheme == "" {
		to.Scheme = from.Scheme
	}
	if to.Scheme != "https" && (to.Scheme != "http" || from.Scheme == "https") {
		return nil
	}
	path, query, _ := strings.Cut(x.target, "?")
	if path, err = url.PathUnescape(path); err != nil || to.RawQuery != query || !strings.HasSuffix(to.Path, path) {
		return nil // Vault writes the path anew from its decoded form, and the query as it came
	}
	n := x.client.nodeAt(to, at)
	if n == nil {
		x.client.warned.untrusted(x.client.log, to.Host)
		return nil
	}
	switch base, _ := url.PathUnescape(n.basePath); to.Path {
	case base + path:
		return n
	case path: // Vault does not know what an address of ours has in front
		bare := *n
		bare.basePath = ""
		return &bare
	}
	return nil
}

// nodeAt returns the node at u's host, which from has named, nil when that may not see a token. Trusted are the hosts of Vault's addresses, at any
// port, those of the same registered domain, and RedirectHosts.
func (c *Client) nodeAt(u *url.URL, from *node) *node {
	for _, known := range c.nodes.list {
		if !known.overSocket() && hostPort(u) == hostPort(&known.origin) {
			n := *known
			n.origin.Scheme = u.Scheme
			return &n
		}
	}
	if from.overSocket() { // its transport leads to the socket, whatever the host
		return nil
	}
	near := func(n *node) bool { return !n.overSocket() && related(n.origin.Hostname(), u.Hostname()) }
	if !slices.ContainsFunc(c.nodes.list, near) && !c.terms.Load().trusts(u) {
		return nil
	}
	n := &node{origin: url.URL{Scheme: u.Scheme, Host: u.Host}, pools: from.pools}
	var err error
	if n.viaProxy, err = viaProxy(n.pools.Load().proxying, &n.origin); err != nil {
		return nil
	}
	return n
}

// related reports whether two host names are the same, or belong to one owner: to the same domain below a public suffix.
func related(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return true
	}
	if net.ParseIP(a) != nil || net.ParseIP(b) != nil {
		return false
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(a)
	if err != nil {
		return false
	}
	other, err := publicsuffix.EffectiveTLDPlusOne(b)
	return err == nil && domain == other
}

// trusts reports whether RedirectHosts names u's host.
func (s *Settings) trusts(u *url.URL) bool {
	withPort := hostPort(u)
	host := strings.ToLower(u.Hostname())
	for _, trusted := range s.RedirectHosts {
		trusted = strings.ToLower(trusted)
		if domain, ok := strings.CutPrefix(trusted, "*."); ok {
			if strings.HasSuffix(host, "."+domain) {
				return true
			}
		} else if trusted == host || trusted == withPort || trusted == "["+host+"]" {
			return true
		}
	}
	return false
}

// hostPort is u's host in lower case and its port, spelled out.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// warned remembers the hosts that redirects led to in vain.
type warned struct {
	mu    sync.Mutex
	hosts map[string]bool
}

func (w *warned) untrusted(log *slog.Logger, host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hosts[host] || len(w.hosts) == maxWarned {
		return
	}
	if w.hosts == nil {
		w.hosts = map[string]bool{}
	}
	w.hosts[host] = true
	log.Warn("Vault redirects to a host that is foreign to its addresses, so that clients must follow by themselves; "+
		"name it in redirect_hosts of the vault stanza if it may see tokens", slog.String("host", host))
}
