package e2e

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes in spans and metrics as OTLP over HTTP has them, from whoever brings its key.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	spans   []*wire.Span
	metrics int             // exports
	text    strings.Builder // all that came, for a search of secrets
}

const collectorKey = "Bearer key-of-the-collector"

func startCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var in collect.ExportTraceServiceRequest
		var measured collectmetrics.ExportMetricsServiceRequest
		isSpans, isMetrics := r.URL.Path == "/v1/traces" && proto.Unmarshal(body, &in) == nil, r.URL.Path == "/v1/metrics" && proto.Unmarshal(body, &measured) == nil
		if err != nil || !isSpans && !isMetrics || r.Header.Get("Authorization") != collectorKey {
			http.Error(w, "neither spans nor metrics", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		fmt.Fprintf(&c.text, "%v\n%v\n%s\n", &in, &measured, body)
		if isMetrics {
			c.metrics++
		}
		for _, r := range in.ResourceSpans {
			for _, s := range r.ScopeSpans {
				c.spans = append(c.spans, s.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	remember(collectorKey)
	return c
}

// stanza sends traces to the collector, and nothing else.
func (c *collector) stanza(more string) string {
	return fmt.Sprintf("telemetry {\n  otlp {\n    endpoint = %q\n    headers  = { Authorization = %q }\n    metrics  = false\n  }\n  traces { %s }\n}\n", c.URL, collectorKey, more)
}

// got is all that came.
func (c *collector) got() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// find returns the spans of a name, and of a trace if that is given.
func (c *collector) find(name, traceID string) (all []*wire.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name && (traceID == "" || hex.EncodeToString(s.TraceId) == traceID) {
			all = append(all, s)
		}
	}
	return all
}

// below returns the spans whose parent s is.
func (c *collector) below(s *wire.Span) (all []*wire.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, child := range c.spans {
		if string(child.ParentSpanId) == string(s.SpanId) {
			all = append(all, child)
		}
	}
	return all
}

// attribute is one of a span as text; "" when it has none of that name.
func attribute(s *wire.Span, key string) string {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			if text, ok := kv.Value.Value.(interface{ GetStringValue() string }); ok {
				return text.GetStringValue()
			}
			if text := kv.Value.GetStringValue(); text != "" {
				return text
			}
			return fmt.Sprint(kv.Value.GetIntValue())
		}
	}
	return ""
}

// door stands in front of the shared Vault and notes the traceparent of each request by its path.
type door struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string][]string
}

