package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"leasehold/internal/vault"
)

// ErrConcealed refuses to wrap an answer that holds the auto-auth token: whoever unwraps it would read the token.
const ErrConcealed = refusal("the auto-auth token's own lookup or renewal cannot be response-wrapped; send the request without X-Vault-Wrap-TTL")

// refusal is an error that the client may read.
type refusal string

func (r refusal) Error() string { return string(r) }

// ClientStatus is the HTTP status for the client.
func (refusal) ClientStatus() int { return http.StatusForbidden }

// aboutToken tells requests whose answers hold the token they were sent with, under any namespace and in every form.
func aboutToken(path string) bool {
	return strings.Contains(path, "/auth/token/lookup") || strings.Contains(path, "/auth/token/renew")
}

// lookup forwards a question about a token that is asked with the auto-auth token.
func (c *Cache) lookup(w http.ResponseWriter, r *http.Request, id vault.Identity) error {
	asked, _, err := takeBody(r, c.opt.MaxEntrySize)
	if err != nil {
		return err
	}
	return c.vault.Forward(w, r, id, func(resp *http.Response) error {
		if err := conceal(resp, r.URL, asked, id.Token); err != nil {
			return err
		}
		return c.pass(resp)
	})
}

// conceal takes the auto-auth token and its accessor out of the answer to a request. Whoever may use the listener may use the token, but never
// read it. Vault may name it otherwise than it was sent (by the token inside a server-side consistent one, which works as well), so an answer
// may hold no token but one that the client itself has named, in u or in the body asked.
func conceal(resp *http.Response, u *url.URL, asked []byte, auto vault.Token) error {
	body, whole, err := readUpTo(resp.Body, resp.ContentLength, DefaultMaxEntrySize)
	_ = resp.Body.Close()
	switch {
	case err == nil && whole:
		body, err = decoded(body, resp.Header.Get("Content-Encoding"), DefaultMaxEntrySize)
	case err == nil:
		err = fmt.Errorf("larger than %d bytes", DefaultMaxEntrySize)
	}
	if err != nil {
		return fmt.Errorf("an answer about the auto-auth token cannot be read: %w", err)
	}
	body, err = withoutToken(body, func(token string) bool {
		return token != auto.Reveal() &&
			(bytes.Contains(asked, []byte(token)) || strings.Contains(u.Path, token) || strings.Contains(u.RawQuery, token))
	})
	if err != nil {
		return fmt.Errorf("an answer about the auto-auth token cannot be edited: %w", err)
	}
	body = bytes.ReplaceAll(body, []byte(auto.Reveal()), nil) // wherever else it stands
	resp.Header.Del("Content-Encoding")
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.TransferEncoding = nil
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// withoutToken edits the two places where Vault puts a token that is not known: data of a lookup loses id and accessor, auth of a renewal has
// them emptied. All other fields stay as they are. What is not of that shape is returned unchanged.
func withoutToken(body []byte, known func(token string) bool) ([]byte, error) {
	var top, data, auth map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil {
		return body, nil
	}
	holds := func(raw json.RawMessage) bool {
		var token string
		return json.Unmarshal(raw, &token) == nil && token != "" && !known(token)
	}
	var err error
	edited := false
	if json.Unmarshal(top["data"], &data) == nil && holds(data["id"]) {
		delete(data, "id")
		delete(data, "accessor")
		edited = true
		top["data"], err = json.Marshal(data)
	}
	if err == nil && json.Unmarshal(top["auth"], &auth) == nil && holds(auth["client_token"]) {
		auth["client_token"], auth["accessor"] = json.RawMessage(`""`), json.RawMessage(`""`)
		edited = true
		top["auth"], err = json.Marshal(auth)
	}
	if err != nil || !edited {
		return body, err
	}
	body, err = json.Marshal(top)
	return append(body, '\n'), err
}
