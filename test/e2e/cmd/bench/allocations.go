package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/router"
	"leasehold/internal/telemetry"
	"leasehold/internal/vault"
)

// allocations counts those of a cached hit inside Leasehold's own handler: routing, key, index and answer, without the server of net/http.
func (b *bench) allocations(ctx context.Context) error {
	h, err := newHitHandler()
	if err != nil {
		return err
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, leasePath+"hit"+long, nil)
	r.Header.Set("X-Vault-Token", autoToken)
	r.Header.Set("X-Vault-Request", "true")
	h.ServeHTTP(httptest.NewRecorder(), r)
	w := &discarding{header: http.Header{}}
	perHit := testing.AllocsPerRun(1000, func() {
		clear(w.header)
		h.ServeHTTP(w, r)
	})
	if w.header.Get("X-Cache") != "HIT" {
		return fmt.Errorf("the handler should answer from memory, and its header is %v", w.header)
	}
	b.table.row("allocations of a cached hit", perHit, fmt.Sprintf("%g", perHit), atMost(8, ""), "in process: router, cache and lease index, metrics counted")
	return nil
}

const autoToken = "hvs.bench"

// newHitHandler is put together as internal/daemon does it, with a Vault that gives one lease.
func newHitHandler() (http.Handler, error) {
	token := vault.NewToken(autoToken)
	index := lease.NewIndex(lease.Options{})
	index.Hold("", token, "accessor", "", time.Time{})
	requests := telemetry.NewRequests(router.Routes(), router.Outcomes())
	c, err := cache.New(index, oneLease{}, nil, &telemetry.Meters{}, cache.Options{})
	if err != nil {
		return nil, err
	}
	parts := router.Parts{
		Answer: c, Clear: c, Tokens: held{token}, Metrics: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler), Active: &requests.Active,
		Seen: func(x *router.Exchange) { requests.Observe(x.Route, x.Outcome, x.Upstream, x.Took) },
	}
	return router.New(parts, router.Options{TokenUse: router.WhenAbsent, MaxRequestSize: 32 << 20}), nil
}

// oneLease forwards to nobody.
type oneLease struct{}

func (oneLease) Forward(_ http.ResponseWriter, _ *http.Request, _ vault.Identity, inspect func(*http.Response) error) error {
	const body = `{"request_id":"b","lease_id":"leaser/creds/hit/b","renewable":true,"lease_duration":43200,"data":{"password":"p"},"auth":null}`
	return inspect(&http.Response{
		StatusCode: http.StatusOK, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{
			"Content-Type": {"application/json"}, "Cache-Control": {"no-store"},
			"Strict-Transport-Security": {"max-age=31536000; includeSubDomains"},
		},
	})
}

// held is auto-auth that has a token.
type held struct{ token vault.Token }

func (h held) Token() vault.Token                         { return h.token }
func (h held) Await(context.Context) (vault.Token, error) { return h.token, nil }

func (h held) Lasting(context.Context) (vault.Token, error) { return h.token, nil }

// discarding is a ResponseWriter that can be used again.
type discarding struct{ header http.Header }

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarding) WriteHeader(int)             {}