func startDoor(t *testing.T) *door {
	at, err := url.Parse(shared.Address)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{seen: map[string][]string{}}
	vault := httputil.NewSingleHostReverseProxy(at)
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.seen[r.URL.Path] = append(d.seen[r.URL.Path], strings.TrimSpace(r.Header.Get("Traceparent")+" "+r.Header.Get("Tracestate")))
		d.mu.Unlock()
		vault.ServeHTTP(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

// at is what came with the requests for a path.
func (d *door) at(path string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.seen[path]...)
}

const (
	clientTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan   = "00f067aa0ba902b7"
	clientParent = "00-" + clientTrace + "-" + clientSpan + "-01"
)

// A client's trace is seen from its span down to the request at Vault's door; what Leasehold does by itself has traces of its own.
func TestATraceLeadsFromTheClientToVault(t *testing.T) {
	c, d := startCollector(t), startDoor(t)
	startCaching(t) // makes the policy
	p := startProxy(t, caching(d.URL, newAppRole(t, shared, "e2e-caching"))+c.stanza(""))
	const path = "/v1/leaser/creds/traced-by-name"
	traced := []string{"Traceparent: " + clientParent, "Tracestate: vendor=opaque"}
	for _, want := range []string{"MISS", "HIT"} {
		if got := p.do(t, "GET", path+"?ttl=4", "", traced...).Header.Get("X-Cache"); got != want {
			t.Fatalf("X-Cache = %q, want %s", got, want)
		}
	}
	p.do(t, "GET", "/proxy/v1/metrics", "")
	eventually(t, "the lease is renewed", func() bool { return len(d.at("/v1/sys/leases/renew")) > 0 })
	p.stop(t) // sends what is left

	servers := c.find("GET lease", clientTrace)
	if len(servers) != 2 {
		t.Fatalf("%d spans of requests in the client's trace, want 2", len(servers))
	}
	for i, want := range []struct {
		outcome string
		below   int
	}{{"MISS", 1}, {"HIT", 0}} {
		s := servers[i]
		if hex.EncodeToString(s.ParentSpanId) != clientSpan || s.Kind != wire.Span_SPAN_KIND_SERVER {
			t.Errorf("%s: parent %x, kind %v", want.outcome, s.ParentSpanId, s.Kind)
		}
		if got := attribute(s, "leasehold.cache.outcome"); got != want.outcome || len(c.below(s)) != want.below {
			t.Errorf("outcome %s with %d spans below it, want %s with %d", got, len(c.below(s)), want.outcome, want.below)
		}
	}
	c.wantAtDoor(t, d, servers[0], path, " vendor=opaque")
	for name, path := range map[string]string{"log in": "/v1/auth/approle/login", "renew lease": "/v1/sys/leases/renew", "look up auto-auth token": "/v1/auth/token/lookup-self"} {
		all := c.find(name, "")
		if len(all) == 0 {
			t.Errorf("no span %q", name)
			continue
		}
		if len(all[0].ParentSpanId) != 0 {
			t.Errorf("%s has a parent", name)
		}
		c.wantAtDoor(t, d, all[0], path, "")
	}
	if own := c.find("GET own", ""); len(own) != 0 {
		t.Errorf("%d spans of scrapes", len(own))
	}
	text := c.got()
	for _, s := range seenIn(text) {
		t.Errorf("a secret is in a span: the one that begins %.8q", s)
	}
	if strings.Contains(text, "traced-by-name") || strings.Contains(text, "creds") {
		t.Error("a path is in a span")
	}
}

// wantAtDoor checks that the first request for a path came with the only span below parent.
func (c *collector) wantAtDoor(t *testing.T, d *door, parent *wire.Span, path, state string) {
	t.Helper()
	all := c.below(parent)
	if len(all) != 1 || all[0].Kind != wire.Span_SPAN_KIND_CLIENT {
		t.Errorf("%s: %d spans below it, want one of a client", parent.Name, len(all))
		return
	}
	want := fmt.Sprintf("00-%x-%x-01%s", parent.TraceId, all[0].SpanId, state)
	if came := d.at(path); len(came) == 0 || came[0] != want {
		t.Errorf("%s came with %q, want %q", path, came, want)
	}
}

// Without a traces block a client's trace is between the client and Vault.
func TestWithoutTracesTheClientsHeadersReachVault(t *testing.T) {
	d := startDoor(t)
	p := startProxy(t, vaultStanza(d.URL)+listenerStanza(), tellOwn)
	p.do(t, "GET", "/v1/sys/health", "", "Traceparent: "+clientParent, "Tracestate: vendor=opaque")
	if got := d.at("/v1/sys/health"); len(got) != 1 || got[0] != clientParent+" vendor=opaque" {
		t.Errorf("Vault was told %q", got)
	}
}

// A collector that is away is told of, and is nothing that a client or the end would wait for.
func TestACollectorThatIsAwayHarmsNothing(t *testing.T) {
	p := startProxy(t, vaultStanza(shared.Address)+listenerStanza()+
		"telemetry {\n otlp {\n endpoint = \"http://127.0.0.1:1\"\n metrics = false\n }\n traces {}\n}\n")
	for range 3 {
		if a := p.do(t, "GET", "/v1/sys/health", ""); a.Status != http.StatusOK {
			t.Fatalf("answer = %d", a.Status)
		}
	}
	p.stop(t)
	if got := strings.Count(p.log.String(), "not delivered"); got != 1 {
		t.Errorf("%d lines tell of it, want 1", got)
	}
}

// What is logged about a request names its trace.
func TestTheLogNamesTheTrace(t *testing.T) {
	c := startCollector(t)
	p := startProxy(t, vaultStanza("http://127.0.0.1:1")+listenerStanza()+c.stanza(""), env("VAULT_LOG_LEVEL=debug", "VAULT_MAX_RETRIES=0"))
	if a := p.do(t, "GET", "/v1/secret/data/app", "", "Traceparent: "+clientParent); a.Status != http.StatusBadGateway {
		t.Errorf("answer = %d", a.Status)
	}
	p.waitLog(t, "trace_id="+clientTrace)
}
