package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

const (
	prefix     = "/proxy/v1/"
	maxAnswer  = 64 << 20 // bytes: far above a page of MaxLeases
	dialWithin = 5 * time.Second
)

// Options say where a Leasehold is. Only Address is needed.
type Options struct {
	Address string        // http://HOST:PORT, https://HOST:PORT, or unix:///PATH
	Timeout time.Duration // of a request with its answer; 0 means 30 s, less than 0 no limit
	TLS     TLS           // of https
}

// Client asks the endpoints of one Leasehold. It is safe for concurrent use. Errors are an [*Error] for an answer that is one, and else say what keeps
// an answer from coming, with the remedy.
type Client struct {
	base    string // without a slash at the end
	address string // for people
	http    *http.Client
}

// NewClient connects to nothing yet. Its errors are about the options.
func NewClient(o Options) (*Client, error) {
	t := &http.Transport{DialContext: (&net.Dialer{Timeout: dialWithin}).DialContext, ForceAttemptHTTP2: true}
	c := &Client{address: o.Address, base: strings.TrimRight(o.Address, "/"), http: &http.Client{
		Transport: t, Timeout: max(cmp.Or(o.Timeout, 30*time.Second), 0),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	u, err := url.Parse(o.Address)
	switch {
	case err == nil && u.Scheme == "unix" && u.Host == "" && u.Path != "":
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialWithin}).DialContext(ctx, "unix", socketPath(u.Path))
		}
		c.base = "http://leasehold"
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("the address of Leasehold cannot be used; write http://HOST:PORT, https://HOST:PORT or unix:///PATH")
	case u.User != nil || strings.Trim(u.Path, "/") != "":
		return nil, errors.New("the address of Leasehold has no user, password or path; write https://HOST:PORT")
	}
	t.TLSClientConfig, err = o.TLS.config()
	return c, err
}

// socketPath is the path in a unix:// URL: on Windows it is "C:/…", which a URL has behind a slash.
func socketPath(path string) string {
	if runtime.GOOS == "windows" && len(path) > 2 && path[2] == ':' {
		return path[1:]
	}
	return path
}

// Address is where the client asks.
func (c *Client) Address() string { return c.address }

// Close closes connections that are kept for the next request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Error is an answer that is an error.
type Error struct {
	Status int
	Errors []string // as the body has them; may be empty
}

// Error says the status and what the body says, in letters that a terminal may have.
func (e *Error) Error() string {
	if len(e.Errors) == 0 {
		return "Leasehold answered " + strconv.Itoa(e.Status) + " " + http.StatusText(e.Status)
	}
	said := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.Join(e.Errors, "; "))
	return fmt.Sprintf("Leasehold answered %d: %s", e.Status, said)
}

// Status asks how the daemon is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.get(ctx, "status", nil, &s)
	return s, err
}

// Leases asks for a page of what is held.
func (c *Client) Leases(ctx context.Context, q LeaseQuery) (p LeasePage, err error) {
	err = c.get(ctx, "leases", q.values(), &p)
	return p, err
}

// Explain asks what would become of a request.
func (c *Client) Explain(ctx context.Context, q ExplainQuery) (e Explanation, err error) {
	err = c.get(ctx, "explain", q.values(), &e)
	return e, err
}

// Ready asks readyz, about these parts alone when some are named. That they are not ready is no error.
func (c *Client) Ready(ctx context.Context, require ...string) (r Readiness, err error) {
	q := url.Values{}
	if len(require) > 0 {
		q.Set("require", strings.Join(require, ","))
	}
	err = c.health(ctx, "readyz?"+q.Encode(), &r)
	return r, err
}

// health reads the answer of an endpoint whose 503 is one like its 200.
func (c *Client) health(ctx context.Context, endpoint string, into any) error {
	return c.exchange(ctx, http.MethodGet, endpoint, nil, func(resp *http.Response, body []byte) error {
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
			return failure(resp, body)
		}
		return decode(body, into)
	})
}

// Live asks livez. That the daemon is not alive is no error, as long as it says so itself.
func (c *Client) Live(ctx context.Context) (l Liveness, err error) {
	err = c.health(ctx, "livez", &l)
	return l, err
}

// Clear forgets entries, and returns how many.
func (c *Client) Clear(ctx context.Context, q Clear) (gone int, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	err = c.exchange(ctx, http.MethodPost, "cache-clear", body, func(resp *http.Response, body []byte) error {
		if resp.StatusCode != http.StatusOK {
			return failure(resp, body)
		}
		gone, _ = strconv.Atoi(resp.Header.Get(ClearedHeader)) // missing without a cache
		return nil
	})
	return gone, err
}

func (c *Client) get(ctx context.Context, endpoint string, q url.Values, into any) error {
	if len(q) > 0 {
		endpoint += "?" + q.Encode()
	}
	return c.exchange(ctx, http.MethodGet, endpoint, nil, func(resp *http.Response, body []byte) error {
		if resp.StatusCode != http.StatusOK {
			return failure(resp, body)
		}
		if into == nil {
			return nil
		}
		return decode(body, into)
	})
}

// exchange sends a request and hands its whole answer to read.
func (c *Client) exchange(ctx context.Context, method, endpoint string, body []byte, read func(*http.Response, []byte) error) error {
	r, err := http.NewRequestWithContext(ctx, method, c.base+prefix+endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Vault-Request", "true") // for listeners with require_request_header
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return c.unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.unreachable(err)
	}
	return read(resp, answer)
}

// unreachable says why no answer came, without the URL, which has parameters.
func (c *Client) unreachable(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	remedy := "check that it runs, and name its address with -address or LEASEHOLD_ADDR"
	switch {
	case errors.Is(err, fs.ErrPermission):
		remedy = "run this as the user that Leasehold runs as, or as root"
	case errors.Is(err, syscall.ECONNREFUSED) && strings.HasPrefix(c.address, "unix:"):
		remedy = "nobody listens there any more: start Leasehold"
	}
	return fmt.Errorf("Leasehold at %s does not answer: %w; %s", c.address, err, remedy)
}

func failure(resp *http.Response, body []byte) error {
	var said Errors
	_ = json.Unmarshal(body, &said) // what is no JSON is not of Leasehold, and the status says enough
	return &Error{Status: resp.StatusCode, Errors: said.Errors}
}

func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("the answer is not Leasehold's; check the address")
	}
	return nil
}
