package seal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/seal"
	"leasehold/internal/vault"
)

// transitOf returns a wrapper whose Vault is h, with the token hvs.transit and the namespace team/.
func transitOf(t *testing.T, h http.HandlerFunc, mount, key string) seal.Wrapper {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	client, err := api.NewClient(&api.Config{Address: srv.URL, HttpClient: srv.Client()}) // no retries
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken("hvs.transit")
	client.SetNamespace("team/")
	return seal.NewTransit(client, mount, key)
}

// answers always gives the same answer.
func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestTransitWrapsAndUnwraps(t *testing.T) {
	var asked []string
	w := transitOf(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, strings.Join([]string{r.Method, r.URL.Path, r.Header.Get("X-Vault-Token"), r.Header.Get("X-Vault-Namespace")}, " "))
		var in struct{ Plaintext, Ciphertext string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		data := map[string]string{"ciphertext": "vault:v1:" + in.Plaintext}
		if in.Ciphertext != "" {
			data = map[string]string{"plaintext": strings.TrimPrefix(in.Ciphertext, "vault:v1:")}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}, "team/transit", "leasehold")
	wrapped, err := w.Wrap(t.Context(), []byte(secret))
	if err != nil || string(wrapped) != "vault:v1:"+base64.StdEncoding.EncodeToString([]byte(secret)) {
		t.Fatalf("wrapped %q, %v", wrapped, err)
	}
	if got, err := w.Unwrap(t.Context(), wrapped); err != nil || !bytes.Equal(got, []byte(secret)) {
		t.Errorf("unwrapped %q, %v", got, err)
	}
	const want = "PUT /v1/team/transit/encrypt/leasehold hvs.transit team/\nPUT /v1/team/transit/decrypt/leasehold hvs.transit team/"
	if got := strings.Join(asked, "\n"); got != want {
		t.Errorf("asked\n%s\nwant\n%s", got, want)
	}
}

// kindOf says what a caller can branch on.
func kindOf(err error) string {
	switch {
	case errors.Is(err, seal.ErrSealed):
		return "sealed"
	case errors.Is(err, vault.ErrRefused):
		return "refused"
	default:
		return "not tried"
	}
}

func TestTransitsRefusalsHaveARemedy(t *testing.T) {
	const (
		other  = "something other than Vault answered transit/decrypt/app (%d: %s); check Vault's address, and what stands before it"
		closed = "the state file's key does not open with transit/decrypt/app (%d: %s): not sealed with this key and for this place, or changed since"
	)
	for name, tc := range map[string]struct {
		status       int
		body         string
		kind         string
		wrap, unwrap string // "" where the case is not about it
	}{
		"another key": {400, `{"errors":["cipher: message authentication failed"]}`, "sealed",
			"", fmt.Sprintf(closed, 400, "cipher: message authentication failed")},
		"not a ciphertext": {400, `{"errors":["invalid ciphertext: no prefix"]}`, "sealed", "", fmt.Sprintf(closed, 400, "invalid ciphertext: no prefix")},
		"a version that was retired": {400, `{"errors":["ciphertext or signature version is disallowed by policy (too old)"]}`, "sealed",
			"", fmt.Sprintf(closed, 400, "ciphertext or signature version is disallowed by policy (too old)")},
		"another key, RSA": {500, `{"errors":["1 error occurred:\n\t* failed to RSA decrypt the ciphertext: crypto/rsa: decryption error\n\n"]}`, "sealed",
			"", fmt.Sprintf(closed, 500, "1 error occurred: * failed to RSA decrypt the ciphertext: crypto/rsa: decryption error")},
		"no right": {403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, "refused",
			"Vault refused transit/encrypt/app (403: 1 error occurred: * permission denied); give the token the capability update on it, " +
				"and make the key with `vault write -f transit/keys/app` if there is none",
			"Vault refused transit/decrypt/app (403: 1 error occurred: * permission denied); give the token the capability update on it"},
		"a token that has ended": {403, `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`, "refused",
			"Vault refused transit/encrypt/app (403: 2 errors occurred: * permission denied * invalid token), since the token has ended; log in again",
			"Vault refused transit/decrypt/app (403: 2 errors occurred: * permission denied * invalid token), since the token has ended; log in again"},
		"no key": {400, `{"errors":["encryption key not found"]}`, "refused",
			"there is no key for transit/encrypt/app (400: encryption key not found); make it with `vault write -f transit/keys/app`, or correct transit_key",
			"there is no key for transit/decrypt/app (400: encryption key not found); make it with `vault write -f transit/keys/app`, or correct transit_key"},
		"no engine": {404, `{"errors":["no handler for route \"transit/encrypt/app\". route entry not found."]}`, "refused",
			"there is no transit engine for transit/encrypt/app (404: no handler for route \"transit/encrypt/app\". route entry not found.); enable it with " +
				"`vault secrets enable -path=transit transit` and make the key with `vault write -f transit/keys/app`, or correct transit_mount", ""},
		"another engine": {404, `{"errors":[],"warnings":["Invalid path for a versioned K/V secrets engine."]}`, "refused",
			"", "there is no transit engine for transit/decrypt/app (404: not found); enable it with " +
				"`vault secrets enable -path=transit transit` and make the key with `vault write -f transit/keys/app`, or correct transit_mount"},
		"a key that cannot encrypt": {400, `{"errors":["message encryption not supported for key type ed25519"]}`, "refused",
			"Vault refused transit/encrypt/app (400: message encryption not supported for key type ed25519); use a key as `vault write -f transit/keys/app` makes it", ""},
		"sealed":           {503, `{"errors":["Vault is sealed"]}`, "not tried", "Vault could not answer transit/encrypt/app (503: Vault is sealed)", "Vault could not answer transit/decrypt/app (503: Vault is sealed)"},
		"overloaded":       {429, `{"errors":["request path \"transit\": rate limit quota exceeded"]}`, "not tried", "", `Vault could not answer transit/decrypt/app (429: request path "transit": rate limit quota exceeded)`},
		"TLS was expected": {400, "Client sent an HTTP request to an HTTPS server.\n", "not tried", "", fmt.Sprintf(other, 400, "Bad Request")},
		"a gateway":        {400, `{"message":"no"}`, "not tried", "", fmt.Sprintf(other, 400, "Bad Request")},
		"a proxy":          {502, "<html>", "not tried", "", fmt.Sprintf(other, 502, "Bad Gateway")},
		"a page":           {403, "<html>", "not tried", "", fmt.Sprintf(other, 403, "Forbidden")},
		"nothing at all": {204, "", "not tried", "Vault answered transit/encrypt/app without a ciphertext; check that transit_mount is the path of a transit engine",
			"Vault answered transit/decrypt/app without a plaintext; check that transit_mount is the path of a transit engine"},
		"nothing there":         {404, "", "not tried", "", fmt.Sprintf(other, 404, "Not Found")},
		"an engine of no words": {200, `{"data":{"value":5}}`, "not tried", "", "Vault answered transit/decrypt/app without a plaintext; check that transit_mount is the path of a transit engine"},
		"a short key":           {200, `{"data":{"plaintext":"AAAA"}}`, "sealed", "", "what transit/decrypt/app gave is not the key of a state file: " + seal.ErrSealed.Error()},
		"no base64":             {200, `{"data":{"plaintext":"?"}}`, "sealed", "", "what transit/decrypt/app gave is not the key of a state file: " + seal.ErrSealed.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			w := transitOf(t, answers(tc.status, tc.body), "transit", "app")
			if tc.wrap != "" {
				if got, err := w.Wrap(t.Context(), []byte(secret)); got != nil || err == nil || err.Error() != tc.wrap || kindOf(err) != tc.kind {
					t.Errorf("wrap: %q, %v (%s)\nwant %s (%s)", got, err, kindOf(err), tc.wrap, tc.kind)
				}
			}
			if tc.unwrap != "" {
				if got, err := w.Unwrap(t.Context(), []byte("vault:v1:x")); got != nil || err == nil || err.Error() != tc.unwrap || kindOf(err) != tc.kind {
					t.Errorf("unwrap: %q, %v (%s)\nwant %s (%s)", got, err, kindOf(err), tc.unwrap, tc.kind)
				}
			}
		})
	}
}

