package upstream

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/time/rate"
)

// Client talks to one Vault. It is safe for concurrent use.
type Client struct {
	settings      Settings
	node          *node
	limiter       *rate.Limiter // VAULT_RATE_LIMIT, shared by everything that leaves; nil is no limit
	timeout       time.Duration // VAULT_CLIENT_TIMEOUT: from a request's arrival to the headers of its answer, retries included
	retries       int
	userAgent     string
	passRedirects bool // all of them

	buffers  bufferPool
	kept     memory // of all uploads
	states   states
	warned   warned
	log      *slog.Logger
	errorLog *log.Logger // what httputil.ReverseProxy has to say
}

// New reads Vault's environment variables over s and makes a client. It opens no connection. Its errors are one sentence for the operator.
func New(s Settings) (*Client, error) {
	cfg, address, err := s.vaultConfig(s.Proxying)
	if err != nil {
		return nil, err
	}
	n, err := newNode(cfg, address)
	if err != nil {
		return nil, err
	}
	return &Client{
		settings:      s,
		node:          n,
		limiter:       cfg.Limiter,
		timeout:       cfg.Timeout,
		retries:       cfg.MaxRetries,
		userAgent:     fmt.Sprintf("%s (%s)", s.Product, runtime.Version()),
		log:           s.Log,
		passRedirects: s.PassRedirects || cfg.DisableRedirects,
		errorLog:      slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}, nil
}

// Address is where Vault is, without user name and password.
func (c *Client) Address() string { return c.node.address }

// CloseIdleConnections lets go of the pool when the client is no longer used; requests in flight end in peace.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.node.transport.(interface{ CloseIdleConnections() }); ok {
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

// send makes one try of r for the target t, a raw path and query; parsed is net/url's reading of t, nil when there is none.
func (c *Client) send(r *http.Request, t string, parsed *url.URL) (*http.Response, error) {
	return c.node.transport.RoundTrip(c.node.aim(r, t, parsed))
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
