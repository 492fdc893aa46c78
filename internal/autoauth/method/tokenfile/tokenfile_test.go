package tokenfile_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/method/tokenfile"
)

// lookups answers every request as Vault answers a lookup, and keeps what was asked.
type lookups []string

func (v *lookups) RoundTrip(r *http.Request) (*http.Response, error) {
	token := r.Header.Get("X-Vault-Token")
	*v = append(*v, r.Method+" "+r.URL.Path+" "+token)
	answer := `{"data":{"id":"` + token + `","ttl":60}}`
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func TestTheFilesTokenIsLookedUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	m := tokenfile.New(path, slog.New(slog.DiscardHandler))
	v := &lookups{}
	login := func() error {
		c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: v}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Login(context.Background(), c)
		return err
	}
	if err := login(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Login without a file = %v, want an error that names it", err)
	}
	for _, content := range []string{"hvs.a\n", "hvs.b", ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := login(); err != nil {
			t.Errorf("Login: %v", err)
		}
	}
	const get = "GET /v1/auth/token/lookup-self "
	if got, want := strings.Join(*v, ","), get+"hvs.a,"+get+"hvs.b,"+get+"hvs.b"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file was removed: %v", err)
	}
	if !strings.Contains(m.Remedy(403), path) {
		t.Error(m.Remedy(403))
	}
}

func TestAFileThatIsNoTokenIsNotShown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("hvs.one\nhvs.two"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := &lookups{}
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: v}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokenfile.New(path, slog.New(slog.DiscardHandler)).Login(context.Background(), c); err == nil || strings.Contains(err.Error(), "hvs.") {
		t.Errorf("Login = %v, want an error without the content", err)
	}
	if len(*v) > 0 {
		t.Errorf("asked %q", *v)
	}
}

func TestWatchTellsOfANewToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("hvs.first"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := tokenfile.New(path, slog.New(slog.DiscardHandler))
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: &lookups{}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Login(context.Background(), c); err != nil {
		t.Fatal(err)
	}
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
	if err := os.WriteFile(path, []byte("hvs.a"), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-told:
	case <-time.After(15 * time.Second):
		t.Error("a new token was not noticed")
	}
	cancel()
	<-ended
}
