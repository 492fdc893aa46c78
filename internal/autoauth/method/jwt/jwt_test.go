package jwt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/method/jwt"
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
	status, answer := v.status, `{"errors":["error validating token"]}`
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
	for name, tc := range map[string]struct{ mount, role, file, path, jwt string }{
		"default mount":       {"", "app", "eyJ.e30.sig", "PUT /v1/auth/jwt/login", "eyJ.e30.sig"},
		"white space around":  {"", "app", " \teyJ.e30.sig\r\n\n", "PUT /v1/auth/jwt/login", "eyJ.e30.sig"},
		"other mount":         {"auth/ci/gitlab", "app", "eyJ.e30.sig", "PUT /v1/auth/ci/gitlab/login", "eyJ.e30.sig"},
		"role to be escaped":  {"", `a "b"`, "eyJ.e30.sig", "PUT /v1/auth/jwt/login", "eyJ.e30.sig"},
		"no JWT, for a fault": {"", "app", `{"a":1}`, "PUT /v1/auth/jwt/login", `{"a":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "jwt")
			put(t, file, tc.file)
			v := &standIn{}
			secret, err := jwt.New(tc.role, file, discard, jwt.Options{MountPath: tc.mount}).Login(context.Background(), client(t, v))
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			var body map[string]string
			if err := json.Unmarshal([]byte(v.body), &body); err != nil || !maps.Equal(body, map[string]string{"role": tc.role, "jwt": tc.jwt}) || v.path != tc.path {
				t.Errorf("sent %s %s (%v)", v.path, v.body, err)
			}
		})
	}
}

func TestTheFileIsReadAtEveryLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jwt")
	var log bytes.Buffer
	m, v := jwt.New("app", file, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), jwt.Options{}), &standIn{}
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { put(t, file, "first") }, "first"},
		{func() {}, "first"},
		{func() { put(t, file, "second") }, "second"},
		{func() { put(t, file, "\n") }, "second"},
	} {
		step.do()
		if _, err := m.Login(context.Background(), client(t, v)); err != nil || v.body != `{"jwt":"`+step.want+`","role":"app"}` {
			t.Errorf("sent %s (%v), want %s", v.body, err, step.want)
		}
		if b, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(b)) != "" {
			t.Error("the JWT stays on disk")
		}
	}
	if s := log.String(); strings.Contains(s, "first") || strings.Contains(s, "second") || !strings.Contains(s, "the file is empty") {
		t.Errorf("log: %s", s)
	}
}

func TestWhichFileIsRemoved(t *testing.T) {
	for name, tc := range map[string]struct {
		opts         jwt.Options
		link, target bool // still there
	}{
		"the link":         {jwt.Options{}, false, true},
		"what it leads to": {jwt.Options{FollowSymlinks: true}, true, false},
		"neither":          {jwt.Options{KeepFile: true, FollowSymlinks: true}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
			put(t, target, "eyJ")
			if err := os.Symlink(target, link); err != nil {
				t.Fatal(err)
			}
			if _, err := jwt.New("app", link, discard, tc.opts).Login(context.Background(), client(t, &standIn{})); err != nil {
				t.Fatal(err)
			}
			for path, want := range map[string]bool{target: tc.target, link: tc.link} {
				if _, err := os.Lstat(path); (err == nil) != want {
					t.Errorf("%s is there: %t, want %t", filepath.Base(path), err == nil, want)
				}
			}
		})
	}
}

func TestLoginWithoutAJWT(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jwt")
	v := &standIn{}
	m := jwt.New("app", file, discard, jwt.Options{})
	for _, prepare := range []func(){func() {}, func() { put(t, file, "\n") }} {
		prepare()
		_, err := m.Login(context.Background(), client(t, v))
		if err == nil || !strings.HasPrefix(err.Error(), "read the JWT: ") || !strings.HasSuffix(err.Error(), "; write it to "+file) {
			t.Errorf("Login = %v", err)
		}
	}
	if v.path != "" {
		t.Errorf("sent %s for all that", v.path)
	}
}

func TestRefusalsAndTheEndOfTheContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jwt")
	put(t, file, "eyJ")
	m := jwt.New("app", file, discard, jwt.Options{KeepFile: true})
	for status, remedy := range map[int]string{
		400: `write a JWT that is good for the role "app" to ` + file + ", or correct role",
		403: "check that a JWT auth method is mounted at auth/jwt in this namespace",
		404: "check that a JWT auth method is mounted at auth/jwt in this namespace",
	} {
		_, err := m.Login(context.Background(), client(t, &standIn{status: status}))
		if refusal, ok := errors.AsType[*api.ResponseError](err); !ok || refusal.StatusCode != status || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("Login = %v, want Vault's %d", err, status)
		}
		if got := m.Remedy(status); got != remedy {
			t.Errorf("Remedy(%d) = %s", status, got)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Login(ctx, client(t, &standIn{})); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "eyJ") {
		t.Errorf("Login = %v, want that it was cancelled", err)
	}
}

func TestWatchTellsOfANewJWT(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jwt")
	put(t, file, "first")
	m, v := jwt.New("app", file, discard, jwt.Options{}), &standIn{}
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
	put(t, file, "second")
	select {
	case <-told:
	case <-time.After(15 * time.Second):
		t.Error("a new JWT was not noticed")
	}
	cancel()
	<-ended
	if _, err := m.Login(context.Background(), client(t, v)); err != nil || !strings.Contains(v.body, "second") {
		t.Errorf("sent %s (%v)", v.body, err)
	}
}
