package approle_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"leasehold/internal/autoauth/method/approle"
)

// told runs Watch, lets change act, and returns when there is a notice.
func told(t *testing.T, m *approle.Method, change func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	notice, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func() {
			select {
			case notice <- struct{}{}:
			default:
			}
		})
	}()
	change()
	select {
	case <-notice:
	case <-time.After(15 * time.Second):
		t.Error("new credentials were not noticed")
	}
	cancel()
	<-ended
}

func TestWatchTellsOfEachFile(t *testing.T) {
	roleID, secretID := files(t)
	m := approle.New(roleID, slog.New(slog.DiscardHandler), approle.Options{SecretIDFile: secretID})
	v := &recorder{}
	for _, c := range []struct{ file, content, want string }{
		{roleID, "role-2", `{"role_id":"role-2","secret_id":"secret-1"}`},
		{secretID, "secret-2", `{"role_id":"role-2","secret_id":"secret-2"}`},
	} {
		if _, err := m.Login(context.Background(), client(t, v)); err != nil {
			t.Fatal(err)
		}
		told(t, m, func() { put(t, c.file, c.content) })
		if _, err := m.Login(context.Background(), client(t, v)); err != nil || v.body != c.want {
			t.Errorf("sent %s (%v), want %s", v.body, err, c.want)
		}
	}
}

func TestWatchTellsOfAWrappingTokenAndOfARoleIDAlone(t *testing.T) {
	m, file := wrappedMethod(t, io.Discard, true)
	put(t, file, "wt1")
	v := &wrapper{madeAt: map[string]string{"wt1": wrappingPath, "wt2": wrappingPath}}
	if err := login(t, m, v); err != nil {
		t.Fatal(err)
	}
	told(t, m, func() { put(t, file, "wt2") })

	roleID, _ := files(t)
	alone := approle.New(roleID, slog.New(slog.DiscardHandler), approle.Options{})
	if _, err := alone.Login(context.Background(), client(t, &recorder{})); err != nil {
		t.Fatal(err)
	}
	told(t, alone, func() { put(t, roleID, "role-2") })
}
