package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"

	"leasehold/internal/telemetry"
	"leasehold/internal/vault"
)

func TestRingKeepsTheLastWarningsAndErrors(t *testing.T) {
	var out bytes.Buffer
	ring := telemetry.NewRing(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	log := slog.New(ring)
	if got := ring.Last(); len(got) != 0 {
		t.Errorf("a new ring has %v", got)
	}
	log.Info("said")
	log.Warn("first")
	for i := range 54 {
		log.Error("one", slog.Int("n", i))
	}
	last := ring.Last()
	if len(last) != 50 || last[0].Details["n"] != "4" || last[49].Details["n"] != "53" || last[0].Level != slog.LevelError || last[0].At.IsZero() || last[0].Message != "one" {
		t.Errorf("kept: %d, the first %+v", len(last), last[0])
	}
	if n := strings.Count(out.String(), "\n"); n != 56 {
		t.Errorf("%d lines were written, want all", n)
	}
}

func TestRingKeepsTexts(t *testing.T) {
	var out bytes.Buffer
	ring := telemetry.NewRing(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}))
	token := vault.NewToken("hvs.secret")
	slog.New(ring).With("auto_auth", "app").WithGroup("vault").With(slog.Group("at", slog.String("host", "h"))).Warn("failed",
		slog.Any("error", fmt.Errorf("login: %w", errors.New("refused"))), slog.Any("token", token), slog.Any("identity", vault.Identity{Token: token}),
		slog.String("long", strings.Repeat("x", 5000)), slog.Group("", slog.Int("inline", 1)))
	if out.Len() != 0 {
		t.Errorf("what is below the level of the log was written: %s", out.String())
	}
	got := ring.Last()[0]
	want := map[string]string{
		"auto_auth": "app", "vault.at.host": "h", "vault.error": "login: refused", "vault.token": "[redacted]", "vault.inline": "1",
		"vault.long": strings.Repeat("x", 1024) + "...", "vault.identity": got.Details["vault.identity"],
	}
	if !maps.Equal(got.Details, want) {
		t.Errorf("kept: %v", got.Details)
	}
	if strings.Contains(fmt.Sprint(got), "hvs.secret") {
		t.Errorf("a token is in %v", got)
	}
}

func TestRingOfMany(t *testing.T) {
	ring := telemetry.NewRing(slog.DiscardHandler)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			log := slog.New(ring).With("who", "me")
			for range 200 {
				log.Warn("said")
				if n := len(ring.Last()); n == 0 || n > 50 {
					t.Errorf("%d are kept", n)
				}
			}
		})
	}
	all.Wait()
}
