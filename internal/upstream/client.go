package upstream

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Client talks to one Vault, at one address or several. It is safe for concurrent use.
type Client struct {
	terms       atomic.Pointer[terms]
	nodes       *nodes
	limiter     *rate.Limiter // VAULT_RATE_LIMIT, shared by everything that leaves; nil is no limit
	timeout     time.Duration // VAULT_CLIENT_TIMEOUT: from a request's arrival to the headers of its answer, retries included
	userAgent   string
	noRedirects bool // VAULT_DISABLE_REDIRECTS

	reload   sync.Mutex // guards tlsStamp, and keeps replacements of pools and terms in order
	tlsStamp string     // of the files that the pools were made from

	buffers  bufferPool
	kept     memory // of all uploads
	states   states
	warned   warned
	meter    Meter
	tracer   trace.Tracer // nil without traces
	log      *slog.Logger
	errorLog *log.Logger // what httputil.ReverseProxy has to say
}

// New reads Vault's environment variables over s and makes a client. It opens no connection. Its errors are one sentence for the operator.
func New(s Settings) (*Client, error) {
	c := &Client{
		userAgent: fmt.Sprintf("%s (%s)", s.Product, runtime.Version()),
		log:       s.Log,
		tracer:    s.Tracer,
		meter:     s.Meter,
		errorLog:  slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		tlsStamp:  s.tlsStamp(),
	}
	var list []*node
	for _, address := range s.addresses() {
		cfg, parsed, err := s.vaultConfig(s.Proxying, address)
		if err != nil {
			return nil, err
		}
		p, err := s.pools(address)
		if err != nil {
			return nil, err
		}
		n, err := newNode(cfg, parsed, p)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		c.limiter, c.timeout = cfg.Limiter, cfg.Timeout
		c.noRedirects = cfg.DisableRedirects
	}
	c.nodes = newNodes(list, s.Log)
	c.nodes.reached = s.Reached
	t, err := c.termsOf(s)
	if err != nil {
		return nil, err
	}
	c.terms.Store(t)
	return c, nil
}

// Addresses are where Vault is, the preferred one first, without user names and passwords.
func (c *Client) Addresses() []string { return c.nodes.addresses() }

// Address is Addresses in one line, for people.
func (c *Client) Address() string { return strings.Join(c.Addresses(), ", ") }

// CloseIdleConnections lets go of the pools when the client is no longer used; requests in flight end in peace.
func (c *Client) CloseIdleConnections() {
	for _, n := range c.nodes.list {
		n.pools.Load().close()
	}
}

// API returns a fresh client of Vault's own library for the logins: its own connections, to whatever node is in use, no retries, no token, no
// namespace, and nothing read from the files of the user's command line. VAULT_HEADERS and VAULT_RATE_LIMIT apply to it.
func (c *Client) API() (*api.Client, error) {
	preferred := c.nodes.list[0]
	settings := &c.terms.Load().Settings
	cfg, _, err := settings.vaultConfig(settings.AutoAuth, preferred.origin.String())
	if err != nil {
		return nil, err
	}
	cfg.MaxRetries = 0
	cfg.Limiter = c.limiter
	cfg.HttpClient.Transport = logins{c}
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("client for the logins: %w", err)
	}
	client.ClearToken()
	client.ClearNamespace()
	for name, values := range settings.LoginHeaders {
		for _, value := range values {
			client.AddHeader(name, value)
		}
	}
	client.AddHeader("User-Agent", c.userAgent)
	// The library would wrap every answer for VAULT_WRAP_TTL, and a login with it.
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	return client, nil
}

// logins is the transport of what API returns.
type logins struct{ *Client }

func (l logins) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != l.nodes.list[0].origin.Host { // vault/api follows a redirect
		to := l.nodeAt(r.URL, l.nodes.inUse.Load())
		if to == nil {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, fmt.Errorf("Vault redirects the login to %s, which is foreign to its addresses; name it in redirect_hosts of the vault stanza if it may see tokens", r.URL.Host)
		}
		return l.send(to.pools.Load().logins, to, r, 0)
	}
	resp, err := l.attempt(r, r.URL.RequestURI(), (*pools).forLogins)
	if err == nil && resp.Request != nil { // vault/api's errors show its URL, which aim has made one for the wire alone
		u := *r.URL
		u.Scheme, u.Host = resp.Request.URL.Scheme, resp.Request.Host
		resp.Request = r.WithContext(r.Context())
		resp.Request.URL = &u
	}
	return resp, err
}

// attempt makes one try of r for the target t, and goes on to another node at once when the one in use cannot have acted.
func (c *Client) attempt(r *http.Request, t string, through func(*pools) http.RoundTripper) (*http.Response, error) {
	for moves := 0; ; moves++ {
		at, err := c.nodes.pick()
		if err != nil {
			if r.Body != nil {
				_ = r.Body.Close() // as a RoundTripper does
			}
			return nil, err
		}
		resp, err := c.send(through(at.pools.Load()), at, at.aim(r, t, nil), moves)
		if c.nodes.report(at, c.outcomeOf(r, t, resp, err), err) == nil || moves == len(c.nodes.list)-1 || r.Body != nil && r.GetBody == nil {
			return resp, err
		}
		discard(resp)
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			r = withBody(r, body)
		}
	}
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
