package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// HandleErrors has log told of what OpenTelemetry itself cannot do, such as a collector that took in a part of an export. Headers are those
// that collectors are sent: their values are not logged. There is one such place in a process: the last call counts.
func HandleErrors(log *slog.Logger, headers map[string]string) {
	said := newFailures(log, "OpenTelemetry", headers)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { said.note(err) }))
}

// sayAgain is the least time between two lines about exports that go on failing.
const sayAgain = time.Minute

// failures tells of exports that fail: of the first, and then once a minute, so that a collector that is away does not fill the log.
type failures struct {
	log  *slog.Logger
	what string // goes where
	hush hush   // about the headers that are sent along

	mu     sync.Mutex
	row    int // failures since the last success
	unsaid int // of them, since the log was told
	said   time.Time
}

func newFailures(log *slog.Logger, what string, headers map[string]string) *failures {
	return &failures{log: log, what: what, hush: hushing(headers)}
}

// note takes in how an export went.
func (f *failures) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		if f.row > 0 {
			f.log.Info("metrics or traces are delivered again", slog.String("to", f.what), slog.Int("failed", f.row))
		}
		f.row, f.unsaid = 0, 0
		return
	}
	f.row++
	if now := time.Now(); f.row == 1 || now.Sub(f.said) >= sayAgain {
		f.log.Warn("metrics or traces are not delivered; nothing else is affected", slog.String("to", f.what), slog.Int("not_logged", f.unsaid), slog.String("error", f.hush.text(err)))
		f.said, f.unsaid = now, 0
		return
	}
	f.unsaid++
}

// noted is an exporter whose failures are told by failures, and by nobody else.
type noted struct {
	sdk.Exporter
	failures *failures
}

func (e noted) Export(ctx context.Context, data *metricdata.ResourceMetrics) error {
	e.failures.note(e.Exporter.Export(ctx, data))
	return nil
}
