package daemon

import (
	"fmt"

	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/config"
	"leasehold/internal/telemetry"
)

// newTraces returns what spans are made with; nil without a traces block.
func (p *parts) newTraces(version string) (*telemetry.Traces, error) {
	t := p.cfg.Telemetry
	if t.Traces == nil {
		return nil, nil
	}
	telemetry.HandleErrors(p.log, t.OTLP.Headers)
	traces, err := telemetry.NewTraces(telemetry.TraceSettings{OTLP: *collector(t.OTLP), SampleRatio: t.Traces.SampleRatio, Version: version, Log: p.log})
	if err != nil {
		return nil, fmt.Errorf("%stelemetry: %w", place(t.Traces.Pos), err)
	}
	return traces, nil
}

// tracer is what all parts make their spans with; nil, also as an interface, without traces.
func (p *parts) tracer() trace.Tracer {
	if p.traces == nil {
		return nil
	}
	return p.traces.Tracer()
}

// trustsParent reports whether clients' traces are gone on with.
func trustsParent(cfg *config.Config) bool {
	return cfg.Telemetry.Traces != nil && cfg.Telemetry.Traces.TrustParent
}
