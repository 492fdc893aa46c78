package seal

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/vault"
)

// NewTransit wraps with a key of Vault's transit engine at mount, a path without a slash at either end. The client is the caller's:
// it has the token, the namespace and the retries. The key must exist, since a key that Vault makes by itself on the first encryption
// (a token with the capability create is enough) is nobody's decision. Errors wrap vault.ErrRefused when Vault said no for good.
func NewTransit(client *api.Client, mount, key string) Wrapper {
	return &transit{write: client.Logical().WriteWithContext, mount: mount, key: key}
}

type transit struct {
	redacted
	write      func(ctx context.Context, path string, data map[string]any) (*api.Secret, error) // a function, because fmt does not look into those
	mount, key string
}

func (t *transit) Wrap(ctx context.Context, secret []byte) ([]byte, error) {
	if len(secret) != size {
		return nil, fmt.Errorf("wrap a key of %d bytes: only %d are possible", len(secret), size)
	}
	plain := base64.StdEncoding.EncodeToString(secret)
	answer, err := t.ask(ctx, "encrypt", "plaintext", plain)
	if err != nil {
		return nil, err
	}
	wrapped, ok := answer["ciphertext"].(string)
	if !ok || wrapped == "" {
		return nil, t.empty("encrypt", "ciphertext")
	}
	return []byte(wrapped), nil
}

func (t *transit) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if len(wrapped) == 0 {
		return nil, ErrSealed
	}
	answer, err := t.ask(ctx, "decrypt", "ciphertext", string(wrapped))
	if err != nil {
		return nil, err
	}
	plain, ok := answer["plaintext"].(string)
	if !ok {
		return nil, t.empty("decrypt", "plaintext")
	}
	secret, err := base64.StdEncoding.DecodeString(plain)
	if err != nil || len(secret) != size {
		return nil, fmt.Errorf("what %s gave is not the key of a state file: %w", t.path("decrypt"), ErrSealed)
	}
	return secret, nil
}

func (t *transit) path(operation string) string { return t.mount + "/" + operation + "/" + t.key }

// ask sends one field and returns the data of the answer.
func (t *transit) ask(ctx context.Context, operation, field, content string) (map[string]any, error) {
	answer, err := t.write(ctx, t.path(operation), map[string]any{field: content})
	refusal, ok := errors.AsType[*api.ResponseError](err)
	switch {
	case ok:
		return nil, t.explain(operation, refusal, content)
	case err != nil:
		return nil, fmt.Errorf("ask Vault for %s: %w", t.path(operation), err)
	case answer == nil: // a 204
		return nil, nil
	}
	return answer.Data, nil
}

func (t *transit) empty(operation, field string) error {
	return fmt.Errorf("Vault answered %s without a %s; check that transit_mount is the path of a transit engine", t.path(operation), field)
}

// What Vault says to a key that the engine does not have (400), and to what an RSA key cannot decrypt (500).
const (
	keyMissing  = "encryption key not found"
	rsaDisagree = "failed to RSA decrypt the ciphertext"
)

// explain turns an error answer into one sentence. Only words out of Vault's errors array are kept, and none that repeat what was sent.
func (t *transit) explain(operation string, e *api.ResponseError, sent string) error {
	words := strings.Join(strings.Fields(strings.Join(e.Errors, ", ")), " ")
	if e.RawError || words == "" && e.StatusCode != http.StatusNotFound {
		return fmt.Errorf("something other than Vault answered %s (%d: %s); check Vault's address, and what stands before it",
			t.path(operation), e.StatusCode, http.StatusText(e.StatusCode))
	}
	why := fmt.Sprintf("%s (%d: %s)", t.path(operation), e.StatusCode, strings.ReplaceAll(cmp.Or(words, "not found"), sent, "[redacted]"))
	makeKey := fmt.Sprintf("`vault write -f %s/keys/%s`", t.mount, t.key)
	refused := func(format string, args ...any) error {
		return denial(fmt.Sprintf(format, args...))
	}
	switch e.StatusCode {
	case http.StatusNotFound:
		return refused("there is no transit engine for %s; enable it with `vault secrets enable -path=%s transit` and make the key with %s, or correct transit_mount",
			why, t.mount, makeKey)
	case http.StatusForbidden:
		if vault.SaysTokenGone(words) {
			return refused("Vault refused %s, since the token has ended; log in again", why)
		}
		remedy := "give the token the capability update on it"
		if operation == "encrypt" { // without the capability create, a key that is missing is answered so too
			remedy += ", and make the key with " + makeKey + " if there is none"
		}
		return refused("Vault refused %s; %s", why, remedy)
	case http.StatusBadRequest:
		switch {
		case strings.Contains(words, keyMissing):
			return refused("there is no key for %s; make it with %s, or correct transit_key", why, makeKey)
		case operation == "encrypt":
			return refused("Vault refused %s; use a key as %s makes it", why, makeKey)
		}
		return fmt.Errorf("the state file's key does not open with %s: %w", why, ErrSealed)
	}
	if operation == "decrypt" && strings.Contains(words, rsaDisagree) {
		return fmt.Errorf("the state file's key does not open with %s: %w", why, ErrSealed)
	}
	return fmt.Errorf("Vault could not answer %s", why) // sealed, overloaded, behind: it passes
}

// denial is a sentence that is a vault.ErrRefused without saying so twice.
type denial string

func (d denial) Error() string { return string(d) }
func (denial) Unwrap() error   { return vault.ErrRefused }
