package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// traces makes an exporter of spans. It opens no connection.
func (o OTLP) traces(ctx context.Context) (sdktrace.SpanExporter, error) {
	to, err := o.url("traces")
	if err != nil {
		return nil, err
	}
	roots, err := o.tls()
	if err != nil {
		return nil, err
	}
	if o.GRPC {
		return grpcTraces(ctx, to, roots, o.Headers)
	}
	var options []otlptracehttp.Option
	if to != "" {
		options = append(options, otlptracehttp.WithEndpointURL(to))
	}
	if roots != nil {
		options = append(options, otlptracehttp.WithTLSClientConfig(roots))
	}
	if len(o.Headers) > 0 {
		options = append(options, otlptracehttp.WithHeaders(o.Headers))
	}
	return otlptracehttp.New(ctx, options...)
}
