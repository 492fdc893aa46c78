package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"leasehold/internal/vault"
)

// ErrConcealed refuses to wrap an answer that holds the auto-auth token: whoever unwraps it would read the token.
const ErrConcealed = refusal("an answer about the auto-auth token cannot be response-wrapped; send the request without X-Vault-Wrap-TTL, or with a token of your own")

// refusal is an error that the client may read.
type refusal string

func (r refusal) Error() string { return string(r) }

// ClientStatus is the HTTP status for the client.
func (refusal) ClientStatus() int { return http.StatusForbidden }

// question is what a request may make Vault tell about the token that it was sent with.
type question uint8

const (
	unrelated question = iota
	accessors          // the list of all accessors, the token's own among them
	itself             // all else that the token store may say of a token
)

// questionOf decides by the path that Vault will see, in every form, current and deprecated: decoded, and with the namespace of the header.
// Where that is open it takes the worst for true: such a request goes to Vault all the same.
func questionOf(decoded, namespace string) question {
	suspect := func(s string) bool { return strings.Contains(s, "token") || strings.IndexByte(s, '%') >= 0 }
	if !suspect(decoded) && !suspect(namespace) {
		return unrelated
	}
	q := asked(settled(decoded))
	if namespace != "" {
		// To a Vault with namespaces the two are one path: "auth" before /v1/token/lookup-self may mean the same as /v1/auth/token/lookup-self.
		q = max(q, asked(settled("/"+namespace+strings.TrimPrefix(settled(decoded), "/v1"))))
	}
	return q
}

// asked is what a path asks, wherever the token store stands in it.
func asked(p string) question {
	const store = "/auth/token"
	q := unrelated
	for i := strings.Index(p, store+"/"); i >= 0; i = strings.Index(p, store+"/") {
		p = p[i+len(store):]
		switch {
		case strings.HasPrefix(p, "/create"), strings.HasPrefix(p, "/roles"): // what is new, and what is no token
		case strings.HasPrefix(p, "/accessors"):
			q = max(q, accessors)
		default: // lookups and renewals; the help of revoke-self has the token in it as well
			q = itself
		}
	}
	return q
}

// settled is a decoded path as balancers and Vault's mux may make it: decoded again, and without empty segments and dots.
func settled(p string) string {
	for range 3 {
		if !strings.Contains(p, "%") {
			break
		}
		if decoded, err := url.PathUnescape(p); err == nil {
			p = decoded
		}
	}
	return path.Clean(p)
}

// maxKept is how long a body may be that is kept in case its request has to be sent again with the next token. Times the requests of a listener that
// is what they may cost in memory. A body that does not say how long it is streams.
const maxKept = 64 << 10

// send forwards a request. Whoever may use the listener may use the auto-auth token, but never read it: when it was lent to r, the answer
// comes back without it.
func (c *Cache) send(w http.ResponseWriter, r *http.Request, id vault.Identity, inspect func(*http.Response) error) error {
	if !id.Injected {
		return c.vault.Forward(w, r, id, func(resp *http.Response) error {
			c.tokenIsGone(resp, id)
			return inspect(resp)
		})
	}
	if c.replaced(id) && repeatable(r) {
		return errTokenGone
	}
	m, q := c.maskOf(id), questionOf(r.URL.Path, r.Header.Get("X-Vault-Namespace"))
	var body []byte
	if q == unrelated && r.ContentLength > 0 && r.ContentLength <= min(maxKept, c.maxEntrySize.Load()) {
		if _, _, err := takeBody(r, maxKept); err != nil {
			return err
		}
	}
	if q != unrelated {
		var err error
		if body, _, err = takeBody(r, c.maxEntrySize.Load()); err != nil {
			return err
		}
		// The answer must be one that can be read, and all of it.
		r.Header.Set("Accept-Encoding", "identity")
		r.Header.Del("Range")
	}
	return c.vault.Forward(w, r, id, func(resp *http.Response) error {
		if c.tokenIsGone(resp, id) && !id.Repeated && c.tokens != nil && repeatable(r) {
			return errTokenGone
		}
		m.header(resp.Header)
		if err := inspect(resp); err != nil {
			return err
		}
		if q != unrelated && resp.Body != http.NoBody {
			if err := conceal(resp, q, r.URL, body, id.Token); err != nil {
				return err
			}
		}
		m.body(resp)
		return nil
	})
}

// conceal takes the auto-auth token and its accessor out of the answer to a question. Vault may name it otherwise than it was sent (by the token
// inside a server-side consistent one, which works as well), so an answer may hold no token but one that the client itself has named, in u or
// in the body sent.
func conceal(resp *http.Response, q question, u *url.URL, sent []byte, auto vault.Token) error {
	body, whole, err := readUpTo(resp.Body, resp.ContentLength, DefaultMaxEntrySize)
	if err == nil && !whole && q == accessors && resp.Header.Get("Content-Encoding") == "" {
		resp.Body = rejoin(body, resp.Body) // they are known, and masked in a stream of any length
		return nil
	}
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
	rest, err := withoutToken(body, func(token string) bool {
		return token != auto.Reveal() &&
			(bytes.Contains(sent, []byte(token)) || strings.Contains(u.Path, token) || strings.Contains(u.RawQuery, token))
	})
	if err != nil {
		return fmt.Errorf("an answer about the auto-auth token cannot be edited: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(rest))
	if resp.Header.Get("Content-Encoding") == "" && bytes.Equal(rest, body) {
		return nil
	}
	resp.Header.Del("Content-Encoding")
	resp.Header.Set("Content-Length", strconv.Itoa(len(rest)))
	resp.ContentLength, resp.TransferEncoding = int64(len(rest)), nil
	return nil
}

// withoutToken edits the places where Vault puts a token that is not known: data of a lookup loses id and accessor, the help of lookup-self and
// its like loses id, auth of a renewal has client_token and accessor emptied. All other fields stay as they are. What is not of that shape is
// returned unchanged.
func withoutToken(body []byte, known func(token string) bool) ([]byte, error) {
	var top, data, auth map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil {
		return body, nil
	}
	if wrapped := top["wrap_info"]; wrapped != nil && string(wrapped) != "null" {
		return nil, ErrConcealed
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
	if holds(top["id"]) {
		delete(top, "id")
		edited = true
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
