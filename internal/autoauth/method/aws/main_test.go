package aws_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// recorder answers every request with a token, or with status, and keeps the last one's path and body.
type recorder struct {
	status     int
	path, body string
}

func (v *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	v.path, v.body = r.Method+" "+r.URL.Path, string(body)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if v.status == 0 {
		v.status = 200
	}
	answer := `{"auth":{"client_token":"hvs.1"}}`
	return &http.Response{StatusCode: v.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func (v *recorder) fields(t *testing.T) map[string]string {
	t.Helper()
	fields := map[string]string{}
	if err := json.Unmarshal([]byte(v.body), &fields); err != nil {
		t.Fatalf("the body %q: %v", v.body, err)
	}
	return fields
}

func client(t *testing.T, rt http.RoundTripper) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type logger interface {
	Login(context.Context, *api.Client) (*api.Secret, error)
}

// login logs in and returns what was sent.
func login(t *testing.T, m logger) *recorder {
	t.Helper()
	v := &recorder{}
	secret, err := m.Login(t.Context(), client(t, v))
	if err != nil || secret.Auth.ClientToken != "hvs.1" {
		t.Fatalf("Login = %v, %v", secret, err)
	}
	return v
}

func decode(t *testing.T, s string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// nowhere takes all credentials away that the machine of the test may have, and returns the path of the credentials file that will be read.
func nowhere(t *testing.T) string {
	t.Helper()
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, value) // brings it back afterwards
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "credentials")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return file
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func profile(id, secret, token string) string {
	return "[default]\naws_access_key_id = " + id + "\naws_secret_access_key = " + secret + "\naws_session_token = " + token + "\n"
}
