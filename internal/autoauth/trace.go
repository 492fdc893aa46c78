package autoauth

import (
	"context"
	"errors"
	"strconv"

	"github.com/hashicorp/vault/api"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

const (
	nameKey = attribute.Key("leasehold.auto_auth") // Options.Name
	sinkKey = attribute.Key("leasehold.sink")
)

// otherError is the type of an error that is no answer of Vault: no connection, no file, a method's own. The spans below it tell more.
const otherError = "_OTHER"

// begin begins the span of what the manager does by itself. No client asks for it, so that it is the root of its trace.
func (m *Manager) begin(ctx context.Context, what string) (context.Context, trace.Span) {
	return m.opts.Tracer.Start(ctx, what, trace.WithAttributes(nameKey.String(string(m.opts.Name))))
}

// end ends a span with how it went. The error's text is for the log: it may name users and files.
func end(span trace.Span, err error) {
	if err != nil {
		kind := otherError
		if e, ok := errors.AsType[*statusError](err); ok {
			kind = strconv.Itoa(e.status)
		} else if e, ok := errors.AsType[*api.ResponseError](err); ok {
			kind = strconv.Itoa(e.StatusCode)
		}
		span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
