package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/vault/api"
)

// node is one address of Vault: a server, or what stands in front of several.
type node struct {
	origin    url.URL                // scheme and host of every request
	basePath  string                 // of the address, escaped, without a trailing slash
	address   string                 // for people: without user name and password
	basicAuth string                 // Authorization from the address's user name and password
	srvLookup bool                   // VAULT_SRV_LOOKUP, for an address without a port
	viaProxy  bool                   // plain HTTP through a forward proxy, which wants absolute targets
	pools     *atomic.Pointer[pools] // shared by all copies
}

// pools are the connections to a node.
type pools struct{ proxying, logins http.RoundTripper }

func (p *pools) forProxying() http.RoundTripper { return p.proxying }
func (p *pools) forLogins() http.RoundTripper   { return p.logins }

func (p *pools) close() {
	for _, rt := range [...]http.RoundTripper{p.proxying, p.logins} {
		if t, ok := rt.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
}

// pools makes the connections to an address, with the TLS files as they are now.
func (s *Settings) pools(address string) (*pools, error) {
	var p pools
	for _, kind := range [...]struct {
		conns Connections
		rt    *http.RoundTripper
	}{{s.Proxying, &p.proxying}, {s.AutoAuth, &p.logins}} {
		cfg, _, err := s.vaultConfig(kind.conns, address)
		if err != nil {
			return nil, err
		}
		*kind.rt = cfg.HttpClient.Transport
	}
	return &p, nil
}

func newNode(cfg *api.Config, address *url.URL, p *pools) (*node, error) {
	n := &node{
		origin:    url.URL{Scheme: address.Scheme, Host: address.Host},
		basePath:  strings.TrimRight(address.EscapedPath(), "/"),
		address:   cfg.Address,
		srvLookup: cfg.SRVLookup && address.Port() == "",
		pools:     &atomic.Pointer[pools]{},
	}
	n.pools.Store(p)
	if address.User != nil {
		password, _ := address.User.Password()
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(address.User.Username(), password)
		n.basicAuth = r.Header.Get("Authorization")
		shown := *address
		shown.User = nil
		n.address = shown.String()
	}
	var err error
	n.viaProxy, err = viaProxy(p.proxying, &n.origin)
	return n, err
}

// aim returns r on its way to the target t of this node. parsed is as for url.
func (n *node) aim(r *http.Request, t string, parsed *url.URL) *http.Request {
	r = r.WithContext(r.Context()) // a shallow copy: a RoundTripper does not change what it was given
	r.URL, r.Host = n.url(n.host(r.Context()), t, parsed), n.origin.Host
	if n.basicAuth != "" && len(r.Header["Authorization"]) == 0 {
		r.Header = r.Header.Clone()
		r.Header["Authorization"] = []string{n.basicAuth}
	}
	return r
}

// overSocket reports whether the node is at the end of a unix socket.
func (n *node) overSocket() bool { return strings.HasPrefix(n.address, "unix:") }

// host is where to connect to: as in Vault's own client, the first SRV record of an address without a port when there is one.
func (n *node) host(ctx context.Context) string {
	if n.srvLookup {
		_, records, err := net.DefaultResolver.LookupSRV(ctx, "http", "tcp", n.origin.Hostname())
		if err == nil && len(records) > 0 {
			return net.JoinHostPort(strings.TrimSuffix(records[0].Target, "."), fmt.Sprint(records[0].Port))
		}
	}
	return n.origin.Host
}

// viaProxy reports whether the transport sends requests for origin to a forward proxy as they are, instead of tunnelling through it.
func viaProxy(rt http.RoundTripper, origin *url.URL) (bool, error) {
	t, ok := rt.(*http.Transport)
	if !ok || t.Proxy == nil {
		return false, nil
	}
	proxy, err := t.Proxy(&http.Request{URL: origin})
	if err != nil {
		return false, errors.New("environment: HTTP_PROXY or HTTPS_PROXY is not a URL; write it like http://proxy.example:3128")
	}
	return proxy != nil && origin.Scheme == "http" && (proxy.Scheme == "http" || proxy.Scheme == "https"), nil
}
