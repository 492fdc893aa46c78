package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// send is what through does for r at a node: below the span that r's context holds it makes one of its own, and tells Vault of it by traceparent, in
// place of what the client sent. sent counts the times that the same request left before. Without a tracer, and for what belongs to no trace, such as
// health checks, r leaves as it is.
//
// The span is over with the headers of the answer: how long a body takes depends on the client as well. It has the attributes of OpenTelemetry's
// semantic conventions, but for url.full: paths in Vault hold ids, names and sometimes keys.
func (c *Client) send(through http.RoundTripper, at *node, r *http.Request, sent int) (*http.Response, error) {
	if c.meter != nil {
		through = metered{through, c.meter}
	}
	if c.tracer == nil || !trace.SpanContextFromContext(r.Context()).IsValid() {
		return through.RoundTrip(r)
	}
	method := tracedMethod(r.Method)
	ctx, span := c.tracer.Start(r.Context(), spanName(method), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(at.attributes(r)...),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(method)))
	defer span.End()
	if sent > 0 {
		span.SetAttributes(semconv.HTTPRequestResendCount(sent))
	}
	r = r.WithContext(r.Context()) // a shallow copy: a RoundTripper does not change what it was given
	r.Header = r.Header.Clone()
	delete(r.Header, "Traceparent")
	delete(r.Header, "Tracestate")
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
	resp, err := through.RoundTrip(r)
	switch {
	case err != nil:
		span.SetAttributes(semconv.ErrorTypeKey.String(errorType(r.Context(), err)))
		span.SetStatus(codes.Error, "") // its text may hold what a span must not
	default:
		span.SetAttributes(semconv.HTTPResponseStatusCode(resp.StatusCode))
		if resp.StatusCode >= http.StatusBadRequest {
			span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
			span.SetStatus(codes.Error, "")
		}
	}
	return resp, err
}

// waits notes in the span of the request, if there is one, that it will be sent again.
func (c *Client) waits(ctx context.Context, retry int, wait time.Duration) {
	if c.tracer == nil {
		return
	}
	trace.SpanFromContext(ctx).AddEvent("asking Vault again", trace.WithAttributes(
		attribute.Int("leasehold.retry", retry), attribute.Float64("leasehold.retry.wait", wait.Seconds())))
}

// attributes say where r goes.
func (n *node) attributes(r *http.Request) []attribute.KeyValue {
	if n.overSocket() {
		return []attribute.KeyValue{semconv.ServerAddress(strings.TrimPrefix(n.address, "unix://")), semconv.NetworkTransportUnix}
	}
	all := []attribute.KeyValue{semconv.ServerAddress(r.URL.Hostname())}
	_, port, _ := net.SplitHostPort(hostPort(r.URL))
	if p, err := strconv.Atoi(port); err == nil {
		all = append(all, semconv.ServerPort(p))
	}
	return all
}

// otherMethod stands for whatever clients make up, so that they cannot make names of spans.
const otherMethod = "_OTHER"

func tracedMethod(method string) string {
	switch method {
	case http.MethodGet, "LIST", http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions:
		return method
	}
	return otherMethod
}

func spanName(method string) string {
	if method == otherMethod {
		return "HTTP"
	}
	return method
}

// errorType says in a word why there was no answer.
func errorType(ctx context.Context, err error) string {
	var broken interface{ Timeout() bool }
	switch {
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return "timeout"
	case ctx.Err() != nil:
		return "canceled"
	case tlsFailure(err):
		return "tls"
	case staleConnection(err):
		return "stale_connection"
	case neverSent(err):
		return "no_connection"
	case errors.As(err, &broken) && broken.Timeout():
		return "timeout"
	}
	return otherMethod
}
