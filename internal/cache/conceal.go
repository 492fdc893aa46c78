package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"leasehold/internal/vault"
)

// ErrConcealed refuses to wrap an answer that holds the auto-auth token: whoever unwraps it would read the token.
const ErrConcealed = refusal("the auto-auth token's own lookup or renewal cannot be response-wrapped; send the request without X-Vault-Wrap-TTL")

// refusal is an error that the client may read.
type refusal string

func (r refusal) Error() string { return string(r) }

// Refusal marks the text as meant for the client.
func (refusal) Refusal() bool { return true }

// aboutToken tells requests whose answers hold the token they were sent with, under any namespace and in every form. It may name too
// many: only answers in which the token stands are touched.
func aboutToken(path string) bool {
	return strings.Contains(path, "auth/token/lookup") || strings.Contains(path, "auth/token/renew")
}

// conceal takes the auto-auth token and its accessor out of an answer. Whoever may use the listener may use the token, but never read it.
func (c *Cache) conceal(resp *http.Response, t vault.Token) error {
	body, whole, err := readUpTo(resp.Body, resp.ContentLength, DefaultMaxEntrySize)
	_ = resp.Body.Close()
	if err == nil && whole {
		body, err = decoded(body, resp.Header.Get("Content-Encoding"), DefaultMaxEntrySize)
	}
	if err != nil || !whole {
		return fmt.Errorf("an answer about the auto-auth token cannot be read: %w", errors.Join(err, io.ErrShortBuffer))
	}
	resp.Header.Del("Content-Encoding")
	if secret := []byte(t.Reveal()); bytes.Contains(body, secret) {
		body = bytes.ReplaceAll(withoutToken(body, t), secret, nil)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.TransferEncoding = nil
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// withoutToken edits the two places where Vault puts a token: data of a lookup loses id and accessor, auth of a renewal has them
// emptied. All other fields stay as they are. What is not of that shape is returned unchanged.
func withoutToken(body []byte, t vault.Token) []byte {
	var top, data, auth map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil {
		return body
	}
	quoted, err := json.Marshal(t.Reveal())
	if err != nil {
		return body
	}
	if json.Unmarshal(top["data"], &data) == nil && bytes.Equal(data["id"], quoted) {
		delete(data, "id")
		delete(data, "accessor")
		top["data"], err = json.Marshal(data)
	}
	if err == nil && json.Unmarshal(top["auth"], &auth) == nil && bytes.Equal(auth["client_token"], quoted) {
		auth["client_token"], auth["accessor"] = json.RawMessage(`""`), json.RawMessage(`""`)
		top["auth"], err = json.Marshal(auth)
	}
	if err != nil {
		return body
	}
	edited, err := json.Marshal(top)
	if err != nil {
		return body
	}
	return append(edited, '\n')
}
