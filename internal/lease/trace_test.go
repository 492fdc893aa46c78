package lease_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

func TestEachRenewalIsATraceOfItsOwn(t *testing.T) {
	gone := fmt.Errorf("renew: %w", vault.ErrTokenGone)
	for name, tc := range map[string]struct {
		path, body string
		err        error
		span       string
		outcome    string
		ttl        string
		code       codes.Code
	}{
		"lease":              {"db/creds/app", leaseAnswer("db/creds/app/secret-id", 3600), nil, "renew lease", "renewed", "3600", codes.Unset},
		"token":              {"auth/app/login", tokenAnswer("hvs.secret-id", "acc.secret-id", true, 3600), nil, "renew token", "renewed", "3600", codes.Unset},
		"refused":            {"db/creds/app", leaseAnswer("db/creds/app/secret-id", 3600), errRefused, "renew lease", "refused", "", codes.Unset},
		"the token is gone":  {"db/creds/app", leaseAnswer("db/creds/app/secret-id", 3600), gone, "renew lease", "token_gone", "", codes.Unset},
		"Vault is not there": {"db/creds/app", leaseAnswer("db/creds/app/secret-id", 3600), fmt.Errorf("renew secret-id: %w", errDown), "renew lease", "failed", "", codes.Error},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				spans := tracetest.NewInMemoryExporter()
				tracer := sdk.NewTracerProvider(sdk.WithSyncer(spans)).Tracer("test")
				var below atomic.Pointer[trace.SpanContext]
				f := &fakeVault{answer: func(ctx context.Context, _ renewal) (vault.Grant, error) {
					at := trace.SpanContextFromContext(ctx)
					below.CompareAndSwap(nil, &at)
					return vault.Grant{TTL: time.Hour, Renewable: true}, tc.err
				}}
				x := lease.NewIndex(lease.Options{})
				x.Hold("", app, "acc-app", "", time.Time{})
				ended := make(chan error)
				ctx, stop := context.WithCancel(t.Context())
				go func() {
					ended <- lease.NewClock(x, f, slog.New(slog.DiscardHandler), lease.ClockOptions{Tracer: tracer}).Run(ctx)
				}()
				defer func() { stop(); <-ended }()
				mustKeep(t, x, tc.path, app, tc.body, time.Now())
				for len(f.renewals()) == 0 {
					sleep(time.Minute)
				}
				got := spans.GetSpans()
				if len(got) == 0 {
					t.Fatal("no span")
				}
				s, attributes := got[0], map[string]string{}
				for _, kv := range s.Attributes {
					attributes[string(kv.Key)] = kv.Value.String()
				}
				if s.Name != tc.span || s.Parent.IsValid() || s.Status.Code != tc.code || s.Status.Description != "" {
					t.Errorf("span %q, parent %v, status %v", s.Name, s.Parent, s.Status)
				}
				if attributes["leasehold.renewal.outcome"] != tc.outcome || attributes["leasehold.renewal.ttl"] != tc.ttl {
					t.Errorf("attributes %v, want %s and %s", attributes, tc.outcome, tc.ttl)
				}
				if below.Load().SpanID() != s.SpanContext.SpanID() {
					t.Error("the request to Vault is not part of the renewal")
				}
				if text := fmt.Sprintf("%+v", s); strings.Contains(text, "secret-id") {
					t.Errorf("a span names what it renews: %s", text)
				}
			})
		})
	}
}
