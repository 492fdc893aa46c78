package upstream_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// traced is a tracer whose spans can be looked at when they are over.
func traced(t testing.TB, o ...sdk.TracerProviderOption) (trace.Tracer, *tracetest.InMemoryExporter) {
	spans := tracetest.NewInMemoryExporter()
	p := sdk.NewTracerProvider(append(o, sdk.WithSyncer(spans))...)
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return p.Tracer("test"), spans
}

// attr is an attribute of a span as text; "" when it has none of that name.
func attr(s tracetest.SpanStub, key attribute.Key) string {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

const (
	theirParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	theirState  = "vendor=opaque"
)

// forward sends a request below a span, and returns that span's context with the answer.
func forward(t testing.TB, tracer trace.Tracer, c *upstream.Client, method, path string, h http.Header) (trace.SpanContext, *httptest.ResponseRecorder, error) {
	t.Helper()
	ctx, span := tracer.Start(t.Context(), "request")
	r := httptest.NewRequestWithContext(ctx, method, path, nil)
	for k, v := range h {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	err := c.Forward(w, r, vault.Identity{}, nil)
	span.End()
	return span.SpanContext(), w, err
}

// below are the spans of the client whose parent is the one of the request.
func below(t testing.TB, spans *tracetest.InMemoryExporter, parent trace.SpanContext) (all []tracetest.SpanStub) {
	t.Helper()
	for _, s := range spans.GetSpans() {
		if s.SpanKind != trace.SpanKindClient {
			continue
		}
		if s.Parent.SpanID() != parent.SpanID() || s.SpanContext.TraceID() != parent.TraceID() {
			t.Errorf("span %s is not a child of the request's", s.Name)
		}
		all = append(all, s)
	}
	return all
}

func TestEachTryIsASpanThatVaultIsToldOf(t *testing.T) {
	for name, tc := range map[string]struct {
		method   string
		statuses []int // what Vault answers, one after the other
		resends  []string
		errors   []string
	}{
		"an answer":             {"GET", []int{200}, []string{""}, []string{""}},
		"a refusal":             {"GET", []int{403}, []string{""}, []string{"403"}},
		"a method of Vault's":   {"LIST", []int{200}, []string{""}, []string{""}},
		"retried":               {"POST", []int{503, 503, 200}, []string{"", "1", "2"}, []string{"503", "503", ""}},
		"retried until the end": {"POST", []int{503, 503, 503}, []string{"", "1", "2"}, []string{"503", "503", "503"}},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var told []string
			back := serve(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(tc.statuses[len(told)])
				told = append(told, strings.Join(r.Header["Traceparent"], ",")+" "+strings.Join(r.Header["Tracestate"], ","))
			})
			tracer, spans := traced(t)
			c := newClient(t, upstream.Settings{Address: back.URL, NumRetries: 2, Tracer: tracer})
			parent, _, err := forward(t, tracer, c, tc.method, "/v1/db/creds/hvs.CAESsecret?list=x", http.Header{"Traceparent": {theirParent}, "Tracestate": {theirState}})
			if err != nil {
				t.Fatal(err)
			}
			got := below(t, spans, parent)
			if len(got) != len(tc.statuses) {
				t.Fatalf("%d spans, want one for each of %d tries", len(got), len(tc.statuses))
			}
			at, _ := url.Parse(back.URL)
			for i, s := range got {
				if want := fmt.Sprintf("00-%s-%s-01 ", s.SpanContext.TraceID(), s.SpanContext.SpanID()); told[i] != want {
					t.Errorf("try %d: Vault was told %q, want %q", i, told[i], want)
				}
				if s.Name != tc.method || attr(s, "http.request.method") != tc.method || attr(s, "http.request.resend_count") != tc.resends[i] {
					t.Errorf("try %d: %s %v", i, s.Name, s.Attributes)
				}
				if attr(s, "http.response.status_code") != fmt.Sprint(tc.statuses[i]) || attr(s, "error.type") != tc.errors[i] {
					t.Errorf("try %d: %v", i, s.Attributes)
				}
				if (s.Status.Code == codes.Error) != (tc.errors[i] != "") {
					t.Errorf("try %d: status %v", i, s.Status)
				}
				if attr(s, "server.address") != at.Hostname() || attr(s, "server.port") != at.Port() {
					t.Errorf("try %d: %v, want %s", i, s.Attributes, at.Host)
				}
				if text := fmt.Sprint(s); strings.Contains(text, "creds") || strings.Contains(text, "CAES") {
					t.Errorf("try %d tells the path: %s", i, text)
				}
			}
			all := spans.GetSpans()
			if request := all[len(all)-1]; len(request.Events) != len(tc.statuses)-1 {
				t.Errorf("%d events of waiting, want %d", len(request.Events), len(tc.statuses)-1)
			}
		})
	}
}

