package router_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/api"
	"leasehold/internal/router"
	"leasehold/internal/vault"
)

const (
	theirTrace  = "0af7651916cd43dd8448eb211c80319c"
	theirSpan   = "b7ad6b7169203331"
	theirParent = "00-" + theirTrace + "-" + theirSpan + "-01"
	unsampled   = "00-" + theirTrace + "-" + theirSpan + "-00"
)

func tracer(t testing.TB, o ...sdk.TracerProviderOption) (trace.Tracer, *tracetest.InMemoryExporter) {
	spans := tracetest.NewInMemoryExporter()
	p := sdk.NewTracerProvider(append(o, sdk.WithSyncer(spans))...)
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return p.Tracer("test"), spans
}

// attributes are those of a span, as text.
func attributes(s tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, kv := range s.Attributes {
		all[string(kv.Key)] = kv.Value.String()
	}
	return all
}

// traced serves r by a router with a tracer, and h in the cache's stead.
func traced(t *testing.T, opt router.Options, h http.Handler, r *http.Request, o ...sdk.TracerProviderOption) tracetest.SpanStubs {
	t.Helper()
	tr, spans := tracer(t, o...)
	routes := router.New(router.Parts{
		Answer: answering{h}, Tokens: fakeTokens{token: vault.NewToken(autoToken)}, Vault: "https://vault.test", Metrics: http.NotFoundHandler(), Quit: func() {},
		Failed: func(*http.Request, int, error) {}, Log: slog.New(slog.DiscardHandler), Tracer: tr,
		Ready: func() api.Readiness { return api.Readiness{} },
	}, opt)
	func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		routes.ServeHTTP(httptest.NewRecorder(), r)
	}()
	return spans.GetSpans()
}

func TestTheSpanOfARequestTellsWhatBecameOfIt(t *testing.T) {
	say := func(status int, how, why string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if how != "" {
				w.Header()["X-Cache"] = []string{how}
			}
			if why != "" {
				w.Header()["X-Cache-Reason"] = []string{why}
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "hvs.secret-in-the-body")
		}
	}
	for name, tc := range map[string]struct {
		opt            router.Options
		handler        http.HandlerFunc
		method, target string
		fields         []string
		name           string
		want           map[string]string
		failed         bool
	}{
		"hit": {
			opt: router.Options{TokenUse: router.Force}, handler: say(200, "HIT", ""), target: "/v1/db/creds/secret-id",
			name: "GET lease", want: map[string]string{"http.response.status_code": "200", "leasehold.cache.outcome": "HIT", "leasehold.token.lent": "true"},
		},
		"miss with a reason": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.(asker).Asked(200, 3, time.Second)
				say(200, "MISS", "the lease is not renewable")(w, r)
			}, target: "/v1/secret/data/secret-id?x=secret-id",
			name: "GET kv", want: map[string]string{"leasehold.cache.outcome": "MISS", "leasehold.cache.reason": "the lease is not renewable",
				"leasehold.upstream.tries": "3", "leasehold.upstream.status": "200", "leasehold.token.lent": "false"},
		},
		"Vault's refusal is no error of ours": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.(asker).Asked(403, 1, 0); say(403, "", "")(w, r) },
			name:    "GET lease", want: map[string]string{"http.response.status_code": "403", "leasehold.cache.outcome": "", "error.type": ""},
		},
		"a fault": {handler: say(502, "", ""), name: "GET lease", want: map[string]string{"http.response.status_code": "502", "error.type": "502"}, failed: true},
		"aborted": {
			handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			name:    "GET lease", want: map[string]string{"error.type": "aborted", "http.response.status_code": ""}, failed: true,
		},
		"denied": {
			opt:  router.Options{Rights: router.Rights{Rules: []router.AccessRule{{Path: "db/*", Deny: true}}}},
			name: "GET lease", want: map[string]string{"http.response.status_code": "403", "leasehold.denied": "rule 1 of this listener of Leasehold denies this"},
		},
		"a login with a name in its path": {handler: say(200, "MISS", ""), method: "POST", target: "/v1/auth/ldap/login/secret-id", name: "POST login"},
		"a token in the path":             {handler: say(200, "BYPASS", ""), target: "/v1/auth/token/lookup/secret-id", fields: []string{"X-Vault-Token", "secret-id"}, name: "GET lookup"},
		"a method of Vault's":             {handler: say(200, "BYPASS", ""), method: "LIST", target: "/v1/sys/leases/lookup/secret-id", name: "LIST lookup"},
		"a method that is made up":        {handler: say(200, "", ""), method: "SECRET-ID", target: "/v1/x", name: "HTTP other", want: map[string]string{"http.request.method": "_OTHER"}},
	} {
		t.Run(name, func(t *testing.T) {
			method, target := "GET", "/v1/db/creds/secret-id"
			if tc.method != "" {
				method = tc.method
			}
			if tc.target != "" {
				target = tc.target
			}
			all := traced(t, tc.opt, tc.handler, newRequest(method, target, "", tc.fields...))
			if len(all) != 1 {
				t.Fatalf("%d spans, want 1", len(all))
			}
			s, got := all[0], attributes(all[0])
			if s.Name != tc.name || s.SpanKind != trace.SpanKindServer || s.Parent.IsValid() {
				t.Errorf("name %q, kind %v, parent %v; want %q", s.Name, s.SpanKind, s.Parent, tc.name)
			}
			for k, v := range tc.want {
				if got[k] != v {
					t.Errorf("%s = %q, want %q", k, got[k], v)
				}
			}
			if failed := s.Status.Code == codes.Error; failed != tc.failed || s.Status.Description != "" {
				t.Errorf("status %+v", s.Status)
			}
			if got["client.address"] != "192.0.2.1" {
				t.Errorf("client.address = %q", got["client.address"])
			}
			if text := strings.ToLower(fmt.Sprintf("%+v", s)); strings.Contains(text, "secret-id") || strings.Contains(text, "hvs.") {
				t.Errorf("a secret is in the span: %s", text)
			}
		})
	}
}

