package telemetry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// OTLP is a collector of OpenTelemetry, and how to speak to it. What is left open, the variables OTEL_EXPORTER_OTLP_* of the environment may say.
type OTLP struct {
	Endpoint string            // a URL, http or https, without user name and password; "" leaves it to the environment
	GRPC     bool              // else HTTP with protobuf
	Headers  map[string]string // may hold secrets
	CACert   string            // a PEM file; "" means the system's roots
	Interval time.Duration     // between two exports of metrics
}

// errNoGRPC is for builds without gRPC.
var errNoGRPC = errors.New(`this build of Leasehold speaks no gRPC; write protocol = "http" in telemetry.otlp, or build it without the tag no_otlp_grpc`)

// url is where a signal ("metrics", "traces") goes to; "" leaves it to the environment. With gRPC the signal is no part of it.
func (o OTLP) url(signal string) (string, error) {
	if o.Endpoint == "" || o.GRPC {
		return o.Endpoint, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return "", errors.New("telemetry.otlp.endpoint is no URL") // url.Error would show it
	}
	return u.JoinPath("v1", signal).String(), nil
}

// tls is what the collector's certificate is verified by; nil leaves that to the environment, and to the system's roots.
func (o OTLP) tls() (*tls.Config, error) {
	if o.CACert == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(o.CACert)
	if err != nil {
		return nil, fmt.Errorf("telemetry.otlp.ca_cert: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("telemetry.otlp.ca_cert: %s holds no certificate; give a PEM file of CAs", o.CACert)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// Check reports what would keep an exporter from being made: a CA file that cannot be used, a protocol that this build lacks.
func (o OTLP) Check() error {
	if o.GRPC && !hasGRPC {
		return errNoGRPC
	}
	_, err := o.tls()
	return err
}

// metrics makes an exporter of metrics. It opens no connection.
func (o OTLP) metrics(ctx context.Context) (sdk.Exporter, error) {
	to, err := o.url("metrics")
	if err != nil {
		return nil, err
	}
	roots, err := o.tls()
	if err != nil {
		return nil, err
	}
	if o.GRPC {
		return grpcMetrics(ctx, to, roots, o.Headers)
	}
	var options []otlpmetrichttp.Option
	if to != "" {
		options = append(options, otlpmetrichttp.WithEndpointURL(to))
	}
	if roots != nil {
		options = append(options, otlpmetrichttp.WithTLSClientConfig(roots))
	}
	if len(o.Headers) > 0 {
		options = append(options, otlpmetrichttp.WithHeaders(o.Headers))
	}
	return otlpmetrichttp.New(ctx, options...)
}
