package router

import (
	"net"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Attributes for which OpenTelemetry has no name.
const (
	routeKey       = attribute.Key("leasehold.route")         // one of Routes
	outcomeKey     = attribute.Key("leasehold.cache.outcome") // as in X-Cache
	reasonKey      = attribute.Key("leasehold.cache.reason")  // as in X-Cache-Reason
	lentKey        = attribute.Key("leasehold.token.lent")    // the request was sent with an auto-auth token
	triesKey       = attribute.Key("leasehold.upstream.tries")
	vaultStatusKey = attribute.Key("leasehold.upstream.status")
	deniedKey      = attribute.Key("leasehold.denied") // why it was refused before anybody looked at what it asks for
)

// spans is the middleware that makes a span of each request but those for our own endpoints, which are probes mostly. It is named by the class of the
// request and has no path: paths in Vault hold ids, names and sometimes keys. The parent is the one that the client names, if that is trusted; else the
// span is a root, and names the client's by a link.
func (rt *router) spans(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := routeOf(r.URL.Path)
		if route == RouteOwn {
			next.ServeHTTP(w, r)
			return
		}
		method := tracedMethod(r.Method)
		ctx := r.Context()
		if len(r.Header["Traceparent"]) == 1 { // with more of them none is to be trusted (W3C trace context, section 3.2)
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(method), semconv.NetworkProtocolVersion(strconv.Itoa(r.ProtoMajor)), routeKey.String(route))}
		if theirs := trace.SpanContextFromContext(ctx); theirs.IsValid() && !rt.opt.TrustParent {
			options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: theirs}))
		}
		ctx, span := rt.Tracer.Start(ctx, spanName(method)+" "+route, options...)
		defer span.End() // also when the answer is aborted
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			span.SetAttributes(semconv.ClientAddress(host))
		}
		next.ServeHTTP(w, r.WithContext(ctx))
		if why := w.Header()["X-Cache-Reason"]; len(why) > 0 {
			span.SetAttributes(reasonKey.String(why[0]))
		}
	})
}

// describing returns a Seen that describes each request to its span and goes on with next, which may be nil.
func describing(next func(*Exchange)) func(*Exchange) {
	return func(x *Exchange) {
		describe(x)
		if next != nil {
			next(x)
		}
	}
}

// describe tells the span of a request what became of it.
func describe(x *Exchange) {
	span := trace.SpanFromContext(x.Request.Context())
	if !span.IsRecording() {
		return
	}
	all := []attribute.KeyValue{lentKey.Bool(x.Lent)}
	if x.Status != 0 {
		all = append(all, semconv.HTTPResponseStatusCode(x.Status))
	}
	if x.Outcome != "" {
		all = append(all, outcomeKey.String(x.Outcome))
	}
	if x.Tries > 0 {
		all = append(all, triesKey.Int(x.Tries), vaultStatusKey.Int(x.Upstream))
	}
	if x.Denied != "" {
		all = append(all, deniedKey.String(x.Denied))
	}
	switch { // a client's mistakes are no errors of the server
	case x.Aborted:
		all = append(all, semconv.ErrorTypeKey.String("aborted"))
		span.SetStatus(codes.Error, "")
	case x.Status >= http.StatusInternalServerError:
		all = append(all, semconv.ErrorTypeKey.String(strconv.Itoa(x.Status)))
		span.SetStatus(codes.Error, "")
	}
	span.SetAttributes(all...)
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
