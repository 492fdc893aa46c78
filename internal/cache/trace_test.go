package cache_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// traced is a fixture whose spans can be looked at when they are over.
func traced(t *testing.T, s script, rules ...lease.Rule) (*fixture, trace.Tracer, *tracetest.InMemoryExporter) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(spans))
	tracer := provider.Tracer("test")
	f := &fixture{t: t, vault: &fakeVault{script: s}, index: lease.NewIndex(lease.Options{Rules: rules}), tokens: &fakeTokens{}, meter: &counts{}}
	f.index.Hold("", injected.Token, "accessor.auto-auth", "", time.Time{})
	var err error
	if f.Cache, err = cache.New(f.index, f.vault, f.tokens, f.meter, cache.Options{Tracer: tracer}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f, tracer, spans
}

// named are the spans of a name.
func named(spans *tracetest.InMemoryExporter, name string) (all []tracetest.SpanStub) {
	for _, s := range spans.GetSpans() {
		if s.Name == name {
			all = append(all, s)
		}
	}
	return all
}

// attr is an attribute of a span as text; "" when it has none of that name.
func attr(s tracetest.SpanStub, key string) string {
	for _, kv := range s.Attributes {
		if string(kv.Key) == key {
			return kv.Value.String()
		}
	}
	return ""
}

func TestWhoWaitsNamesTheSpanThatItWaitsFor(t *testing.T) {
	for name, tc := range map[string]struct {
		answer script
		shared string
	}{
		"shared":     {leases(), "true"},
		"not shared": {always(http.StatusOK, kvBody), "false"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked sync.Map // span of the request → whether it reached Vault
				f, tracer, spans := traced(t, slowly(func(r *http.Request) (*http.Response, error) {
					asked.Store(trace.SpanContextFromContext(r.Context()).SpanID(), true)
					return tc.answer(r)
				}))
				var leader trace.SpanContext
				requests := map[trace.SpanID]bool{}
				var wg sync.WaitGroup
				for i := range 3 {
					ctx, span := tracer.Start(t.Context(), "request")
					if i == 0 {
						leader = span.SpanContext()
					}
					requests[span.SpanContext().SpanID()] = true
					wg.Go(func() {
						defer span.End()
						if err := f.Answer(httptest.NewRecorder(), newRequest(ctx, "GET", "/v1/db/creds/app", ""), injected); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait() // the first one leads
				}
				wg.Wait()
				waits := named(spans, "wait for the same request")
				if len(waits) != 2 {
					t.Fatalf("%d spans of waiting, want 2", len(waits))
				}
				for _, s := range waits {
					if len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != leader.SpanID() || s.Links[0].SpanContext.TraceID() != leader.TraceID() {
						t.Errorf("links %v, want the leader's span", s.Links)
					}
					if !requests[s.Parent.SpanID()] || s.Parent.SpanID() == leader.SpanID() {
						t.Error("the parent is not the request that waited")
					}
					if got := attr(s, "leasehold.cache.shared"); got != tc.shared {
						t.Errorf("shared = %q, want %s", got, tc.shared)
					}
					if took := s.EndTime.Sub(s.StartTime); took != time.Second {
						t.Errorf("it took %v, want the second until the answer", took)
					}
				}
				if _, ok := asked.Load(leader.SpanID()); !ok {
					t.Error("the leader's request to Vault is not part of its span")
				}
			})
		})
	}
}

func TestAWaitEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, tracer, spans := traced(t, slowly(leases()))
		first := f.begin("/v1/db/creds/app")
		ctx, leave := context.WithCancel(t.Context())
		ctx, span := tracer.Start(ctx, "request")
		done := make(chan error)
		go func() {
			done <- f.Answer(httptest.NewRecorder(), newRequest(ctx, "GET", "/v1/db/creds/app", ""), injected)
		}()
		synctest.Wait()
		leave()
		if <-done == nil {
			t.Error("an answer for a client that left")
		}
		span.End()
		if got := named(spans, "wait for the same request"); len(got) != 1 || attr(got[0], "leasehold.cache.shared") != "" {
			t.Errorf("spans of waiting: %v", got)
		}
		<-first.done
	})
}

// A hit is the router's span and nothing more.
func TestAHitHasNoSpanHere(t *testing.T) {
	f, _, spans := traced(t, leases())
	f.get("/v1/db/creds/app")
	spans.Reset()
	wantCache(t, f.get("/v1/db/creds/app"), "HIT")
	if got := spans.GetSpans(); len(got) != 0 {
		t.Errorf("%d spans", len(got))
	}
}

// The token is part of the key, whom a trace belongs to is not.
func TestATraceIsNoPartOfTheKey(t *testing.T) {
	f, _, _ := traced(t, leases())
	f.get("/v1/db/creds/app")
	w := f.do(injected, "GET", "/v1/db/creds/app", "", with{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, with{"Tracestate", "a=b"})
	wantCache(t, w, "HIT")
}

func TestTheNextTokenIsAnEvent(t *testing.T) {
	f, tracer, spans := traced(t, func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("X-Vault-Token") == autoToken {
			return reply(http.StatusForbidden, goneBody), nil
		}
		return leases()(r)
	})
	f.tokens.next = vault.NewToken("hvs.next")
	ctx, span := tracer.Start(t.Context(), "request")
	if err := f.Answer(httptest.NewRecorder(), newRequest(ctx, "GET", "/v1/db/creds/app", ""), injected); err != nil {
		t.Fatal(err)
	}
	span.End()
	got := named(spans, "request")
	if len(got) != 1 || len(got[0].Events) != 1 || !strings.Contains(got[0].Events[0].Name, "next auto-auth token") {
		t.Errorf("%+v", got)
	}
}

// Nobody asks for a refresh, so that it begins a trace; what goes to Vault is part of it.
func TestARefreshIsATraceOfItsOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		answer  func() (*http.Response, error)
		outcome string
		code    codes.Code
	}{
		"replaced":     {nil, "MISS", codes.Unset},
		"no answer":    {func() (*http.Response, error) { return nil, errLost }, "STALE", codes.Unset},
		"broken off":   {func() (*http.Response, error) { return broken(`{"errors":[`, "application/json"), nil }, "STALE", codes.Unset},
		"broken later": {func() (*http.Response, error) { return broken("PEM", "text/plain"), nil }, "MISS", codes.Error},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fail atomic.Value
				var below trace.SpanContext
				vaultsAnswer := fixed(&fail)
				calls := 0
				f, _, spans := traced(t, func(r *http.Request) (*http.Response, error) {
					if calls++; calls == 2 {
						below = trace.SpanContextFromContext(r.Context())
						if tc.answer != nil {
							return tc.answer()
						}
					}
					return vaultsAnswer(r)
				}, dueRule(true)...)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() {
					done <- lease.NewClock(f.index, renewing{}, discardLog, lease.ClockOptions{Refresh: f.Refresh}).Run(ctx)
				}()
				defer func() { stop(); <-done }()
				f.get("/v1/db/creds/app")
				f.get("/v1/db/creds/app")
				time.Sleep(31 * time.Minute)
				synctest.Wait()
				got := named(spans, "refresh ahead")
				if len(got) != 1 {
					t.Fatalf("%d refreshes, want 1", len(got))
				}
				if s := got[0]; s.Parent.IsValid() || attr(s, "leasehold.cache.outcome") != tc.outcome || s.Status.Code != tc.code || s.Status.Description != "" {
					t.Errorf("%+v", s)
				}
				if below.SpanID() != got[0].SpanContext.SpanID() {
					t.Error("the request to Vault is not part of the refresh")
				}
			})
		})
	}
}
