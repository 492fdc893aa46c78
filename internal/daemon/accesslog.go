package daemon

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/config"
	"leasehold/internal/router"
	"leasehold/internal/telemetry"
	"leasehold/internal/vault"
)

// accessLog makes lines of exchanges.
type accessLog struct {
	*telemetry.AccessLog
	excluded       atomic.Pointer[router.Paths]
	hasher         *vault.Hasher // as status and leases have it
	stdout, stderr io.Writer
	log            *slog.Logger
}

func newAccessLog(dropped *atomic.Int64, hasher *vault.Hasher, o Options) *accessLog {
	a := &accessLog{AccessLog: telemetry.NewAccessLog(dropped, o.Log), hasher: hasher, stdout: cmp.Or[io.Writer](o.Stdout, os.Stdout), stderr: cmp.Or[io.Writer](o.Stderr, os.Stderr), log: o.Log}
	a.excluded.Store(&router.Paths{})
	return a
}

// lastLines is how long the end of the process waits for what is still to be written: a pipe that nobody reads would hold it up for good.
const lastLines = 2 * time.Second

// start begins to write; end returns when all that was handed over is written, or cannot be.
func (a *accessLog) start() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
	}()
	return func() {
		cancel()
		select {
		case <-done:
		case <-time.After(lastLines):
			a.log.Warn("the last lines of access_log are lost: what it is written to takes none")
		}
	}
}

// prepare opens what cfg says, unless it is open, and returns the step that puts it to use.
func (a *accessLog) prepare(now *config.AccessLog, cfg *config.Config) (commit func(), err error) {
	next := cfg.AccessLog
	if next == nil {
		return func() { a.Use(nil) }, nil
	}
	excluded := router.NewPaths(next.Exclude, vault.Namespace(cfg.APIProxy.PrependNamespace))
	if now != nil && now.Path == next.Path && now.Format == next.Format {
		return func() { a.excluded.Store(&excluded) }, nil
	}
	to, err := a.Open(telemetry.AccessSettings{Path: next.Path, Format: next.Format, Stdout: a.stdout, Stderr: a.stderr})
	if err != nil {
		return nil, err
	}
	return func() {
		a.excluded.Store(&excluded)
		a.Use(to)
	}, nil
}

// write writes the line of a request. What docs/operations.md says of the fields holds.
func (a *accessLog) write(x *router.Exchange) {
	r := x.Request
	if !a.Enabled() || a.excluded.Load().Has(r) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 24), caller(r)...)
	attrs = append(attrs,
		slog.String("method", vault.LogMethod(r.Method)), slog.String("path", x.LogPath()), slog.String("route", x.Route),
		slog.Int("status", x.Status), slog.Float64("duration", x.Took.Seconds()), slog.Int64("bytes", x.Bytes))
	if x.Outcome != "" {
		attrs = append(attrs, slog.String("outcome", x.Outcome))
	}
	if x.Tries > 0 {
		attrs = append(attrs, slog.Int("upstream_status", x.Upstream), slog.Int("tries", x.Tries), slog.Float64("upstream_duration", x.UpstreamTook.Seconds()))
	}
	switch {
	case x.Accessor != "":
		attrs = append(attrs, slog.String("accessor_hash", a.hasher.Of(string(x.Accessor))))
	case !x.Token.IsZero():
		attrs = append(attrs, slog.String("token_hash", a.hasher.Of(x.Token.Reveal())))
	}
	if x.Lent {
		attrs = append(attrs, slog.Bool("lent", true))
	}
	if id := traceID(r); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	if x.Denied != "" {
		attrs = append(attrs, slog.String("denied", x.Denied))
	}
	if x.Aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	a.Log(r.Context(), x.Began.UTC(), attrs...)
}

// caller is who sent a request, as far as the connection tells.
func caller(r *http.Request) (attrs []slog.Attr) {
	if uid, _, ok := peerOf(r.Context()); ok {
		attrs = append(attrs, slog.Uint64("uid", uint64(uid)))
	} else if r.RemoteAddr != "" && r.RemoteAddr != "@" {
		attrs = append(attrs, slog.String("address", r.RemoteAddr))
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && len(r.TLS.VerifiedChains[0]) > 0 {
		attrs = append(attrs, slog.String("client_cn", router.Clip(r.TLS.VerifiedChains[0][0].Subject.CommonName)))
	}
	return attrs
}

// traceID is that of the request's span, or else of the W3C trace context that it brought; "" for none.
func traceID(r *http.Request) string {
	span := trace.SpanContextFromContext(r.Context())
	if !span.HasTraceID() {
		span = trace.SpanContextFromContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
	}
	if !span.HasTraceID() {
		return ""
	}
	return span.TraceID().String()
}
