package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"leasehold/internal/telemetry"
)

// collector takes in spans as OTLP has them.
type collector struct {
	collect.UnimplementedTraceServiceServer
	mu       sync.Mutex
	spans    []*wire.Span
	resource map[string]string
	auth     []string // authorization of each export
	answer   int      // status over HTTP; 0 means 200
}

func (c *collector) take(in *collect.ExportTraceServiceRequest, auth string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auth = append(c.auth, auth)
	for _, r := range in.ResourceSpans {
		c.resource = map[string]string{}
		for _, kv := range r.Resource.Attributes {
			c.resource[kv.Key] = kv.Value.GetStringValue()
		}
		for _, s := range r.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
}

func (c *collector) names() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		all = append(all, s.Name)
	}
	return all
}

// ServeHTTP takes in spans over HTTP.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var in collect.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &in); err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "no spans", http.StatusBadRequest)
		return
	}
	if c.answer != 0 {
		w.WriteHeader(c.answer)
		return
	}
	c.take(&in, r.Header.Get("Authorization"))
}

// Export takes in spans over gRPC.
func (c *collector) Export(ctx context.Context, in *collect.ExportTraceServiceRequest) (*collect.ExportTraceServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	c.take(in, strings.Join(headers["authorization"], ","))
	return &collect.ExportTraceServiceResponse{}, nil
}

// log is a log that may be read while it is written.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestSpansReachTheCollector(t *testing.T) {
	c := &collector{}
	plain := httptest.NewServer(c)
	defer plain.Close()
	secure := httptest.NewTLSServer(c)
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collect.RegisterTraceServiceServer(server, c)
	ended := make(chan error)
	go func() { ended <- server.Serve(ln) }()
	defer func() { server.Stop(); <-ended }()

	for name, o := range map[string]telemetry.OTLP{
		"HTTP":  {Endpoint: plain.URL},
		"HTTPS": {Endpoint: secure.URL + "/", CACert: ca},
		"gRPC":  {Endpoint: "http://" + ln.Addr().String(), GRPC: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.mu.Lock()
			c.spans, c.auth = nil, nil
			c.mu.Unlock()
			o.Headers = map[string]string{"Authorization": "Bearer hush"}
			out := &log{}
			traces, err := telemetry.NewTraces(telemetry.TraceSettings{OTLP: o, SampleRatio: 1, Version: "1.2.3", Log: slog.New(slog.NewTextHandler(out, nil))})
			if err != nil {
				t.Fatal(err)
			}
			ctx, parent := traces.Tracer().Start(t.Context(), "parent")
			_, child := traces.Tracer().Start(ctx, "child")
			child.End()
			parent.End()
			traces.Close(t.Context()) // sends what is left
			if got := c.names(); len(got) != 2 || got[0] != "child" || got[1] != "parent" {
				t.Fatalf("spans %v, want child and parent; log: %s", got, out)
			}
			if !bytes.Equal(c.spans[0].ParentSpanId, c.spans[1].SpanId) || !bytes.Equal(c.spans[0].TraceId, c.spans[1].TraceId) {
				t.Error("the child is not the parent's")
			}
			if c.auth[0] != "Bearer hush" || c.resource["service.name"] != "leasehold" || c.resource["service.version"] != "1.2.3" {
				t.Errorf("authorization %q, resource %v", c.auth[0], c.resource)
			}
			if out.String() != "" {
				t.Errorf("log: %s", out)
			}
		})
	}
}

// What a client decides stands, whatever the ratio.
func TestSampling(t *testing.T) {
	theirs := func(flags oteltrace.TraceFlags) context.Context {
		return oteltrace.ContextWithRemoteSpanContext(t.Context(), oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
			TraceID: oteltrace.TraceID{1}, SpanID: oteltrace.SpanID{1}, TraceFlags: flags, Remote: true,
		}))
	}
	for name, tc := range map[string]struct {
		ratio  float64
		parent context.Context
		want   bool
	}{
		"all":                         {1, t.Context(), true},
		"none":                        {0, t.Context(), false},
		"all, and its parent is":      {1, theirs(oteltrace.FlagsSampled), true},
		"all, and its parent is not":  {1, theirs(0), false},
		"none, and its parent is":     {0, theirs(oteltrace.FlagsSampled), true},
		"none, and its parent is not": {0, theirs(0), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &collector{}
			s := httptest.NewServer(c)
			defer s.Close()
			traces, err := telemetry.NewTraces(telemetry.TraceSettings{OTLP: telemetry.OTLP{Endpoint: s.URL}, SampleRatio: tc.ratio, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			_, span := traces.Tracer().Start(tc.parent, "span")
			span.End()
			traces.Close(t.Context())
			if got := len(c.names()) == 1; got != tc.want {
				t.Errorf("recorded: %v, want %v", got, tc.want)
			}
		})
	}
}

