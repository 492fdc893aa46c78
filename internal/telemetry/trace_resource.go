package telemetry

import (
	"context"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
)

// traceResource is what the collector is told of this process, with what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say.
func traceResource(version string) *resource.Resource {
	own := resource.NewSchemaless(attribute.String("service.name", "leasehold"), attribute.String("service.version", version))
	if host, err := os.Hostname(); err == nil {
		own, _ = resource.Merge(own, resource.NewSchemaless(attribute.String("host.name", host)))
	}
	env, err := resource.New(context.Background(), resource.WithFromEnv())
	if err != nil {
		return own // a variable that cannot be read is no reason to do without traces
	}
	if merged, err := resource.Merge(own, env); err == nil {
		return merged
	}
	return own
}