func TestOurOwnEndpointsHaveNoSpans(t *testing.T) {
	for _, path := range []string{"/proxy/v1/metrics", "/agent/v1/readyz", "/proxy/v1/nothing"} {
		if all := traced(t, router.Options{}, http.NotFoundHandler(), newRequest("GET", path, "")); len(all) != 0 {
			t.Errorf("%s: %d spans", path, len(all))
		}
	}
}

func TestTheClientsTraceGoesOnIfItIsTrusted(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	never := sdk.WithSampler(sdk.ParentBased(sdk.NeverSample()))
	for name, tc := range map[string]struct {
		trust   bool
		parent  string
		more    string // another Traceparent
		sampler []sdk.TracerProviderOption
		spans   int
		theirs  bool // the span is in the client's trace
		linked  bool
	}{
		"trusted":                          {trust: true, parent: theirParent, spans: 1, theirs: true},
		"its client decides: sampled":      {trust: true, parent: theirParent, sampler: []sdk.TracerProviderOption{never}, spans: 1, theirs: true},
		"its client decides: not":          {trust: true, parent: unsampled, spans: 0},
		"not trusted":                      {parent: theirParent, spans: 1, linked: true},
		"not trusted, and not sampled":     {parent: theirParent, sampler: []sdk.TracerProviderOption{never}, spans: 0},
		"not trusted, whatever it decides": {parent: unsampled, spans: 1, linked: true},
		"none":                             {trust: true, spans: 1},
		"broken":                           {trust: true, parent: "00-7-7-01", spans: 1},
		"two of them":                      {trust: true, parent: theirParent, more: unsampled, spans: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var fields []string
			if tc.parent != "" {
				fields = []string{"Traceparent", tc.parent, "Tracestate", "vendor=x"}
			}
			r := newRequest("GET", "/v1/db/creds/app", "", fields...)
			if tc.more != "" {
				r.Header.Add("Traceparent", tc.more)
			}
			o := append([]sdk.TracerProviderOption{sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample()))}, tc.sampler...)
			all := traced(t, router.Options{TrustParent: tc.trust}, ok, r, o...)
			if len(all) != tc.spans {
				t.Fatalf("%d spans, want %d", len(all), tc.spans)
			}
			if tc.spans == 0 {
				return
			}
			s := all[0]
			if got := s.SpanContext.TraceID().String() == theirTrace; got != tc.theirs || s.Parent.IsValid() != tc.theirs {
				t.Errorf("in the client's trace: %v, parent %v", got, s.Parent)
			}
			if linked := len(s.Links) == 1 && s.Links[0].SpanContext.SpanID().String() == theirSpan; linked != tc.linked {
				t.Errorf("links %v", s.Links)
			}
		})
	}
}