// A collector that fails is told of once, and shows no secret; nobody who makes spans notices.
func TestACollectorThatFailsIsToldOf(t *testing.T) {
	for name, answer := range map[string]int{"refuses": http.StatusUnauthorized, "is broken": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(&collector{answer: answer})
			defer s.Close()
			out := &log{}
			traces, err := telemetry.NewTraces(telemetry.TraceSettings{
				OTLP:        telemetry.OTLP{Endpoint: s.URL, Headers: map[string]string{"Authorization": "Bearer hush"}},
				SampleRatio: 1, Log: slog.New(slog.NewTextHandler(out, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2000 { // several batches
				_, span := traces.Tracer().Start(t.Context(), "span")
				span.End()
			}
			traces.Close(t.Context())
			if got := strings.Count(out.String(), "level=WARN"); got < 1 || got > 2 || !strings.Contains(out.String(), fmt.Sprint(answer)) || strings.Contains(out.String(), "hush") {
				t.Errorf("%d warnings, want one a minute, with the status: %s", got, out)
			}
		})
	}
}

// The end does not wait for a collector that does not answer.
func TestTheEndWaitsForNoCollector(t *testing.T) {
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done(): // the export was given up
		}
	}))
	defer s.Close()
	defer close(release)
	out := &log{}
	traces, err := telemetry.NewTraces(telemetry.TraceSettings{OTLP: telemetry.OTLP{Endpoint: s.URL}, SampleRatio: 1, Log: slog.New(slog.NewTextHandler(out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	_, span := traces.Tracer().Start(t.Context(), "span")
	span.End()
	closed := make(chan struct{})
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	go func() { traces.Close(ctx); close(closed) }()
	<-arrived
	giveUp()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("Close still waits")
	}
	if !strings.Contains(out.String(), "the last spans were not delivered") || strings.Count(out.String(), "level=WARN") != 1 {
		t.Errorf("log: %s", out)
	}
}

func TestTracesNeedACollectorThatCanBe(t *testing.T) {
	for name, o := range map[string]telemetry.OTLP{
		"no CA file": {Endpoint: "https://c:4318", CACert: filepath.Join(t.TempDir(), "none.pem")},
		"no URL":     {Endpoint: "http://[hush"},
	} {
		if _, err := telemetry.NewTraces(telemetry.TraceSettings{OTLP: o}); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLogsOfATraceHaveItsID(t *testing.T) {
	id := oteltrace.TraceID{0xab, 15: 0xcd}
	ctx := oteltrace.ContextWithSpanContext(t.Context(), oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: id, SpanID: oteltrace.SpanID{1}}))
	for _, format := range []string{"standard", "json", "logfmt"} {
		t.Run(format, func(t *testing.T) {
			out := &log{}
			l := telemetry.NewLogger(out, slog.LevelInfo, format).With(slog.String("part", "x"))
			l.InfoContext(ctx, "with")
			l.InfoContext(t.Context(), "without")
			l.Info("without")
			l.WithGroup("g").InfoContext(ctx, "with")
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if len(lines) != 4 {
				t.Fatalf("%d lines: %s", len(lines), out)
			}
			for i, line := range lines {
				if got := strings.Contains(line, id.String()); got != (i == 0 || i == 3) {
					t.Errorf("line %q has the trace id: %v", line, got)
				}
				if !strings.Contains(line, "part") {
					t.Errorf("line %q has lost an attribute", line)
				}
			}
			if format == "json" {
				var line struct {
					TraceID string `json:"trace_id"`
				}
				if err := json.Unmarshal([]byte(lines[0]), &line); err != nil || line.TraceID != id.String() {
					t.Errorf("trace_id = %q, %v", line.TraceID, err)
				}
			}
		})
	}
}
