package lease_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// revoker remembers what it was asked to revoke, as "token" or "token lease", and fails as it is told.
type revoker struct {
	fails map[string]error
	takes time.Duration

	mu    sync.Mutex
	asked []string
}

func (r *revoker) RevokeSelf(ctx context.Context, _ vault.Namespace, t vault.Token) error {
	return r.revoke(ctx, t.Reveal())
}

func (r *revoker) RevokeLease(ctx context.Context, _ vault.Namespace, t vault.Token, id vault.LeaseID) error {
	return r.revoke(ctx, t.Reveal()+" "+string(id))
}

func (r *revoker) revoke(ctx context.Context, what string) error {
	r.mu.Lock()
	r.asked = append(r.asked, what)
	r.mu.Unlock()
	select {
	case <-time.After(r.takes):
		return r.fails[what]
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestRevokeAll(t *testing.T) {
	no := errors.New("permission denied")
	for name, c := range map[string]struct {
		withAuto bool
		fails    map[string]error
		asked    string
		revoked  int
		named    string // in the log
		left     int    // entries
	}{
		"with the auto-auth token":       {withAuto: true, asked: "hvs.app,hvs.login", revoked: 5},
		"without it":                     {asked: "hvs.app a/1,hvs.child,hvs.login", revoked: 5},
		"the auto-auth token is refused": {withAuto: true, fails: map[string]error{"hvs.app": no}, asked: "hvs.app,hvs.app a/1,hvs.child,hvs.login", revoked: 5, named: "acc-app"},
		"a login is refused":             {withAuto: true, fails: map[string]error{"hvs.login": no}, asked: "hvs.app,hvs.login,hvs.login b/1", revoked: 4, named: "acc-login", left: 1},
		"a lease is refused":             {fails: map[string]error{"hvs.app a/1": no}, asked: "hvs.app a/1,hvs.child,hvs.login", revoked: 4, named: "a/1", left: 1},
		"tokens are gone": {withAuto: true, fails: map[string]error{"hvs.app": vault.ErrTokenGone, "hvs.login": fmt.Errorf("x: %w", vault.ErrTokenGone)},
			asked: "hvs.app,hvs.login", revoked: 5},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			x.Hold("", app, "acc-app", "", time.Time{})
			mustKeep(t, x, "a", app, leaseAnswer("a/1", 3600), noon)
			mustKeep(t, x, "auth/token/create", app, tokenAnswer("hvs.child", "acc-child", false, 3600), noon)
			mustKeep(t, x, "c", vault.NewToken("hvs.child"), leaseAnswer("c/1", 3600), noon)
			mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc-login", true, 3600), noon)
			mustKeep(t, x, "b", vault.NewToken("hvs.login"), leaseAnswer("b/1", 3600), noon)
			r := &revoker{fails: c.fails}
			var log bytes.Buffer
			revoked, failed := x.RevokeAll(t.Context(), r, slog.New(slog.NewTextHandler(&log, nil)), func(vault.AutoAuthName) bool { return c.withAuto })
			slices.Sort(r.asked)
			if got := strings.Join(r.asked, ","); got != c.asked {
				t.Errorf("asked for %s, want %s", got, c.asked)
			}
			entries, _, _ := x.Stats()
			if revoked != c.revoked || entries != c.left || (failed == 1) != (c.named != "") {
				t.Errorf("%d revoked, %d failed, %d left; want %d revoked and %d left", revoked, failed, entries, c.revoked, c.left)
			}
			if !strings.Contains(log.String(), c.named) || (c.named == "") != (log.Len() == 0) || strings.Contains(log.String(), "hvs.") {
				t.Errorf("the log names %s", log.String())
			}
			if err := x.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each login says for itself whether its token may be revoked; one that two hold is revoked when both say so.
func TestRevokeAllOfSeveralLogins(t *testing.T) {
	for name, c := range map[string]struct{ own, asked string }{
		"of none":  {"", "hvs.app a/1,hvs.both b/1"},
		"of one":   {"one", "hvs.app,hvs.both b/1"},
		"of two":   {"one two", "hvs.app,hvs.both b/1"},
		"of three": {"one two three", "hvs.app,hvs.both"},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			both := vault.NewToken("hvs.both")
			x.Hold("one", app, "", "", time.Time{})
			x.Hold("two", both, "", "", time.Time{})
			x.Hold("three", both, "", "", time.Time{})
			mustKeep(t, x, "a", app, leaseAnswer("a/1", 3600), noon)
			mustKeep(t, x, "b", both, leaseAnswer("b/1", 3600), noon)
			r := &revoker{}
			revoked, failed := x.RevokeAll(t.Context(), r, slog.New(slog.DiscardHandler), func(name vault.AutoAuthName) bool {
				return slices.Contains(strings.Fields(c.own), string(name))
			})
			slices.Sort(r.asked)
			if got := strings.Join(r.asked, ","); got != c.asked || revoked != 2 || failed != 0 {
				t.Errorf("asked for %s, want %s; %d revoked, %d failed", got, c.asked, revoked, failed)
			}
			if err := x.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The time that is left is kept, with 16 at a time, and all that could not be done in it is named.
func TestRevokeAllEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := lease.NewIndex(lease.Options{})
		x.Hold("", app, "acc-app", "", time.Time{})
		for i := range 1000 {
			mustKeep(t, x, fmt.Sprint("a", i), app, leaseAnswer(fmt.Sprintf("a%d/1", i), 3600), time.Now())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10500*time.Millisecond)
		defer cancel()
		var log bytes.Buffer
		begun := time.Now()
		revoked, failed := x.RevokeAll(ctx, &revoker{takes: time.Second}, slog.New(slog.NewTextHandler(&log, nil)), func(vault.AutoAuthName) bool { return false })
		if took := time.Since(begun); took != 10500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if revoked != 160 || failed != 840 || strings.Count(log.String(), "lease not revoked") != 840 {
			t.Errorf("%d revoked, %d failed", revoked, failed)
		}
	})
}