// What comes later finds the span in the request's context; so does whoever is told of the request.
func TestTheSpanIsInTheContext(t *testing.T) {
	tr, spans := tracer(t)
	var inside trace.SpanContext
	var told trace.SpanContext
	h := router.New(router.Parts{
		Answer: answering{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = trace.SpanContextFromContext(r.Context()) })},
		Log:    slog.New(slog.DiscardHandler), Metrics: http.NotFoundHandler(), Tracer: tr, Seen: func(x *router.Exchange) { told = trace.SpanContextFromContext(x.Request.Context()) },
	}, router.Options{})
	h.ServeHTTP(httptest.NewRecorder(), newRequest("GET", "/v1/db/creds/app", ""))
	if got := spans.GetSpans(); len(got) != 1 || got[0].SpanContext.SpanID() != inside.SpanID() || got[0].SpanContext.SpanID() != told.SpanID() {
		t.Errorf("spans %v, in the context %v, told of %v", got, inside, told)
	}
}

// Without a tracer nothing is in the context, nothing costs an allocation, and nothing happens to the client's header.
func TestWithoutATracer(t *testing.T) {
	var got *http.Request
	h := router.New(router.Parts{
		Answer: answering{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })},
		Log:    slog.New(slog.DiscardHandler), Metrics: http.NotFoundHandler(), Seen: func(*router.Exchange) {},
	}, router.Options{TrustParent: true})
	h.ServeHTTP(httptest.NewRecorder(), newRequest("GET", "/v1/db/creds/app", "", "Traceparent", theirParent))
	if trace.SpanContextFromContext(got.Context()).IsValid() || got.Header.Get("Traceparent") != theirParent {
		t.Errorf("context %v, header %v", got.Context(), got.Header)
	}
	tr, _ := tracer(t, sdk.WithSampler(sdk.NeverSample()))
	r := newRequest("GET", "/v1/db/creds/app", "", "X-Vault-Request", "true")
	allocs := func(tr trace.Tracer) float64 {
		h := productionTraced(func(*router.Exchange) {}, tr)
		return testing.AllocsPerRun(1000, func() { h.ServeHTTP(nopWriter{}, r) })
	}
	off, on := allocs(nil), allocs(tr)
	if off > routeAllocs || off >= on { // the second is what shows that the first can be wrong
		t.Errorf("allocations = %v without a tracer, %v with one; want at most %d, and fewer", off, on, routeAllocs)
	}
}

func BenchmarkTraces(b *testing.B) {
	sampled, _ := tracer(b, sdk.WithSampler(sdk.AlwaysSample()))
	not, _ := tracer(b, sdk.WithSampler(sdk.NeverSample()))
	for _, tc := range []struct {
		name   string
		tracer trace.Tracer
	}{{"off", nil}, {"not sampled", not}, {"sampled", sampled}} {
		b.Run(tc.name, func(b *testing.B) {
			h := productionTraced(func(*router.Exchange) {}, tc.tracer)
			r := newRequest("GET", "/v1/db/creds/app", "", "X-Vault-Request", "true")
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nopWriter{}, r)
			}
		})
	}
}
