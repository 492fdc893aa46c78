package telemetry

import "context"

// Flush has everything sent now.
func (m *Meters) Flush(ctx context.Context) error { return m.provider.ForceFlush(ctx) }
