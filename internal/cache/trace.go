package cache

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// The span of a client's request is the router's, which reads the cache's decision in the answer's header. What takes its own time here, or has no
// request, has a span of its own.
const (
	outcomeKey = attribute.Key("leasehold.cache.outcome") // as in X-Cache
	reasonKey  = attribute.Key("leasehold.cache.reason")  // as in X-Cache-Reason
	sharedKey  = attribute.Key("leasehold.cache.shared")  // whether the answer waited for could be shared
)

// waiting begins the span in which a request waits for the flight of another, whose span it names by a link: neither is part of the other.
func (c *Cache) waiting(ctx context.Context, fl *flight) trace.Span {
	if c.opt.Tracer == nil {
		return noop.Span{}
	}
	_, span := c.opt.Tracer.Start(ctx, "wait for the same request", trace.WithLinks(trace.Link{SpanContext: fl.span}))
	return span
}

// refreshing begins the span of an entry that is replaced ahead of its end. No client asks, so that it is the root of its trace.
func (c *Cache) refreshing(ctx context.Context) (context.Context, trace.Span) {
	if c.opt.Tracer == nil {
		return ctx, noop.Span{}
	}
	return c.opt.Tracer.Start(ctx, "refresh ahead")
}

// end ends the span of a refresh, which was answered with h.
func end(span trace.Span, h http.Header, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "") // its text may name a path
	}
	for key, field := range map[attribute.Key]string{outcomeKey: "X-Cache", reasonKey: "X-Cache-Reason"} {
		if v := h[field]; len(v) > 0 {
			span.SetAttributes(key.String(v[0]))
		}
	}
	span.End()
}
