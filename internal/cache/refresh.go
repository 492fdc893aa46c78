package cache

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// requestOf is what of a request brings its successor: all that Vault may look at. The token is the entry's.
func requestOf(r *http.Request, body []byte) *lease.Request {
	h := make(http.Header)
	for name, values := range r.Header {
		if name == "Authorization" || name == "Content-Type" || slices.Contains(answerHeaders, name) ||
			strings.HasPrefix(name, "X-Vault-") && name != "X-Vault-Token" {
			h[name] = values
		}
	}
	q := &lease.Request{Method: r.Method, Target: target(r), Header: h, Body: bytes.Clone(body)}
	if r.URL.RawQuery != "" {
		q.Target += "?" + r.URL.RawQuery
	}
	return q
}

// Refresh replaces an entry before it ends, by the same flight as a request for it would. When Vault does not answer, the next request tries again.
func (c *Cache) Refresh(ctx context.Context, e *lease.Entry) {
	q, t := e.Request()
	if q == nil {
		return
	}
	u, err := url.ParseRequestURI(q.Target)
	if err != nil {
		return // it was parsed when the request came
	}
	ctx, span := c.refreshing(ctx)
	r := (&http.Request{
		Method: q.Method, URL: u, RequestURI: q.Target, Header: maps.Clone(q.Header), Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if len(q.Body) > 0 {
		r.Body, r.ContentLength = nopCloser{bytes.NewReader(q.Body)}, int64(len(q.Body))
	}
	r.Header.Set("X-Vault-Token", t.Reveal())
	id := vault.Identity{Token: t, Repeated: true}
	id.AutoAuth, id.Injected = c.holder(t)
	w := discard{http.Header{}}
	err = c.unread(w, r, id)
	end(span, w.header, err)
}

// errBroken is that an answer which nobody reads has broken off.
var errBroken = errors.New("the answer broke off")

// unread is answer for nobody: what the answer means for the entry has happened by then. The panic by which a server is told of a body that broke off
// would end the daemon here.
func (c *Cache) unread(w http.ResponseWriter, r *http.Request, id vault.Identity) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = errBroken
		default:
			panic(p)
		}
	}()
	return c.answer(w, r, id)
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// discard is nobody's ResponseWriter. Its header is for the trace.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
