package kubernetes_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/method/kubernetes"
)

// standIn answers every request with a token, or with the status, and keeps the last request.
type standIn struct {
	status     int // 0: 200
	path, body string
}

func (v *standIn) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body, _ := io.ReadAll(r.Body)
	v.path, v.body = r.Method+" "+r.URL.Path, string(body)
	status, answer := v.status, `{"errors":["permission denied"]}`
	if status == 0 {
		status, answer = 200, `{"auth":{"client_token":"hvs.1"}}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func client(t *testing.T, rt http.RoundTripper) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

var discard = slog.New(slog.DiscardHandler)

func TestWhatIsSent(t *testing.T) {
	for name, tc := range map[string]struct{ mount, path string }{
		"default mount": {"", "PUT /v1/auth/kubernetes/login"},
		"other mount":   {"auth/clusters/eu-1", "PUT /v1/auth/clusters/eu-1/login"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "token")
			put(t, file, " eyJ.e30.sig\n")
			v := &standIn{}
			m := kubernetes.New("app", discard, kubernetes.Options{MountPath: tc.mount, TokenFile: file})
			secret, err := m.Login(context.Background(), client(t, v))
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			if v.path != tc.path || v.body != `{"jwt":"eyJ.e30.sig","role":"app"}` {
				t.Errorf("sent %s %s", v.path, v.body)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("the token is not ours to remove: %v", err)
			}
		})
	}
}

func TestTheTokenIsReadAtEveryLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	m, v := kubernetes.New("app", discard, kubernetes.Options{TokenFile: file}), &standIn{}
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { put(t, file, "first") }, "first"},
		{func() { put(t, file, "second") }, "second"},
		{func() { put(t, file, "") }, "second"},
		{func() { _ = os.Remove(file) }, "second"},
	} {
		step.do()
		if _, err := m.Login(context.Background(), client(t, v)); err != nil || v.body != `{"jwt":"`+step.want+`","role":"app"}` {
			t.Errorf("sent %s (%v), want %s", v.body, err, step.want)
		}
	}
}

func TestOutsideOfAPod(t *testing.T) {
	if _, err := os.Stat(kubernetes.DefaultTokenFile); err == nil {
		t.Skip("this is a pod")
	}
	v := &standIn{}
	_, err := kubernetes.New("app", discard, kubernetes.Options{}).Login(context.Background(), client(t, v))
	if err == nil || !strings.Contains(err.Error(), kubernetes.DefaultTokenFile) || !strings.HasSuffix(err.Error(), "or set token_path") {
		t.Errorf("Login = %v", err)
	}
	if v.path != "" {
		t.Errorf("sent %s for all that", v.path)
	}
}

func TestRefusalsAndTheEndOfTheContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	put(t, file, "eyJ")
	m := kubernetes.New("app", discard, kubernetes.Options{TokenFile: file})
	for status, remedy := range map[int]string{
		400: `make the role "app" at auth/kubernetes`,
		403: `the role "app" takes this service account`,
		404: "mounted there in this namespace of Vault",
	} {
		_, err := m.Login(context.Background(), client(t, &standIn{status: status}))
		if refusal, ok := errors.AsType[*api.ResponseError](err); !ok || refusal.StatusCode != status || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("Login = %v, want Vault's %d", err, status)
		}
		if got := m.Remedy(status); !strings.Contains(got, remedy) {
			t.Errorf("Remedy(%d) = %s", status, got)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Login(ctx, client(t, &standIn{})); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "eyJ") {
		t.Errorf("Login = %v, want that it was cancelled", err)
	}
}

// The kubelet replaces a projected token by letting the link ..data lead to another directory.
func TestWatchTellsOfAProjectedToken(t *testing.T) {
	volume := t.TempDir()
	project := func(version, token string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(volume, "..v"+version), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(volume, "..v"+version, "token"), token)
		if err := os.Symlink("..v"+version, filepath.Join(volume, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	project("1", "first")
	file := filepath.Join(volume, "token")
	if err := os.Symlink("..data/token", file); err != nil {
		t.Fatal(err)
	}
	m, v := kubernetes.New("app", discard, kubernetes.Options{TokenFile: file}), &standIn{}
	if _, err := m.Login(context.Background(), client(t, v)); err != nil {
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
	project("2", "second")
	select {
	case <-told:
	case <-time.After(15 * time.Second):
		t.Error("a new token was not noticed")
	}
	cancel()
	<-ended
	if _, err := m.Login(context.Background(), client(t, v)); err != nil || !strings.Contains(v.body, "second") {
		t.Errorf("sent %s (%v)", v.body, err)
	}
}
