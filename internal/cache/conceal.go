package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
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

// question is what a request may make Vault tell about the token that it was sent with.
type question uint8

const (
	unrelated question = iota
	accessors          // the list of all accessors, the token's own among them
	itself             // all else that the token store may say of a token
)

// questionOf decides by the path that Vault will see, in every form, current and deprecated. Where that is open it takes the worst for true:
// such a request goes to Vault all the same.
func questionOf(r *http.Request) question {
	namespaces := r.Header["X-Vault-Namespace"]
	suspect := func(s string) bool { return strings.Contains(s, "token") || strings.Contains(s, "%") }
	if !suspect(r.URL.Path) && !slices.ContainsFunc(namespaces, suspect) {
		return unrelated
	}
	q := asked("", r.URL.Path)
	for _, ns := range namespaces {
		q = max(q, asked(ns, r.URL.Path))
	}
	return q
}

// asked is the question of one path under one namespace header. To a Vault with namespaces the two are one path: the header "auth" before
// /v1/token/lookup-self may mean the same as /v1/auth/token/lookup-self.
func asked(namespace, p string) question {
	p = settled(p)
	if namespace != "" {
		p = settled("/" + namespace + strings.TrimPrefix(p, "/v1"))
	}
	const store = "/auth/token"
	q := unrelated
	for i := strings.Index(p, store+"/"); i >= 0; i = strings.Index(p, store+"/") {
		p = p[i+len(store):]
		switch {
		case strings.HasPrefix(p, "/create"), strings.HasPrefix(p, "/roles"): // what is new, and what is no token
		case strings.HasPrefix(p, "/accessors"):
			q = max(q, accessors)
		default: // lookups and renewals; also the help of revoke-self has the token in it
			q = itself
		}
	}
	return q
}

// settled is a decoded path as whatever stands between us and Vault's router may make it: decoded once more, and without empty segments
// and dots, to which Vault redirects.
func settled(p string) string {
	for strings.Contains(p, "%") {
		decoded, err := url.PathUnescape(p)
		if err != nil || decoded == p {
			break
		}
		p = decoded
	}
	return path.Clean(p)
}

// send forwards a request. Whoever may use the listener may use the auto-auth token, but never read it: when it was lent to r, the answer
// comes back without it.
func (c *Cache) send(w http.ResponseWriter, r *http.Request, id vault.Identity, inspect func(*http.Response) error) error {
	if !id.Injected {
		return c.vault.Forward(w, r, id, inspect)
	}
	m, q := c.maskOf(id), questionOf(r)
	if q == unrelated {
		return c.vault.Forward(w, r, id, func(resp *http.Response) error {
			m.header(resp.Header)
			if err := inspect(resp); err != nil {
				return err
			}
			m.body(resp)
			return nil
		})
	}
	body, _, err := takeBody(r, c.opt.MaxEntrySize)
	if err != nil {
		return err
	}
	// The answer must be one that can be read, and all of it.
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Del("Range")
	return c.vault.Forward(w, r, id, func(resp *http.Response) error {
		m.header(resp.Header)
		if err := inspect(resp); err != nil {
			return err
		}
		if err := conceal(resp, q, r.URL, body, id.Token); err != nil {
			return err
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
	body, err = withoutToken(body, func(token string) bool {
		return token != auto.Reveal() &&
			(bytes.Contains(sent, []byte(token)) || strings.Contains(u.Path, token) || strings.Contains(u.RawQuery, token))
	})
	if err != nil {
		return fmt.Errorf("an answer about the auto-auth token cannot be edited: %w", err)
	}
	resp.Header.Del("Content-Encoding")
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.TransferEncoding = nil
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// withoutToken edits the places where Vault puts a token that is not known: data of a lookup loses id and accessor, the help of lookup-self and
// its like loses id, auth of a renewal has client_token and accessor emptied. All other fields stay as they are. What is not of that shape is returned unchanged.
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
