package wrapped_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/goleak"

	"leasehold/internal/autoauth/sink/wrapped"
	"leasehold/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is an inner sink.
type memory struct {
	stored [][]byte
	err    error
}

func (m *memory) Name() string { return "file /run/token" }

func (m *memory) Store(_ context.Context, content []byte) error {
	m.stored = append(m.stored, content)
	return m.err
}

// request is what Vault was sent.
type request struct {
	method, path string
	header       http.Header
	body         string
}

// vaultThat answers every request the same, and remembers them.
func vaultThat(t *testing.T, status int, body string) (*api.Client, *[]request) {
	t.Helper()
	var seen []request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		seen = append(seen, request{r.Method, r.URL.Path, r.Header.Clone(), string(text)})
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return clientOf(t, server.URL), &seen
}

func clientOf(t *testing.T, address string) *api.Client {
	t.Helper()
	cfg := api.DefaultConfig()
	cfg.Address = address
	cfg.HttpClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken("hvs.of-somebody-else")
	return c
}

// answer is Vault's, as captured, with the creation path exchanged for another.
func answer(path string) string {
	return strings.Replace(`{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":{"token":"hvs.wrapping","accessor":"acc.wrapping","ttl":300,
		"creation_time":"2026-01-02T03:04:05.678901234Z","creation_path":"sys/wrapping/wrap"},"warnings":null,"auth":null}`, "sys/wrapping/wrap", path, 1)
}

func TestTheTokenIsWrapped(t *testing.T) {
	want, err := os.ReadFile("testdata/content.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ns     vault.Namespace
		path   string
		header string
	}{
		"root namespace":    {"", "sys/wrapping/wrap", ""},
		"another":           {"team/", "sys/wrapping/wrap", "team/"},
		"named in the path": {"team/", "team/sys/wrapping/wrap", "team/"},
	} {
		t.Run(name, func(t *testing.T) {
			c, seen := vaultThat(t, http.StatusOK, answer(tc.path))
			inner := &memory{}
			s := wrapped.New(inner, c, tc.ns, 5*time.Minute)
			for range 2 { // a repetition wraps again
				if err := s.Write(t.Context(), vault.NewToken("hvs.secret")); err != nil {
					t.Fatal(err)
				}
			}
			if len(*seen) != 2 || len(inner.stored) != 2 {
				t.Fatalf("%d requests, %d times stored", len(*seen), len(inner.stored))
			}
			want := bytes.Replace(want, []byte("sys/wrapping/wrap"), []byte(tc.path), 1)
			if got := inner.stored[0]; !bytes.Equal(got, want) {
				t.Errorf("stored  %swant %s", got, want)
			}
			r := (*seen)[0]
			if r.method != http.MethodPut || r.path != "/v1/sys/wrapping/wrap" {
				t.Errorf("request = %s %s", r.method, r.path)
			}
			for header, want := range map[string]string{
				"X-Vault-Token": "hvs.secret", "X-Vault-Wrap-Ttl": "5m0s", "X-Vault-Namespace": tc.header, "X-Vault-Request": "true",
			} {
				if got := strings.Join(r.header.Values(header), ", "); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			var body map[string]any
			if err := json.Unmarshal([]byte(r.body), &body); err != nil || len(body) != 1 || body["token"] != "hvs.secret" {
				t.Errorf("body = %s, %v", r.body, err)
			}
		})
	}
}

func TestVaultDoesNotWrap(t *testing.T) {
	for name, tc := range map[string]struct {
		status     int
		body, want string
	}{
		"no right":        {403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, "(403: 1 error occurred: * permission denied); let the token's policies update sys/wrapping/wrap"},
		"the token ended": {403, `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`, "the next login brings another token"},
		"too long":        {400, `{"errors":["wrap TTL too long"]}`, "(400: wrap TTL too long); lower the sink's wrap_ttl"},
		"sealed":          {503, `{"errors":["Vault is sealed"]}`, "(503: Vault is sealed); see Vault's log"},
		"an echo":         {502, `<html>you sent hvs.secret</html>`, "(502: Bad Gateway); see Vault's log"},
		"not wrapped":     {200, `{"data":{"token":"hvs.secret"}}`, "has no wrap_info"},
		"no content":      {204, ``, "has no wrap_info"},
		"no token":        {200, `{"wrap_info":{"token":"","creation_path":"sys/wrapping/wrap"}}`, "has no wrap_info"},
		"elsewhere":       {200, answer("secret/data/mine"), "at another path than sys/wrapping/wrap"},
		"elsewhere alike": {200, answer("other/sys/wrapping/wrap"), "at another path than sys/wrapping/wrap"},
		"no JSON":         {200, `hvs.secret`, "wrap the token: "},
	} {
		t.Run(name, func(t *testing.T) {
			c, seen := vaultThat(t, tc.status, tc.body)
			inner := &memory{}
			err := wrapped.New(inner, c, "team/", time.Minute).Write(t.Context(), vault.NewToken("hvs.secret"))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hvs.") || strings.Contains(err.Error(), "\n") {
				t.Errorf("Write = %v, want ...%s..., on one line, without a token", err, tc.want)
			}
			if len(*seen) != 1 || len(inner.stored) > 0 {
				t.Errorf("%d requests, want 1: the caller repeats; %d times stored", len(*seen), len(inner.stored))
			}
		})
	}
}

func TestVaultIsAway(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	inner := &memory{}
	err := wrapped.New(inner, clientOf(t, server.URL), "", time.Minute).Write(t.Context(), vault.NewToken("hvs.secret"))
	if err == nil || !strings.Contains(err.Error(), "check that Vault runs there") || len(inner.stored) > 0 {
		t.Errorf("Write = %v", err)
	}
}

func TestWriteHeedsItsContext(t *testing.T) {
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(asked)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- wrapped.New(&memory{}, clientOf(t, server.URL), "", time.Minute).Write(ctx, vault.NewToken("hvs.secret"))
	}()
	<-asked
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v", err)
	}
}

func TestTheInnerSinksErrorArrives(t *testing.T) {
	c, _ := vaultThat(t, http.StatusOK, answer("sys/wrapping/wrap"))
	full := errors.New("disk full")
	s := wrapped.New(&memory{err: full}, c, "", time.Minute)
	if err := s.Write(t.Context(), vault.NewToken("hvs.secret")); !errors.Is(err, full) || s.Name() != "file /run/token" {
		t.Errorf("%s: Write = %v", s.Name(), err)
	}
}
