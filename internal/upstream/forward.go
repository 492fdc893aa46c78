package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/vault"
)

// Forward sends r to Vault with the token that id names and streams the answer to w. The path and query reach Vault byte for byte, bodies
// stream both ways, Upgrade requests become tunnels, redirects are followed where the token may go, and r's end ends the exchange with Vault.
//
// inspect, which may be nil, sees the answer before its first byte is written; it may replace the body and change headers. Its error is
// returned as it is.
//
// When Forward returns an error, nothing was written to w, but for a tunnel whose client left at once. The error is or wraps ErrTarget,
// context.Canceled when the client left, context.DeadlineExceeded when Vault sent no headers within VAULT_CLIENT_TIMEOUT (an upload starts
// that time anew with each byte), a request body's own error such as *http.MaxBytesError, or what the network said, mostly a net.Error.
//
// A body that breaks off after the headers were written cannot be reported so: Forward then panics with http.ErrAbortHandler, which an
// http.Server turns into a broken connection, so that a client never takes half an answer for a whole one.
func (c *Client) Forward(w http.ResponseWriter, r *http.Request, id vault.Identity, inspect func(*http.Response) error) error {
	t, err := target(r)
	if err != nil {
		return fmt.Errorf("forward to Vault: %w", err)
	}
	if id.Injected && !id.Token.Printable() {
		return errors.New("forward to Vault: the auto-auth token contains non-printable characters")
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	x := &exchange{client: c, terms: c.terms.Load(), id: id, inspect: inspect, header: w.Header(), deadline: time.Now().Add(c.timeout)}
	x.asker, _ = w.(asker)
	x.timer = time.AfterFunc(c.timeout, func() {
		if !x.answered.Load() {
			cancel(fmt.Errorf("no answer within %v: %w", c.timeout, context.DeadlineExceeded))
		}
	})
	defer x.timer.Stop()
	if ctx.Value(http.ServerContextKey) == nil {
		// Without a server in the context, ReverseProxy passes a broken body off as a whole one.
		ctx = context.WithValue(ctx, http.ServerContextKey, (*http.Server)(nil))
	}
	x.target, x.parsed = t, r.URL
	x.proxy = httputil.ReverseProxy{
		Rewrite: x.rewrite, Transport: x, ModifyResponse: x.modify, ErrorHandler: x.fail, BufferPool: &c.buffers, ErrorLog: c.errorLog,
	}
	x.proxy.ServeHTTP(w, r.WithContext(ctx))
	return x.err
}

// asker is a ResponseWriter that wants to know how often Vault was asked for its answer, and how long that took until the answer's headers. status is
// that of the last answer, 0 when none came. It is told before the answer is written, at each Forward.
type asker interface {
	Asked(status, tries int, took time.Duration)
}

// exchange is one request on its way to Vault and its answer on the way back. httputil.ReverseProxy calls the methods in their order here.
type exchange struct {
	client   *Client
	terms    *terms // those that held when it began: a reload is for requests that come later
	proxy    httputil.ReverseProxy
	id       vault.Identity
	inspect  func(*http.Response) error
	target   string      // the raw path and query
	parsed   *url.URL    // net/url's reading of target
	header   http.Header // of the answer to the client
	deadline time.Time   // for the headers of Vault's answer
	timer    *time.Timer // cancels the exchange when it fires before answered
	answered atomic.Bool // the headers are here, or never will be: a stream may take as long as it likes
	err      error

	consistent bool // the answer's index counts

	asker asker // nil when nobody asks
	tries int

	risk    risk                          // of sending the request twice
	stale   int                           // connections that were replaced
	sent    int                           // times that it went to a node
	getBody func() (io.ReadCloser, error) // the body once more, nil for none
	upload  *upload                       // where getBody has it from, when that is the client
}

// forwardedHeaders are removed by httputil.ReverseProxy; Vault is to see what the client sent, and no more.
var forwardedHeaders = [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// ForwardedFor is what Vault learns of a client's address from X-Forwarded-For, and writes into its audit log when it trusts Leasehold.
type ForwardedFor uint8

// The address is that of the client's connection. A client on a unix socket has none: then all are like ForwardedForOff.
const (
	ForwardedForOff     ForwardedFor = iota // what the client sent, if anything
	ForwardedForAppend                      // that, and behind it the client's address
	ForwardedForReplace                     // the client's address alone
)

// set changes h, which has what the client sent.
func (f ForwardedFor) set(h http.Header, remote string) {
	if f == ForwardedForOff {
		return
	}
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return
	}
	value := peer.Addr().Unmap().WithZone("").String()
	if sent := strings.Join(h["X-Forwarded-For"], ", "); f == ForwardedForAppend && sent != "" {
		value = sent + ", " + value
	}
	h["X-Forwarded-For"] = []string{value}
}

// vaultRequest is the value of X-Vault-Request, without which a Vault that guards against forged requests answers nothing.
var vaultRequest = []string{"true"}

func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	in, h := p.In.Header, p.Out.Header
	p.Out.Trailer = p.In.Trailer // filled in when the body has been read; Out has a copy that stays empty

	for _, k := range forwardedHeaders {
		if v, ok := in[k]; ok {
			h[k] = v
		}
	}
	if len(in["Connection"]) > 0 {
		keepEndToEnd(h, in)
	}
	x.terms.ForwardedFor.set(h, p.In.RemoteAddr)
	x.require(h)
	hideIdempotencyKey(h)
	h["User-Agent"] = []string{x.client.agentFor(in.Get("User-Agent"))}
	h["X-Vault-Request"] = vaultRequest
	x.setToken(h)
}

