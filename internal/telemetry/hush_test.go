package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	metrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"leasehold/internal/telemetry"
)

// echoing is a collector that answers each export with what came, as proxies do whose error pages help: its headers, then two megabytes, and that again.
type echoing struct {
	answer int        // over HTTP
	code   codes.Code // over gRPC
}

const pageful = 2 << 20

func page(headers string) string { return headers + strings.Repeat("x", pageful) + headers }

func (e echoing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if e.answer != http.StatusOK {
		w.Header().Set("Retry-After", "3600") // an exporter gives up at once
		w.WriteHeader(e.answer)
		_, _ = io.WriteString(w, page(fmt.Sprint(r.Header)))
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	var body []byte
	if said := page(fmt.Sprint(r.Header)); strings.HasSuffix(r.URL.Path, "metrics") {
		body, _ = proto.Marshal(&metrics.ExportMetricsServiceResponse{PartialSuccess: &metrics.ExportMetricsPartialSuccess{RejectedDataPoints: 7, ErrorMessage: said}})
	} else {
		body, _ = proto.Marshal(&collect.ExportTraceServiceResponse{PartialSuccess: &collect.ExportTracePartialSuccess{RejectedSpans: 7, ErrorMessage: said}})
	}
	_, _ = w.Write(body)
}

// echo is the status of gRPC. Its words are few enough for the headers that gRPC carries them in.
func (e echoing) echo(ctx context.Context) error {
	headers, _ := metadata.FromIncomingContext(ctx)
	return status.Error(e.code, fmt.Sprint(headers)+strings.Repeat("x", 4<<10)+fmt.Sprint(headers))
}

// echoedSpans and echoedMetrics are echoing over gRPC.
type (
	echoedSpans struct {
		collect.UnimplementedTraceServiceServer
		echoing
	}
	echoedMetrics struct {
		metrics.UnimplementedMetricsServiceServer
		echoing
	}
)

func (e echoedSpans) Export(ctx context.Context, _ *collect.ExportTraceServiceRequest) (*collect.ExportTraceServiceResponse, error) {
	return nil, e.echo(ctx)
}

func (e echoedMetrics) Export(ctx context.Context, _ *metrics.ExportMetricsServiceRequest) (*metrics.ExportMetricsServiceResponse, error) {
	return nil, e.echo(ctx)
}

// serveGRPC serves e until the test ends, and returns its URL.
func (e echoing) serveGRPC(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collect.RegisterTraceServiceServer(server, echoedSpans{echoing: e})
	metrics.RegisterMetricsServiceServer(server, echoedMetrics{echoing: e})
	ended := make(chan error)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() { server.Stop(); <-ended })
	return "http://" + ln.Addr().String()
}

func (e echoing) serveHTTP(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	return s.URL
}

// wantHushed fails unless out has one short warning with what it needs to be of use, and no header.
func wantHushed(t *testing.T, out *log, want string) {
	t.Helper()
	got := out.String()
	clipped := got[:min(len(got), 3000)]
	if strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, want) || len(got) > 2<<10 {
		t.Errorf("%d bytes of log, want one line with %q: %s", len(got), want, clipped)
	}
	for _, secret := range [...]string{"s3cr3t", "quo", "of-the-environment", "xxxx"} {
		if strings.Contains(got, secret) {
			t.Errorf("the log has %s: %s", secret, clipped)
		}
	}
}

