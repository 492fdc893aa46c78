package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	google "cloud.google.com/go/auth/credentials"

	"leasehold/internal/autoauth/cloud"
)

const timeout = 30 * time.Second // of what the library asks for

const (
	scope       = "https://www.googleapis.com/auth/cloud-platform"
	maxFileSize = 64 << 10 // far above any credentials: a larger file is a wrong path
)

// credentials are what the IAM Credentials API is asked with.
type credentials struct {
	from    string // for messages: which they are
	remedy  string // for messages: what to do when they give no token
	account func(context.Context) (string, error)
	token   func(context.Context) (string, error)
}

// credentials finds the configured credentials, or those that Google's libraries find: a file that GOOGLE_APPLICATION_CREDENTIALS or the gcloud command
// has left, or the machine's own. They are found anew for each login, since files are replaced. The library would look for the machine by itself, but
// without a context, and only once.
func (s *signer) credentials() (credentials, error) {
	text := strings.TrimSpace(s.opts.Credentials)
	if strings.HasPrefix(text, "{") {
		return s.parse([]byte(text), "the credentials of the configuration")
	}
	if text != "" {
		return s.read(text)
	}
	if path := s.opts.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); path != "" {
		return s.read(path)
	}
	if path := s.wellKnownFile(); path != "" {
		if c, err := s.read(path); !errors.Is(err, fs.ErrNotExist) {
			return c, err
		}
	}
	return credentials{
		from:    "the credentials of this machine, for want of others",
		remedy:  "set credentials or GOOGLE_APPLICATION_CREDENTIALS, or run Leasehold on a machine of Google Cloud that has a service account",
		account: s.metadata.email,
		token:   s.metadata.accessToken,
	}, nil
}

// wellKnownFile is where the command gcloud auth application-default login leaves credentials; "" when there is no such place.
func (s *signer) wellKnownFile() string {
	const name = "application_default_credentials.json"
	if runtime.GOOS == "windows" {
		return filepath.Join(s.opts.Getenv("APPDATA"), "gcloud", name)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".config", "gcloud", name)
}

func (s *signer) read(path string) (credentials, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file")
	case info.Size() > maxFileSize:
		err = fmt.Errorf("larger than %d KiB", maxFileSize>>10)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return credentials{}, fmt.Errorf("read Google's credentials: %w; write them to %s", err, path)
	}
	return s.parse(b, "the credentials in "+path)
}

// parse makes credentials of JSON. The configuration is the operator's own, so every type of the library is taken.
func (s *signer) parse(b []byte, from string) (credentials, error) {
	var file struct {
		Type        string `json:"type"`
		Email       string `json:"client_email"`
		Impersonate string `json:"service_account_impersonation_url"`
	}
	// What the library and the decoder say about JSON could show a piece of it.
	if json.Unmarshal(b, &file) != nil || file.Type == "" {
		return credentials{}, fmt.Errorf("%s are not JSON with a type; use a key file of a service account, or a file that gcloud has written", from)
	}
	lib, err := google.NewCredentialsFromJSON(google.CredType(file.Type), b, &google.DetectOptions{
		Scopes:              []string{scope},
		DisableAsyncRefresh: true,
		Client:              &http.Client{Transport: s.opts.Transport, Timeout: timeout},
		Logger:              slog.New(slog.DiscardHandler), // or an environment variable would have it log tokens
	})
	if err != nil {
		return credentials{}, fmt.Errorf("%s, of type %q, are not complete or of a type unknown to us; use a key file of a service account, or a file that gcloud has written", from, file.Type)
	}
	email := file.Email
	if email == "" {
		email = impersonated(file.Impersonate)
	}
	return credentials{
		from:    from,
		remedy:  "check that they are still valid, and that this machine can reach Google's APIs",
		account: func(context.Context) (string, error) { return email, nil },
		token: func(ctx context.Context) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			t, err := lib.Token(ctx)
			if err != nil {
				return "", cause(ctx, err)
			}
			return t.Value, nil
		},
	}, nil
}

// impersonated is the account in an address such as .../serviceAccounts/web@shop.iam.gserviceaccount.com:generateAccessToken.
func impersonated(address string) string {
	_, after, _ := strings.Cut(address, "/serviceAccounts/")
	email, _, _ := strings.Cut(after, ":")
	return email
}

// cause is what of the library's error can be shown: its text quotes answers.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if answered, ok := errors.AsType[*auth.Error](err); ok && answered.Response != nil {
		failed := &cloud.StatusError{Host: "Google", Status: answered.Response.StatusCode}
		if r := answered.Response.Request; r != nil {
			failed.Host = r.URL.Host
		}
		return failed
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("no answer: %w", failed.Err)
	}
	return errors.New("the library of Google cannot use them")
}