func TestASpanSaysWhyThereWasNoAnswer(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + dead.Addr().String()
	dead.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	gone := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for name, tc := range map[string]struct{ address, want string }{
		"nobody listens":        {nobody, "no_connection"},
		"a foreign certificate": {secure.URL, "tls"},
		"a broken connection":   {gone.URL, "_OTHER"},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, spans := traced(t)
			parent, _, err := forward(t, tracer, newClient(t, upstream.Settings{Address: tc.address, Tracer: tracer}), "POST", "/v1/kv/secret-name", nil)
			if err == nil {
				t.Fatal("an answer")
			}
			got := below(t, spans, parent)
			if len(got) != 1 || attr(got[0], "error.type") != tc.want || got[0].Status.Code != codes.Error || got[0].Status.Description != "" {
				t.Errorf("%+v", got)
			}
			if len(got[0].Events) > 0 { // an error's text may name the path
				t.Errorf("events %v", got[0].Events)
			}
		})
	}
}

// A method that a client has made up is no name of a span.
func TestStrangeMethodsShareASpanName(t *testing.T) {
	back := serve(t, func(http.ResponseWriter, *http.Request) {})
	tracer, spans := traced(t)
	parent, _, err := forward(t, tracer, newClient(t, upstream.Settings{Address: back.URL, Tracer: tracer}), "SECRET123", "/v1/x", nil)
	if got := below(t, spans, parent); err != nil || len(got) != 1 || got[0].Name != "HTTP" || attr(got[0], "http.request.method") != "_OTHER" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhatIsNotSampledIsPropagatedAsSuch(t *testing.T) {
	told := make(chan string, 1)
	back := serve(t, func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("Traceparent") })
	tracer, spans := traced(t, sdk.WithSampler(sdk.NeverSample()))
	parent, _, err := forward(t, tracer, newClient(t, upstream.Settings{Address: back.URL, Tracer: tracer}), "GET", "/v1/x", nil)
	if got := <-told; err != nil || !strings.HasPrefix(got, "00-"+parent.TraceID().String()) || !strings.HasSuffix(got, "-00") {
		t.Errorf("Vault was told %q, %v", got, err)
	}
	if got := spans.GetSpans(); len(got) != 0 {
		t.Errorf("%d spans", len(got))
	}
}

func TestWithoutTracesTheClientsHeadersPass(t *testing.T) {
	told := make(chan http.Header, 1)
	back := serve(t, func(_ http.ResponseWriter, r *http.Request) { told <- r.Header })
	tracer, spans := traced(t)
	for name, s := range map[string]upstream.Settings{"no tracer": {}, "no span": {Tracer: tracer}} {
		t.Run(name, func(t *testing.T) {
			s.Address = back.URL
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/x", nil)
			r.Header = http.Header{"Traceparent": {theirParent}, "Tracestate": {theirState}, "Baggage": {"a=b"}}
			if err := newClient(t, s).Forward(httptest.NewRecorder(), r, vault.Identity{}, nil); err != nil {
				t.Fatal(err)
			}
			got := <-told
			if got.Get("Traceparent") != theirParent || got.Get("Tracestate") != theirState || got.Get("Baggage") != "a=b" {
				t.Errorf("Vault was told %v", got)
			}
		})
	}
	if got := spans.GetSpans(); len(got) != 0 {
		t.Errorf("%d spans", len(got))
	}
}

// Each node that a request goes to has a span of its own, with the node's name.
func TestANodeThatIsLeftHasASpanOfItsOwn(t *testing.T) {
	sealed := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"errors":["Vault is sealed"]}`, http.StatusServiceUnavailable)
	})
	good := serve(t, func(http.ResponseWriter, *http.Request) {})
	tracer, spans := traced(t)
	c := newClient(t, upstream.Settings{Addresses: []string{sealed.URL, good.URL}, Tracer: tracer})
	parent, _, err := forward(t, tracer, c, "GET", "/v1/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, s := range below(t, spans, parent) {
		ports = append(ports, attr(s, "server.port")+" "+attr(s, "http.response.status_code"))
	}
	a, _ := url.Parse(sealed.URL)
	b, _ := url.Parse(good.URL)
	if want := []string{a.Port() + " 503", b.Port() + " 200"}; !slices.Equal(ports, want) {
		t.Errorf("spans of %v, want %v", ports, want)
	}
}

// What renews and logs in has spans of its own; theirs are the parents.
func TestRenewalsAndLoginsAreSpansToo(t *testing.T) {
	told := make(chan string, 1)
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		told <- r.Header.Get("Traceparent")
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"lease_duration":60,"renewable":true,"auth":{"client_token":"hvs.x","lease_duration":60}}`))
	})
	tracer, spans := traced(t)
	c := newClient(t, upstream.Settings{Address: back.URL, Tracer: tracer})
	for name, do := range map[string]func(context.Context) error{
		"renewal": func(ctx context.Context) error {
			_, err := c.RenewLease(ctx, "", vault.NewToken("hvs.app"), "db/creds/app/1")
			return err
		},
		"login": func(ctx context.Context) error {
			client, err := c.API()
			if err == nil {
				_, err = client.Logical().WriteWithContext(ctx, "auth/approle/login", map[string]any{"role_id": "r"})
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			spans.Reset()
			ctx, span := tracer.Start(t.Context(), name)
			err := do(ctx)
			span.End()
			got := below(t, spans, span.SpanContext())
			if err != nil || len(got) != 1 {
				t.Fatalf("%d spans, %v", len(got), err)
			}
			if want := fmt.Sprintf("00-%s-%s-01", span.SpanContext().TraceID(), got[0].SpanContext.SpanID()); <-told != want {
				t.Error("Vault was told of another span")
			}
		})
	}
}