// What a collector answers is not for the log: neither the headers that it was sent, nor a page of text.
func TestWhatACollectorAnswersIsNotLogged(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-more=key%20of-the-environment") // used where the settings give no headers
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-more=key%20of-the-environment")
	own := map[string]string{"Authorization": "Bearer s3cr3t", "X-Quoted": `quo"ted\\`}
	for name, tc := range map[string]struct {
		to   telemetry.OTLP
		want string
	}{
		"HTTP that refuses":             {telemetry.OTLP{Endpoint: echoing{answer: http.StatusForbidden}.serveHTTP(t), Headers: own}, "403 Forbidden"},
		"HTTP, the environment's":       {telemetry.OTLP{Endpoint: echoing{answer: http.StatusForbidden}.serveHTTP(t)}, "403 Forbidden"},
		"HTTP that is to be asked anew": {telemetry.OTLP{Endpoint: echoing{answer: http.StatusServiceUnavailable}.serveHTTP(t), Headers: own}, "retry-able request failure"},
		"HTTP that takes in a part":     {telemetry.OTLP{Endpoint: echoing{answer: http.StatusOK}.serveHTTP(t), Headers: own}, "OTLP partial success (7 "},
		"gRPC that refuses":             {telemetry.OTLP{Endpoint: echoing{code: codes.PermissionDenied}.serveGRPC(t), GRPC: true, Headers: own}, "code = PermissionDenied"},
		"gRPC, the environment's":       {telemetry.OTLP{Endpoint: echoing{code: codes.Unauthenticated}.serveGRPC(t), GRPC: true}, "code = Unauthenticated"},
	} {
		tc.to.Interval = time.Hour
		t.Run(name+", metrics", func(t *testing.T) {
			out := &log{}
			m := metersOf(t, telemetry.Settings{OTLP: &tc.to, Log: slog.New(slog.NewTextHandler(out, nil))}, sources())
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_ = m.Flush(ctx)
			wantHushed(t, out, tc.want)
		})
		t.Run(name+", traces", func(t *testing.T) {
			out := &log{}
			traces, err := telemetry.NewTraces(telemetry.TraceSettings{OTLP: tc.to, SampleRatio: 1, Log: slog.New(slog.NewTextHandler(out, nil))})
			if err != nil {
				t.Fatal(err)
			}
			_, span := traces.Tracer().Start(t.Context(), "span")
			span.End()
			traces.Close(t.Context())
			wantHushed(t, out, tc.want)
		})
	}
}

// What OpenTelemetry says by itself is told in the same way, and what is of use in it stays.
func TestErrorsOfOpenTelemetry(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b,x-more=key%20of-the-environment")
	headers := map[string]string{"Authorization": "Bearer s3cr3t", "X-Quoted": `quo"ted\\`, "X-Short": "4"}
	for name, tc := range map[string]struct {
		err  error
		want string // between quotes
	}{
		"an answer":           {errors.New("failed to send metrics to http://c:4318/v1/metrics: 403 Forbidden (body: Bearer s3cr3t)"), `"failed to send metrics to http://c:4318/v1/metrics: 403 Forbidden"`},
		"a value in between":  {errors.New("s3cr3t is no key for Bearer s3cr3t"), `"[redacted] is no key for [redacted]"`},
		"long":                {errors.New(strings.Repeat("y", 1022) + "s3cr3t" + strings.Repeat("z", pageful)), strings.Repeat("y", 1022) + `[r...`},
		"in a quotation":      {errors.New(`malformed HTTP response "quo\"ted\\\\"`), `malformed HTTP response`},
		"of the environment":  {errors.New("not of-the-environment"), `"not [redacted]"`},
		"gRPC's own words":    {errors.New("rpc error: code = Unavailable desc = no s3cr3t"), `code = Unavailable desc = no [redacted]"`},
		"a size":              {errors.New("request body too large: exceeded 9 bytes"), `"request body too large: exceeded 9 bytes"`},
		"nobody there":        {errors.New(`context deadline exceeded: rpc error: code = Unavailable desc = dial tcp 127.0.0.1:4317: connection refused`), `desc = dial tcp 127.0.0.1:4317: connection refused"`},
		"an end with reasons": {errors.New(`rpc error: code = Unavailable desc = closing: code: NO_ERROR, debug data: "Bearer s3cr3t"`), `closing: code: NO_ERROR,"`},
	} {
		t.Run(name, func(t *testing.T) {
			out := &log{}
			telemetry.HandleErrors(slog.New(slog.NewTextHandler(out, nil)), headers)
			defer telemetry.HandleErrors(slog.New(slog.NewTextHandler(os.Stderr, nil)), nil)
			otel.Handle(tc.err)
			wantHushed(t, out, tc.want)
		})
	}
}
