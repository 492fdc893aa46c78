package upstream

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/time/rate"
)

// Client talks to one Vault. It is safe for concurrent use.
type Client struct {
	settings  Settings
	transport http.RoundTripper
	limiter   *rate.Limiter // VAULT_RATE_LIMIT, shared by everything that leaves; nil is no limit
	timeout   time.Duration // VAULT_CLIENT_TIMEOUT: from a request's arrival to the headers of its answer, retries included
	retries   int
	srvLookup bool // VAULT_SRV_LOOKUP, for an address without a port

	origin    url.URL // scheme and host of every request
	basePath  string  // of the address, escaped, without a trailing slash
	address   string  // as Address shows it
	viaProxy  bool    // plain HTTP through a forward proxy, which wants absolute targets
	basicAuth string  // Authorization from the address's user name and password
	userAgent string

	buffers  bufferPool
	log      *slog.Logger
	errorLog *log.Logger // what httputil.ReverseProxy has to say
}

// New reads Vault's environment variables over s and makes a client. It opens no connection. Its errors are one sentence for the operator.
func New(s Settings) (*Client, error) {
	cfg, address, err := s.vaultConfig(s.Proxying)
	if err != nil {
		return nil, err
	}
	c := &Client{
		settings:  s,
		transport: cfg.HttpClient.Transport,
		limiter:   cfg.Limiter,
		timeout:   cfg.Timeout,
		retries:   cfg.MaxRetries,
		srvLookup: cfg.SRVLookup && address.Port() == "",
		origin:    url.URL{Scheme: address.Scheme, Host: address.Host},
		basePath:  strings.TrimRight(address.EscapedPath(), "/"),
		address:   cfg.Address,
		userAgent: fmt.Sprintf("%s (%s)", s.Product, runtime.Version()),
		log:       s.Log,
		errorLog:  slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	if address.User != nil {
		password, _ := address.User.Password()
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(address.User.Username(), password)
		c.basicAuth = r.Header.Get("Authorization")
		address.User = nil
		c.address = address.String()
	}
	if c.viaProxy, err = viaProxy(c.transport, &c.origin); err != nil {
		return nil, err
	}
	return c, nil
}

// Address is where Vault is, without user name and password.
func (c *Client) Address() string { return c.address }

// CloseIdleConnections lets go of the pool when the client is no longer used; requests in flight end in peace.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// API returns a fresh client of Vault's own library for the logins: its own connections, no retries, no token, no namespace, and
// nothing read from the files of the user's command line. VAULT_HEADERS and VAULT_RATE_LIMIT apply to it.
func (c *Client) API() (*api.Client, error) {
	cfg, _, err := c.settings.vaultConfig(c.settings.AutoAuth)
	if err != nil {
		return nil, err
	}
	cfg.MaxRetries = 0
	cfg.Limiter = c.limiter
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("client for the logins: %w", err)
	}
	client.ClearToken()
	client.ClearNamespace()
	client.AddHeader("User-Agent", c.userAgent)
	// The library would wrap every answer for VAULT_WRAP_TTL, and a login with it.
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	return client, nil
}

// admit waits for the rate limit.
func (c *Client) admit(ctx context.Context) error {
	if c.limiter == nil {
		return nil
	}
	if err := c.limiter.Wait(ctx); err != nil {
		return fmt.Errorf("wait for %s: %w", api.EnvRateLimit, err)
	}
	return nil
}

// host is where to connect to: as in Vault's own client, the first SRV record of an address without a port when there is one.
func (c *Client) host(ctx context.Context) string {
	if c.srvLookup {
		_, records, err := net.DefaultResolver.LookupSRV(ctx, "http", "tcp", c.origin.Hostname())
		if err == nil && len(records) > 0 {
			return net.JoinHostPort(strings.TrimSuffix(records[0].Target, "."), fmt.Sprint(records[0].Port))
		}
	}
	return c.origin.Host
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

// bufferPool lends the buffers through which bodies are copied.
type bufferPool struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[bufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, bufferSize)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*[bufferSize]byte)(b)) }
