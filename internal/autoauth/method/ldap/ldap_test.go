package ldap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/ldap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ autoauth.Watcher = (*ldap.Method)(nil)

// recorder answers every request with a token and keeps the last one's path, as it was sent, and body.
type recorder struct{ path, body string }

func (v *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	v.path, v.body = r.Method+" "+r.URL.RequestURI(), string(body)
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

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newMethod(t *testing.T, username, file string, log io.Writer, o ldap.Options) *ldap.Method {
	t.Helper()
	m, err := ldap.New(username, file, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLoginPath(t *testing.T) {
	for username, want := range map[string]string{
		"ann":               "/v1/auth/ldap/login/ann",
		"Ann O'Hara":        "/v1/auth/ldap/login/Ann%20O%27Hara",
		`CORP\ann`:          "/v1/auth/ldap/login/CORP%5Cann",
		"ann@example.com":   "/v1/auth/ldap/login/ann@example.com",
		"50%":               "/v1/auth/ldap/login/50%25",
		"a%2Fb":             "/v1/auth/ldap/login/a%252Fb",
		"who?":              "/v1/auth/ldap/login/who%3F",
		"#1":                "/v1/auth/ldap/login/%231",
		"uid=ann,ou=people": "/v1/auth/ldap/login/uid=ann,ou=people",
		"jürgen":            "/v1/auth/ldap/login/j%C3%BCrgen",
		"app/host":          "/v1/auth/ldap/login/app/host", // Vault takes the whole rest of the path for the name
	} {
		t.Run(username, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "password")
			put(t, file, "pw")
			v := &recorder{}
			secret, err := newMethod(t, username, file, io.Discard, ldap.Options{}).Login(context.Background(), client(t, v))
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			if v.path != "PUT "+want {
				t.Errorf("sent %s, want %s", v.path, want)
			}
		})
	}
}

func TestOtherMount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	put(t, file, "pw")
	v := &recorder{}
	if _, err := newMethod(t, "ann", file, io.Discard, ldap.Options{MountPath: "auth/corp/ad"}).Login(context.Background(), client(t, v)); err != nil {
		t.Fatal(err)
	}
	if want := "PUT /v1/auth/corp/ad/login/ann"; v.path != want {
		t.Errorf("sent %s, want %s", v.path, want)
	}
}

func TestNamesThatCannotStandInAPath(t *testing.T) {
	for _, username := range []string{"", ".", "..", "../userpass/login/ann", "a//b", "ann/", "/ann", "a/./b"} {
		m, err := ldap.New(username, "/run/password", slog.New(slog.DiscardHandler), ldap.Options{})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", username)) || !strings.HasSuffix(err.Error(), "; correct username") {
			t.Errorf("New(%q) = %v, %v", username, m, err)
		}
	}
}

func TestPasswordIsSentAsItStandsInTheFile(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"bare":                {"s3cr3t", "s3cr3t"},
		"a line":              {"s3cr3t\n", "s3cr3t"},
		"a line of Windows":   {"s3cr3t\r\n", "s3cr3t"},
		"two lines":           {"s3cr3t\n\n", "s3cr3t\n"},
		"spaces":              {"  s3 cr3t \n", "  s3 cr3t "},
		"needs JSON escaping": {`"s3\cr3t"`, `"s3\cr3t"`},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "password")
			put(t, file, tc.file)
			v := &recorder{}
			if _, err := newMethod(t, "ann", file, io.Discard, ldap.Options{}).Login(context.Background(), client(t, v)); err != nil {
				t.Fatal(err)
			}
			var body map[string]string
			if err := json.Unmarshal([]byte(v.body), &body); err != nil || len(body) != 1 || body["password"] != tc.want {
				t.Errorf("sent %s, want the password %q alone (%v)", v.body, tc.want, err)
			}
		})
	}
}

func TestPasswordIsReadAtEveryLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	var log bytes.Buffer
	m, v := newMethod(t, "ann", file, &log, ldap.Options{}), &recorder{}
	login := func(want string) {
		t.Helper()
		if _, err := m.Login(context.Background(), client(t, v)); err != nil || v.body != `{"password":"`+want+`"}` {
			t.Errorf("sent %s (%v), want %s", v.body, err, want)
		}
	}
	put(t, file, "first")
	login("first")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the password stays on disk: %v", err)
	}
	login("first") // remembered
	put(t, file, "second")
	login("second")
	put(t, file, "\n")
	login("second")
	if s := log.String(); strings.Contains(s, "first") || strings.Contains(s, "second") {
		t.Errorf("the log shows the password: %s", s)
	}
}

func TestWhichFileIsRemoved(t *testing.T) {
	for name, tc := range map[string]struct {
		opts         ldap.Options
		link, target bool // still there
	}{
		"the link":         {ldap.Options{}, false, true},
		"what it leads to": {ldap.Options{FollowSymlinks: true}, true, false},
		"neither":          {ldap.Options{KeepPasswordFile: true}, true, true},
		"neither, still":   {ldap.Options{KeepPasswordFile: true, FollowSymlinks: true}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
			put(t, target, "pw")
			if err := os.Symlink(target, link); err != nil {
				t.Fatal(err)
			}
			if _, err := newMethod(t, "ann", link, io.Discard, tc.opts).Login(context.Background(), client(t, &recorder{})); err != nil {
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

func TestLoginWithoutAPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	v := &recorder{}
	m := newMethod(t, "ann", file, io.Discard, ldap.Options{})
	for _, prepare := range []func(){func() {}, func() { put(t, file, "\n") }} {
		prepare()
		_, err := m.Login(context.Background(), client(t, v))
		if err == nil || !strings.Contains(err.Error(), "read the password: ") || !strings.HasSuffix(err.Error(), "; write it to "+file) {
			t.Errorf("Login = %v", err)
		}
	}
	if v.path != "" {
		t.Errorf("sent %s for all that", v.path)
	}
}

func TestLoginEndsWithItsContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	put(t, file, "s3cr3t")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := newMethod(t, "ann", file, io.Discard, ldap.Options{}).Login(ctx, client(t, &recorder{}))
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("Login = %v, want that it was cancelled", err)
	}
}

// status answers every request with Vault's words.
type status int

func (s status) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(s), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"errors":["ldap operation failed"]}`)), Request: r}, nil
}

func TestRefusalsAreVaultsOwn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	put(t, file, "s3cr3t")
	m := newMethod(t, "ann", file, io.Discard, ldap.Options{KeepPasswordFile: true})
	for code, remedy := range map[int]string{
		400: "write the password of ann to " + file,
		403: "mounted at auth/ldap in this namespace",
		404: "mounted at auth/ldap in this namespace",
	} {
		_, err := m.Login(context.Background(), client(t, status(code)))
		if refusal, ok := errors.AsType[*api.ResponseError](err); !ok || refusal.StatusCode != code || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("Login = %v, want Vault's %d", err, code)
		}
		if got := m.Remedy(code); !strings.Contains(got, remedy) {
			t.Errorf("Remedy(%d) = %s", code, got)
		}
	}
}

func TestWatchTellsOfANewPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	put(t, file, "first")
	// The file is removed by the login, which is no change; nor is the same password once more.
	m := newMethod(t, "ann", file, io.Discard, ldap.Options{Period: 5 * time.Millisecond})
	if _, err := m.Login(context.Background(), client(t, &recorder{})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	told, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func() {
			content, _ := os.ReadFile(file)
			select {
			case told <- string(content):
			default:
			}
		})
	}()
	for _, content := range []string{"first\n", "", "second"} {
		put(t, file+".new", content)
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case got := <-told:
		if got != "second" {
			t.Errorf("told when the file held %q", got)
		}
	case <-time.After(15 * time.Second):
		t.Error("a new password was not noticed")
	}
	cancel()
	<-ended
}
