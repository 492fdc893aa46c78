package cache

import (
	"bytes"
	"context"
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
	r := (&http.Request{
		Method: q.Method, URL: u, RequestURI: q.Target, Header: maps.Clone(q.Header), Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if len(q.Body) > 0 {
		r.Body, r.ContentLength = nopCloser{bytes.NewReader(q.Body)}, int64(len(q.Body))
	}
	r.Header.Set("X-Vault-Token", t.Reveal())
	id := vault.Identity{Token: t, Repeated: true}
	id.AutoAuth, id.Injected = c.holder(t)
	_ = c.answer(discard{}, r, id) // what it means for the entry has happened; nobody reads the answer
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// discard is nobody's ResponseWriter.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
