//go:build no_otlp_grpc

package telemetry

import (
	"context"
	"crypto/tls"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func grpcTraces(context.Context, string, *tls.Config, map[string]string) (sdktrace.SpanExporter, error) {
	return nil, errNoGRPC
}
