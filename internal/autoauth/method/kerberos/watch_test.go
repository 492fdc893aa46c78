package kerberos_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"leasehold/internal/autoauth/method/kerberos"
)

// loggedIn is a method that has logged in with the first version of the principal's key.
func loggedIn(t *testing.T) (m *kerberos.Method, keytabPath string) {
	t.Helper()
	k := startKDC(t, "app", aes256)
	kt, conf := files(t, newKeytab(t, "app", password, 3, aes256), k.address)
	m = kerberos.New(kerberos.Principal{Username: "app", Realm: realm, Keytab: kt}, service, conf, kerberos.Options{})
	if !m.Differs() {
		t.Error("before the first login there is no new keytab")
	}
	if _, err := m.Login(context.Background(), newClient(t, &recorder{})); err != nil {
		t.Fatal(err)
	}
	return m, kt
}

// replace puts other content at path in one step.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	next := filepath.Join(filepath.Dir(path), "next")
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func marshal(t *testing.T, kt *keytab.Keytab) []byte {
	t.Helper()
	b, err := kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsANewKeytab(t *testing.T) {
	fresh := marshal(t, newKeytab(t, "app", password, 4, aes256))
	both := newKeytab(t, "other", password, 1, aes256)
	both.Entries = append(both.Entries, newKeytab(t, "app", password, 3, aes256).Entries...)
	for name, tc := range map[string]struct {
		content func(old []byte) []byte
		want    bool
	}{
		"the same":           {func(old []byte) []byte { return old }, false},
		"an empty one":       {func([]byte) []byte { return nil }, false},
		"half of a new one":  {func([]byte) []byte { return fresh[:len(fresh)/2] }, false},
		"one of others":      {func([]byte) []byte { return marshal(t, newKeytab(t, "other", password, 1, aes256)) }, false},
		"a new one":          {func([]byte) []byte { return fresh }, true},
		"one with more keys": {func([]byte) []byte { return marshal(t, both) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, path := loggedIn(t)
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			replace(t, path, tc.content(old))
			if got := m.Differs(); got != tc.want {
				t.Errorf("Differs = %t, want %t", got, tc.want)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		m, path := loggedIn(t)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if m.Differs() {
			t.Error("a missing keytab is no new one")
		}
	})
}

func TestWatchTellsOfANewKeytab(t *testing.T) {
	m, path := loggedIn(t)
	ctx, cancel := context.WithCancel(context.Background())
	told, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func() {
			select {
			case told <- struct{}{}:
			default:
			}
		})
	}()
	replace(t, path, marshal(t, newKeytab(t, "app", password, 4, aes256)))
	select {
	case <-told:
	case <-time.After(15 * time.Second):
		t.Error("a new keytab was not noticed")
	}
	cancel()
	<-ended
}
