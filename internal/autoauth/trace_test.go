package autoauth_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/autoauth"
	"leasehold/internal/vault"
)

// spanOf notes in which span each request reaches Vault.
type spanOf struct {
	http.RoundTripper
	mu   sync.Mutex
	seen map[string]trace.SpanID // by path
}

func (s *spanOf) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.seen[strings.TrimPrefix(r.URL.Path, "/v1/")] = trace.SpanContextFromContext(r.Context()).SpanID()
	s.mu.Unlock()
	return s.RoundTripper.RoundTrip(r)
}

func TestWhatTheManagerDoesIsTraced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		tracer := sdk.NewTracerProvider(sdk.WithSyncer(spans)).Tracer("test")
		v := &fakeVault{ttl: time.Hour, renewable: true, onLogin: func(n int) *reply {
			switch n {
			case 1:
				return refused(400, "invalid secret-id")
			case 2:
				return unreachable()
			}
			return nil
		}}
		sink := &fakeSink{fail: func(n int) bool { return n == 1 }}
		at := &spanOf{RoundTripper: v, seen: map[string]trace.SpanID{}}
		config := v.client(t).CloneConfig()
		config.HttpClient = &http.Client{Transport: at}
		client, err := api.NewClient(config)
		if err != nil {
			t.Fatal(err)
		}
		m := autoauth.NewManager(client, method{}, slog.New(slog.DiscardHandler), autoauth.Options{Tracer: tracer, Name: "blue", Sinks: []autoauth.Sink{sink}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(50 * time.Minute) // it was renewed after two thirds
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}

		got := map[string]int{}
		for _, s := range spans.GetSpans() {
			attributes := map[string]string{}
			for _, kv := range s.Attributes {
				attributes[string(kv.Key)] = kv.Value.String()
			}
			got[strings.TrimSpace(s.Name+" "+attributes["error.type"])]++
			if s.Parent.IsValid() {
				t.Errorf("%s has a parent", s.Name)
			}
			if want := map[bool]string{true: "", false: "blue"}[s.Name == "write sink"]; attributes["leasehold.auto_auth"] != want {
				t.Errorf("%s: login %q, want %q", s.Name, attributes["leasehold.auto_auth"], want)
			}
			if s.Name == "write sink" && attributes["leasehold.sink"] != "fake" {
				t.Errorf("sink %q", attributes["leasehold.sink"])
			}
			if failed := s.Status.Code == codes.Error; failed != (attributes["error.type"] != "") || s.Status.Description != "" {
				t.Errorf("%s: status %v", s.Name, s.Status)
			}
			if text := fmt.Sprintf("%+v", s); strings.Contains(text, "secret-id") || strings.Contains(text, "hvs.") {
				t.Errorf("a secret is in a span: %s", text)
			}
			for path, name := range map[string]string{loginPath: "log in", renewPath: "renew auto-auth token", lookupPath: "look up auto-auth token"} {
				if at.seen[path] == s.SpanContext.SpanID() && s.Name != name {
					t.Errorf("the request to %s is part of %s", path, s.Name)
				}
			}
		}
		for _, path := range []string{loginPath, renewPath, lookupPath} {
			if !at.seen[path].IsValid() {
				t.Errorf("the request to %s is part of no span", path)
			}
		}
		want := map[string]int{"log in 400": 1, "log in _OTHER": 1, "log in": 1, "look up auto-auth token": 1, "renew auto-auth token": 1, "write sink _OTHER": 1, "write sink": 1}
		if !maps.Equal(got, want) {
			t.Errorf("spans %v, want %v", got, want)
		}
	})
}

func TestTheLookupOfALastRunsTokenIsTraced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		v := &fakeVault{ttl: time.Hour, renewable: true, onLookup: func(n int) *reply {
			if n == 1 {
				return refused(503, "Vault is sealed")
			}
			return nil
		}}
		r := run(t, v, method{}, autoauth.Options{
			Tracer: sdk.NewTracerProvider(sdk.WithSyncer(spans)).Tracer("test"),
			Resume: autoauth.Resumed{Token: vault.NewToken("hvs.0"), Accessor: "acc.0", Expires: time.Now().Add(time.Hour)},
		})
		time.Sleep(10 * time.Minute)
		r.stop()
		synctest.Wait()
		var codesSeen []codes.Code
		for _, s := range spans.GetSpans() {
			if s.Name == "look up auto-auth token" {
				codesSeen = append(codesSeen, s.Status.Code)
			}
		}
		if len(codesSeen) != 2 || codesSeen[0] != codes.Error || codesSeen[1] != codes.Unset {
			t.Errorf("lookups %v, want one that failed and one that did not", codesSeen)
		}
	})
}
