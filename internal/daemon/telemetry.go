package daemon

import (
	"leasehold/internal/config"
	"leasehold/internal/telemetry"
)

// collector is where OpenTelemetry's signals go; nil for nowhere.
func collector(c *config.OTLP) *telemetry.OTLP {
	if c == nil {
		return nil
	}
	return &telemetry.OTLP{Endpoint: c.Endpoint, GRPC: c.Protocol == "grpc", Headers: c.Headers, CACert: c.CACert, Interval: c.Interval}
}
