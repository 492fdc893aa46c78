package telemetry

import (
	"context"
	"slices"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// filtered is a producer behind the filter of the settings, which views do not apply to.
type filtered struct {
	sdk.Producer
	settings *Settings
}

// Produce implements sdk.Producer.
func (f filtered) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	scopes, err := f.Producer.Produce(ctx)
	for i := range scopes {
		scopes[i].Metrics = slices.DeleteFunc(scopes[i].Metrics, func(m metricdata.Metrics) bool { return !f.settings.allows(m.Name) })
	}
	return scopes, err
}
