package telemetry

import (
	"context"
	"log/slog"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TraceSettings say where spans go and which of them.
type TraceSettings struct {
	OTLP        OTLP
	SampleRatio float64 // of the traces that begin here: from 0 to 1. What has a parent is recorded when that is
	Version     string  // of Leasehold
	Log         *slog.Logger
}

// Traces sends spans to a collector, in the background and in batches. What the collector does not take in is dropped, and told of once a minute. It is
// safe for concurrent use.
type Traces struct {
	provider *sdktrace.TracerProvider
	exporter *notedSpans
	log      *slog.Logger
}

// NewTraces opens no connection. Close ends what it starts.
func NewTraces(s TraceSettings) (*Traces, error) {
	exporter, err := s.OTLP.traces(context.Background())
	if err != nil {
		return nil, err
	}
	return newTraces(s, exporter), nil
}

func newTraces(s TraceSettings, exporter sdktrace.SpanExporter) *Traces {
	t := &Traces{exporter: &notedSpans{SpanExporter: exporter, failures: newFailures(s.Log, "OTLP, traces", s.OTLP.Headers)}, log: s.Log}
	t.exporter.ended, t.exporter.end = context.WithCancel(context.Background())
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(t.exporter),
		sdktrace.WithResource(traceResource(s.Version)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(s.SampleRatio))),
	)
	return t
}

// Tracer makes spans.
func (t *Traces) Tracer() trace.Tracer { return t.provider.Tracer("leasehold") }

// Close sends what is left, until ctx ends. Spans that come later are dropped.
func (t *Traces) Close(ctx context.Context) {
	err := t.provider.Shutdown(ctx)
	t.exporter.end() // a batch that is under way is not waited for: the batcher does not heed ctx
	if err != nil {
		t.log.Warn("the last spans were not delivered", slog.String("error", t.exporter.failures.hush.text(err)))
	}
}

// notedSpans is an exporter whose failures are told by failures, and by nobody else.
type notedSpans struct {
	sdktrace.SpanExporter
	failures *failures

	ended context.Context // done when nothing is to be sent any more
	end   context.CancelFunc
}

// ExportSpans implements sdktrace.SpanExporter. It never fails.
func (e *notedSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.ended, cancel)()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if e.ended.Err() == nil { // else Close has told of it
		e.failures.note(err)
	}
	return nil
}
