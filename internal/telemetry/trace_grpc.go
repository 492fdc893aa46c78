//go:build !no_otlp_grpc

package telemetry

import (
	"context"
	"crypto/tls"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"
)

func grpcTraces(ctx context.Context, to string, roots *tls.Config, headers map[string]string) (sdktrace.SpanExporter, error) {
	var options []otlptracegrpc.Option
	if to != "" {
		options = append(options, otlptracegrpc.WithEndpointURL(to))
	}
	if roots != nil {
		options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(roots)))
	}
	if len(headers) > 0 {
		options = append(options, otlptracegrpc.WithHeaders(headers))
	}
	return otlptracegrpc.New(ctx, options...)
}
