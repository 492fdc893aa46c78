package lease

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/vault"
)

const (
	renewalKey = attribute.Key("leasehold.renewal.outcome") // renewed, refused, token_gone, failed or dropped
	grantedKey = attribute.Key("leasehold.renewal.ttl")     // seconds
)

// beginSpan begins the span of a renewal. Nobody asks for one, so that it is the root of its trace. It names neither lease nor token: a lease id is all that a
// revocation needs.
func (c *Clock) beginSpan(ctx context.Context, t task) (context.Context, trace.Span) {
	name := "renew lease"
	if t.leaseID == "" {
		name = "renew token"
	}
	return c.opt.Tracer.Start(ctx, name)
}

// tell notes in the span of a renewal how Vault has decided.
func tell(span trace.Span, g vault.Grant, err error) {
	outcome := "renewed"
	switch {
	case err == nil:
		span.SetAttributes(grantedKey.Float64(g.TTL.Seconds()))
	case errors.Is(err, vault.ErrTokenGone):
		outcome = "token_gone"
	case errors.Is(err, vault.ErrRefused):
		outcome = "refused"
	default:
		outcome = "failed"
		span.SetStatus(codes.Error, "") // its text names the lease
	}
	span.SetAttributes(renewalKey.String(outcome))
}
