//go:build no_otlp_grpc

package telemetry

import (
	"context"
	"crypto/tls"

	sdk "go.opentelemetry.io/otel/sdk/metric"
)

const hasGRPC = false

func grpcMetrics(context.Context, string, *tls.Config, map[string]string) (sdk.Exporter, error) {
	return nil, errNoGRPC
}
