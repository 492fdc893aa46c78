package telemetry_test

import (
	"compress/gzip"
	"context"
	"encoding/pem"
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

	metrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"leasehold/internal/telemetry"
)

// sink is a collector that takes in metrics as OTLP has them, over HTTP and gRPC.
type sink struct {
	metrics.UnimplementedMetricsServiceServer
	mu     sync.Mutex
	points map[string]int64 // of counters without labels
	names  map[string]bool
	host   bool   // the resource names the service and the host
	auth   string // of the last export
	path   string
	refuse int // status over HTTP; 0 means none
}

func (s *sink) take(in *metrics.ExportMetricsServiceRequest, auth, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auth, s.path, s.points, s.names = auth, path, map[string]int64{}, map[string]bool{}
	for _, r := range in.ResourceMetrics {
		about := map[string]string{}
		for _, kv := range r.Resource.Attributes {
			about[kv.Key] = kv.Value.GetStringValue()
		}
		s.host = about["service.name"] == "leasehold" && about["host.name"] != "" && about["service.version"] == "1.2.3"
		for _, scope := range r.ScopeMetrics {
			for _, m := range scope.Metrics {
				s.names[m.Name] = true
				if p := m.GetSum().GetDataPoints(); len(p) == 1 {
					s.points[m.Name] = p[0].GetAsInt()
				}
			}
		}
	}
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	if refuse != 0 {
		http.Error(w, "no", refuse)
		return
	}
	var from io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		from, _ = gzip.NewReader(r.Body)
	}
	body, _ := io.ReadAll(from)
	var in metrics.ExportMetricsServiceRequest
	if err := proto.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.take(&in, r.Header.Get("Authorization"), r.URL.Path)
}

func (s *sink) Export(ctx context.Context, in *metrics.ExportMetricsServiceRequest) (*metrics.ExportMetricsServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	s.take(in, strings.Join(headers["authorization"], ","), "")
	return &metrics.ExportMetricsServiceResponse{}, nil
}

// serveGRPC serves s until the test ends, and returns where.
func (s *sink) serveGRPC(t *testing.T, options ...grpc.ServerOption) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	metrics.RegisterMetricsServiceServer(server, s)
	ended := make(chan error)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() { server.Stop(); <-ended })
	return ln.Addr().String()
}

func TestMetricsReachTheCollector(t *testing.T) {
	s := &sink{}
	plain, secure := httptest.NewServer(s), httptest.NewTLSServer(s)
	defer plain.Close()
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		to   telemetry.OTLP
		path string
		env  string // OTEL_EXPORTER_OTLP_ENDPOINT
	}{
		"HTTP":                 {telemetry.OTLP{Endpoint: plain.URL}, "/v1/metrics", ""},
		"HTTP below a path":    {telemetry.OTLP{Endpoint: plain.URL + "/otlp/"}, "/otlp/v1/metrics", ""},
		"HTTPS":                {telemetry.OTLP{Endpoint: secure.URL, CACert: ca}, "/v1/metrics", ""},
		"by the environment":   {telemetry.OTLP{}, "/v1/metrics", plain.URL},
		"gRPC":                 {telemetry.OTLP{Endpoint: "http://" + s.serveGRPC(t), GRPC: true}, "", ""},
		"gRPC over TLS":        {telemetry.OTLP{Endpoint: "https://" + s.serveGRPC(t, grpc.Creds(credentials.NewServerTLSFromCert(&secure.TLS.Certificates[0]))), GRPC: true, CACert: ca}, "", ""},
		"gRPC, by environment": {telemetry.OTLP{GRPC: true}, "", "http://" + s.serveGRPC(t)},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.env != "" {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", tc.env)
			}
			s.mu.Lock()
			s.points, s.names, s.auth, s.path = nil, nil, "", ""
			s.mu.Unlock()
			out := &log{}
			tc.to.Headers, tc.to.Interval = map[string]string{"Authorization": "Bearer hush"}, time.Hour
			m := metersOf(t, telemetry.Settings{Version: "1.2.3", OTLP: &tc.to, Log: slog.New(slog.NewTextHandler(out, nil))}, sources())
			m.Hit()
			m.Hit()
			if err := m.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.points["vault.proxy.cache.hit"] != 2 || !s.names["leasehold.leases"] || !s.host || s.auth != "Bearer hush" || s.path != tc.path || out.String() != "" {
				t.Errorf("hits %d, of leases %t, resource %t, authorization %q, path %q, log %q", s.points["vault.proxy.cache.hit"], s.names["leasehold.leases"], s.host, s.auth, s.path, out)
			}
		})
	}
}

// A collector that fails is a line of the log, without the headers, and nothing else.
func TestACollectorThatFails(t *testing.T) {
	s := &sink{refuse: http.StatusForbidden}
	server := httptest.NewServer(s)
	defer server.Close()
	out := &log{}
	m := metersOf(t, telemetry.Settings{
		OTLP: &telemetry.OTLP{Endpoint: server.URL, Headers: map[string]string{"Authorization": "Bearer hush"}, Interval: time.Hour}, Log: slog.New(slog.NewTextHandler(out, nil)),
	}, sources())
	for range 3 {
		if err := m.Flush(t.Context()); err != nil {
			t.Fatalf("Flush = %v", err)
		}
	}
	if got := out.String(); strings.Count(got, "not delivered") != 1 || !strings.Contains(got, "403") || strings.Contains(got, "hush") {
		t.Errorf("log: %s", got)
	}
	s.mu.Lock()
	s.refuse = 0
	s.mu.Unlock()
	_ = m.Flush(t.Context())
	if got := out.String(); strings.Count(got, "delivered again") != 1 || !strings.Contains(got, "failed=3") {
		t.Errorf("log: %s", got)
	}
}

func TestACollectorThatCannotBeUsed(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		to   telemetry.OTLP
		want string
	}{
		"no CA file":            {telemetry.OTLP{Endpoint: "https://c", CACert: none}, "telemetry.otlp.ca_cert: open " + none},
		"a CA file of nothing":  {telemetry.OTLP{Endpoint: "https://c", CACert: empty}, "holds no certificate; give a PEM file of CAs"},
		"no CA file, with gRPC": {telemetry.OTLP{Endpoint: "https://c", CACert: none, GRPC: true}, "telemetry.otlp.ca_cert: open " + none},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.to.Check(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Check = %v", err)
			}
			if _, err := telemetry.New(telemetry.Settings{OTLP: &tc.to}, sources()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("New = %v", err)
			}
		})
	}
	if err := (telemetry.OTLP{Endpoint: "http://c"}).Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
}
