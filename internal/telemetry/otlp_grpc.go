//go:build !no_otlp_grpc

package telemetry

import (
	"context"
	"crypto/tls"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/grpc/credentials"
)

const hasGRPC = true

func grpcMetrics(ctx context.Context, to string, roots *tls.Config, headers map[string]string) (sdk.Exporter, error) {
	var options []otlpmetricgrpc.Option
	if to != "" {
		options = append(options, otlpmetricgrpc.WithEndpointURL(to))
	}
	if roots != nil {
		options = append(options, otlpmetricgrpc.WithTLSCredentials(credentials.NewTLS(roots)))
	}
	if len(headers) > 0 {
		options = append(options, otlpmetricgrpc.WithHeaders(headers))
	}
	return otlpmetricgrpc.New(ctx, options...)
}
