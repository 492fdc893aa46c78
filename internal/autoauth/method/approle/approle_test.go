package approle_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/method/approle"
)

// recorder answers every request with a token and keeps the last one's path and body.
type recorder struct{ path, body string }

func (v *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	v.path, v.body = r.Method+" "+r.URL.Path, string(body)
	answer := `{"auth":{"client_token":"hvs.1"}}`
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func client(t *testing.T, rt http.RoundTripper) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// files writes a role ID and a secret ID, each with white space around it.
func files(t *testing.T) (roleID, secretID string) {
	t.Helper()
	dir := t.TempDir()
	roleID, secretID = filepath.Join(dir, "role-id"), filepath.Join(dir, "secret-id")
	put(t, roleID, "role-1\n")
	put(t, secretID, " secret-1\r\n")
	return roleID, secretID
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoginBody(t *testing.T) {
	for name, tc := range map[string]struct {
		noSecretID bool
		mount      string
		path, body string
	}{
		"both IDs":    {path: "PUT /v1/auth/approle/login", body: `{"role_id":"role-1","secret_id":"secret-1"}`},
		"role ID":     {noSecretID: true, path: "PUT /v1/auth/approle/login", body: `{"role_id":"role-1"}`},
		"other mount": {mount: "auth/apps/prod", path: "PUT /v1/auth/apps/prod/login", body: `{"role_id":"role-1","secret_id":"secret-1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			roleID, secretID := files(t)
			o := approle.Options{MountPath: tc.mount, SecretIDFile: secretID}
			if tc.noSecretID {
				o.SecretIDFile = ""
			}
			v := &recorder{}
			secret, err := approle.New(roleID, slog.New(slog.DiscardHandler), o).Login(context.Background(), client(t, v))
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			if v.path != tc.path || v.body != tc.body {
				t.Errorf("sent %s %s, want %s %s", v.path, v.body, tc.path, tc.body)
			}
		})
	}
}

func TestFilesAreReadAtEveryLogin(t *testing.T) {
	roleID, secretID := files(t)
	var log bytes.Buffer
	v := &recorder{}
	m := approle.New(roleID, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		approle.Options{SecretIDFile: secretID})
	login := func(want string) {
		t.Helper()
		if _, err := m.Login(context.Background(), client(t, v)); err != nil || v.body != want {
			t.Errorf("sent %s (%v), want %s", v.body, err, want)
		}
	}
	login(`{"role_id":"role-1","secret_id":"secret-1"}`)
	if _, err := os.Stat(secretID); !os.IsNotExist(err) {
		t.Errorf("the secret ID stays on disk: %v", err)
	}
	if _, err := os.Stat(roleID); err != nil {
		t.Errorf("the role ID does not: %v", err)
	}
	login(`{"role_id":"role-1","secret_id":"secret-1"}`) // remembered
	put(t, roleID, "role-2")
	put(t, secretID, "secret-2")
	login(`{"role_id":"role-2","secret_id":"secret-2"}`)
	put(t, roleID, "\n")
	login(`{"role_id":"role-2","secret_id":"secret-2"}`)
	if strings.Contains(log.String(), "secret-2") {
		t.Errorf("the log shows the secret ID: %s", &log)
	}
}

func TestSecretIDFileIsKeptOnRequest(t *testing.T) {
	roleID, secretID := files(t)
	m := approle.New(roleID, slog.New(slog.DiscardHandler), approle.Options{SecretIDFile: secretID, KeepSecretIDFile: true})
	if _, err := m.Login(context.Background(), client(t, &recorder{})); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(secretID); err != nil {
		t.Error(err)
	}
}

func TestMissingFilesAreNamed(t *testing.T) {
	for name, missing := range map[string]int{"role ID": 0, "secret ID": 1} {
		t.Run(name, func(t *testing.T) {
			roleID, secretID := files(t)
			gone := []string{roleID, secretID}[missing]
			if err := os.Remove(gone); err != nil {
				t.Fatal(err)
			}
			v := &recorder{}
			_, err := approle.New(roleID, slog.New(slog.DiscardHandler), approle.Options{SecretIDFile: secretID}).
				Login(context.Background(), client(t, v))
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), gone) {
				t.Errorf("Login = %v, want an error that names the %s and %s", err, name, gone)
			}
			if v.path != "" {
				t.Errorf("sent %s for all that", v.path)
			}
			if missing == 0 {
				if _, err := os.Stat(secretID); err != nil {
					t.Errorf("the secret ID was used up: %v", err)
				}
			}
		})
	}
}

func TestRemedy(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	both := approle.New("/etc/role-id", log, approle.Options{SecretIDFile: "/run/secret-id"})
	if got := both.Remedy(400); !strings.Contains(got, "write a new secret ID to /run/secret-id") {
		t.Error(got)
	}
	if got := both.Remedy(403); !strings.Contains(got, "mounted at auth/approle") {
		t.Error(got)
	}
	if got := approle.New("/etc/role-id", log, approle.Options{}).Remedy(400); !strings.Contains(got, "/etc/role-id") || strings.Contains(got, "secret ID to") {
		t.Error(got)
	}
}