// keepEndToEnd undoes the removal of headers that a client lists in Connection although Vault needs them: without X-Vault-Namespace, say,
// Vault would answer for another namespace than the one that the cache keeps the answer for.
func keepEndToEnd(h, in http.Header) {
	for k, v := range in {
		if strings.HasPrefix(k, "X-Vault-") || k == "Authorization" {
			h[k] = v
		}
	}
}

// hideIdempotencyKey spells these headers so that net/http does not know them: it would replay any request that carries one after an
// ambiguous failure, although Vault gives them no meaning (APX-11). To HTTP the spellings are the same.
func hideIdempotencyKey(h http.Header) {
	for _, k := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := h[k]; ok {
			delete(h, k)
			h[strings.ToLower(k)] = v
		}
	}
}

// setToken makes the auto-auth token the only one when it is to be used, and else leaves the client's own alone, but for repetitions.
func (x *exchange) setToken(h http.Header) {
	if !x.id.Injected {
		if own := h["X-Vault-Token"]; len(own) > 1 {
			h["X-Vault-Token"] = own[:1]
		}
		return
	}
	delete(h, "X-Vault-Token")
	if !x.id.Token.IsZero() {
		h["X-Vault-Token"] = []string{x.id.Token.Reveal()}
	}
	var others []string
	for _, v := range h["Authorization"] {
		if len(v) < len("Bearer ") || !strings.EqualFold(v[:len("Bearer ")], "Bearer ") {
			others = append(others, v)
		}
	}
	delete(h, "Authorization")
	if len(others) > 0 {
		h["Authorization"] = others
	}
}

// agentFor is our User-Agent, followed by the client's.
func (c *Client) agentFor(client string) string {
	if client == "" {
		return c.userAgent
	}
	return c.userAgent + "; " + client
}

// RoundTrip implements http.RoundTripper: the rate limit, then the tries.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	err := x.client.admit(r.Context())
	var resp *http.Response
	if err == nil {
		resp, err = x.try(r)
	}
	x.answered.Store(true)
	if x.asker != nil {
		status := 0
		if err == nil {
			status = resp.StatusCode
		}
		x.asker.Asked(status, x.tries, time.Since(began))
	}
	if err == nil {
		if x.consistent {
			x.client.states.learn(resp.Header[api.HeaderIndex])
		}
		return resp, nil
	}
	if cause := context.Cause(r.Context()); cause != nil {
		err = cause // transports differ in what they say of a cancelled request
	}
	return nil, fmt.Errorf("forward to Vault: %w", err)
}

func (x *exchange) modify(resp *http.Response) error {
	if x.inspect != nil {
		if err := x.inspect(resp); err != nil {
			return err
		}
	}
	if _, ok := resp.Header["Content-Type"]; !ok {
		x.header["Content-Type"] = nil // keeps net/http from guessing one
	}
	return nil
}

func (x *exchange) fail(_ http.ResponseWriter, _ *http.Request, err error) {
	x.err = err
}
