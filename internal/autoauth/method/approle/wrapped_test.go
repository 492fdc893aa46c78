package approle_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/method/approle"
)

const wrappingPath = "auth/approle/role/app/secret-id"

// wrapper is a Vault that knows wrapping tokens: each may be unwrapped once.
type wrapper struct {
	madeAt  map[string]string // :: wrapping token → creation_path
	holds   map[string]string // :: wrapping token → what the unwrapped data is; default {"secret_id":"of <token>"}
	asked   []string          // method, path, token, namespace and body of each request
	refuse  int               // of the next login
	dropped bool              // the next request gets no answer
}

func (v *wrapper) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	token := r.Header.Get("X-Vault-Token")
	v.asked = append(v.asked, strings.Join(slices.DeleteFunc([]string{
		r.Method, strings.TrimPrefix(r.URL.Path, "/v1/"), token, r.Header.Get("X-Vault-Namespace"), string(body),
	}, func(s string) bool { return s == "" }), " "))
	if v.dropped {
		v.dropped = false
		return nil, errors.New("connection refused")
	}
	status, answer := 200, ""
	path, known := v.madeAt[token]
	switch r.URL.Path {
	case "/v1/sys/wrapping/lookup":
		answer = `{"data":{"creation_path":"` + path + `","creation_ttl":60}}`
	case "/v1/sys/wrapping/unwrap":
		answer = v.holds[token]
		if answer == "" {
			answer = `{"data":{"secret_id":"of ` + token + `"}}`
		}
		delete(v.madeAt, token)
	default:
		known, answer = true, `{"auth":{"client_token":"hvs.1"}}`
		if v.refuse != 0 {
			status, answer, v.refuse = v.refuse, `{"errors":["invalid role or secret ID"]}`, 0
		}
	}
	if !known {
		status, answer = 400, `{"errors":["wrapping token is not valid or does not exist"]}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// wrappedMethod is the method with a role ID, and the file of the wrapping token.
func wrappedMethod(t *testing.T, log io.Writer, keep bool) (*approle.Method, string) {
	t.Helper()
	roleID, file := files(t)
	return approle.New(roleID, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		approle.Options{SecretIDFile: file, WrappingPath: wrappingPath, KeepSecretIDFile: keep}), file
}

func login(t *testing.T, m *approle.Method, v *wrapper) error {
	t.Helper()
	c := client(t, v)
	c.SetNamespace("team")
	v.asked = nil
	secret, err := m.Login(context.Background(), c)
	if err == nil && secret.Auth.ClientToken != "hvs.1" {
		t.Errorf("Login = %+v", secret)
	}
	return err
}

const (
	lookup1, unwrap1 = "GET sys/wrapping/lookup wt1 team", "PUT sys/wrapping/unwrap wt1 team null"
	login1           = `PUT auth/approle/login team {"role_id":"role-1","secret_id":"of wt1"}`
)

func TestAWrappedSecretIDIsUnwrappedOnce(t *testing.T) {
	for name, keep := range map[string]bool{"removed": false, "kept": true} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			m, file := wrappedMethod(t, &log, keep)
			v := &wrapper{madeAt: map[string]string{"wt1": wrappingPath, "wt2": wrappingPath}}
			expect := func(want ...string) {
				t.Helper()
				if err := login(t, m, v); err != nil || !slices.Equal(v.asked, want) {
					t.Errorf("Login = %v, asked %q, want %q", err, v.asked, want)
				}
			}
			put(t, file, "wt1\n")
			expect(lookup1, unwrap1, login1)
			if _, err := os.Stat(file); os.IsNotExist(err) == keep {
				t.Errorf("after the login: %v", err)
			}
			expect(login1) // Vault takes no wrapping token twice
			put(t, file, "wt2")
			expect(strings.ReplaceAll(lookup1, "wt1", "wt2"), strings.ReplaceAll(unwrap1, "wt1", "wt2"), strings.ReplaceAll(login1, "wt1", "wt2"))
			put(t, file, "")
			expect(strings.ReplaceAll(login1, "wt1", "wt2"))
			if s := log.String(); strings.Contains(s, "wt1") || strings.Contains(s, "wt2") {
				t.Errorf("the log shows a wrapping token or a secret ID: %s", s)
			}
		})
	}
}

func TestAWrappingTokenOfElsewhere(t *testing.T) {
	for name, path := range map[string]string{
		"another path": "sys/wrapping/wrap", "a prefix": wrappingPath + "/x", "another case": strings.ToUpper(wrappingPath), "a slash more": "/" + wrappingPath,
	} {
		t.Run(name, func(t *testing.T) {
			m, file := wrappedMethod(t, io.Discard, false)
			put(t, file, "wt1")
			v := &wrapper{madeAt: map[string]string{"wt1": path}}
			err := login(t, m, v)
			if err == nil || !strings.HasPrefix(err.Error(), "SECURITY: ") || !strings.Contains(err.Error(), "made elsewhere, perhaps by an attacker") ||
				!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "wt1") {
				t.Errorf("Login = %v", err)
			}
			if !slices.Equal(v.asked, []string{lookup1}) {
				t.Errorf("asked %q: the token must stay unused, for whoever looks into it", v.asked)
			}
		})
	}
}

func TestAWrappingTokenThatIsNoGood(t *testing.T) {
	for name, tc := range map[string]struct {
		vault wrapper
		want  string // in the error
	}{
		"unknown":         {wrapper{}, "wrapping token is not valid"},
		"no answer":       {wrapper{dropped: true}, "connection refused"},
		"no path":         {wrapper{madeAt: map[string]string{"wt1": `","creation_path":null,"x":"`}}, "does not say where"},
		"no secret id":    {wrapper{madeAt: map[string]string{"wt1": wrappingPath}, holds: map[string]string{"wt1": `{"data":{"role_id":"r"}}`}}, "no secret_id; wrap"},
		"empty":           {wrapper{madeAt: map[string]string{"wt1": wrappingPath}, holds: map[string]string{"wt1": `{"data":{"secret_id":""}}`}}, "no secret_id; wrap"},
		"of another type": {wrapper{madeAt: map[string]string{"wt1": wrappingPath}, holds: map[string]string{"wt1": `{"data":{"secret_id":7}}`}}, "no secret_id; wrap"},
		"no data":         {wrapper{madeAt: map[string]string{"wt1": wrappingPath}, holds: map[string]string{"wt1": `{}`}}, "no secret_id; wrap"},
	} {
		t.Run(name, func(t *testing.T) {
			m, file := wrappedMethod(t, io.Discard, false)
			put(t, file, "wt1")
			err := login(t, m, &tc.vault)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "wt1") {
				t.Errorf("Login = %v, want one with %q", err, tc.want)
			}
			if got := m.Remedy(400); name == "unknown" && !strings.HasSuffix(got, "somebody else has unwrapped it: find out which, and write a new one to "+file) {
				t.Errorf("Remedy = %s", got)
			}
			if last := tc.vault.asked[len(tc.vault.asked)-1]; strings.Contains(last, "login") {
				t.Errorf("asked %s for all that", last)
			}
		})
	}
}

// The file is gone once read; the token in it must survive a Vault that is away.
func TestAnOutageDoesNotCostTheWrappingToken(t *testing.T) {
	m, file := wrappedMethod(t, io.Discard, false)
	put(t, file, "wt1")
	v := &wrapper{madeAt: map[string]string{"wt1": wrappingPath}, dropped: true}
	if err := login(t, m, v); err == nil {
		t.Fatal("Login worked without an answer")
	}
	if err := login(t, m, v); err != nil || !slices.Equal(v.asked, []string{lookup1, unwrap1, login1}) {
		t.Errorf("Login = %v, asked %q", err, v.asked)
	}
}

func TestARefusedLoginIsNotTheWrappingTokensFault(t *testing.T) {
	m, file := wrappedMethod(t, io.Discard, false)
	put(t, file, "wt1")
	v := &wrapper{madeAt: map[string]string{"wt1": wrappingPath}, refuse: 400}
	err := login(t, m, v)
	if refusal, ok := errors.AsType[*api.ResponseError](err); !ok || refusal.StatusCode != 400 {
		t.Fatalf("Login = %v", err)
	}
	if got := m.Remedy(400); !strings.HasPrefix(got, "write the wrapping token of a new secret ID to "+file) {
		t.Errorf("Remedy = %s", got)
	}
	if err := login(t, m, v); err != nil || !slices.Equal(v.asked, []string{login1}) {
		t.Errorf("Login = %v, asked %q", err, v.asked)
	}
}

func TestLoginEndsWithItsContext(t *testing.T) {
	m, file := wrappedMethod(t, io.Discard, false)
	put(t, file, "wt1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Login(ctx, client(t, &wrapper{})); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "wt1") {
		t.Errorf("Login = %v", err)
	}
}

func TestWithoutASecretIDFileTheRestMeansNothing(t *testing.T) {
	roleID, _ := files(t)
	v := &recorder{}
	m := approle.New(roleID, slog.New(slog.DiscardHandler), approle.Options{WrappingPath: wrappingPath, KeepSecretIDFile: true})
	if _, err := m.Login(context.Background(), client(t, v)); err != nil || v.body != `{"role_id":"role-1"}` {
		t.Errorf("sent %s (%v)", v.body, err)
	}
}