// Whatever answers, and with whatever status, may repeat what it was sent.
func TestTransitsErrorsDoNotHoldTheKey(t *testing.T) {
	plain := base64.StdEncoding.EncodeToString([]byte(secret))
	for _, form := range []string{`{"errors":["bad value %s"]}`, "<html>%s", `{"data":{"plaintext":"%[1]s%[1]s"}}`, `{"data":"%s"}`, `{"data":%s`, `{"lease_duration":"%s"}`} {
		for _, status := range []int{200, 400, 403, 404, 405, 412, 500, 503} {
			w := transitOf(t, answers(status, fmt.Sprintf(form, plain)), "transit", "app")
			_, errWrap := w.Wrap(t.Context(), []byte(secret))
			_, errUnwrap := w.Unwrap(t.Context(), []byte(plain)) // a ciphertext like the key is the worst that can come back
			for _, err := range []error{errWrap, errUnwrap} {
				if err == nil {
					t.Errorf("%d with %s: accepted", status, form)
				} else if shown := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)); strings.Contains(shown, plain[:12]) || strings.Contains(shown, secret[:8]) {
					t.Errorf("%d with %s: the key shows in %s", status, form, shown)
				}
			}
		}
	}
}

func TestTransitIsNotAskedInVain(t *testing.T) {
	w := transitOf(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }, "transit", "app")
	if _, err := w.Wrap(t.Context(), []byte("short")); err == nil || err.Error() != "wrap a key of 5 bytes: only 32 are possible" {
		t.Errorf("error = %v", err)
	}
	if _, err := w.Unwrap(t.Context(), nil); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("error = %v, want ErrSealed", err)
	}
}

func TestAVaultThatIsAwayIsNotARefusal(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	client, err := api.NewClient(&api.Config{Address: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	_, err = seal.NewTransit(client, "transit", "app").Unwrap(t.Context(), []byte("vault:v1:x"))
	if err == nil || kindOf(err) != "not tried" || !strings.HasPrefix(err.Error(), "ask Vault for transit/decrypt/app: ") {
		t.Errorf("error = %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = seal.NewTransit(client, "transit", "app").Wrap(ended, []byte(secret)); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that of the context", err)
	}
}
