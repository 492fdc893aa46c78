package cache

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// answerHeaders are the request headers that change Vault's answer. No other counts: Vault Proxy hashes all of them, so that a trace id
// or a User-Agent costs a second lease.
// The last one names who logs in where a balancer has ended the client's TLS (Vault's x_forwarded_for_client_cert_header).
var answerHeaders = []string{"X-Vault-Wrap-Ttl", "X-Vault-Mfa", "X-Vault-Policy-Override", "X-Forwarded-Client-Cert"}

// keyer computes keys: SHA-256 over a secret and length-prefixed parts, so that a key found in a core file neither
// holds a token or password nor can be tried against guesses.
type keyer struct {
	secret  [32]byte
	buffers sync.Pool
}

func newKeyer(secret *[32]byte) *keyer {
	k := &keyer{buffers: sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}}
	if secret != nil {
		k.secret = *secret
	} else {
		_, _ = rand.Read(k.secret[:]) // never fails
	}
	return k
}

// key names a request. target is the raw request target without its query: Vault routes by the decoded path, but two spellings cost no more
// than two entries, while one key for two meanings would serve a wrong secret.
func (k *keyer) key(method string, ns vault.Namespace, target, query string, body []byte, id vault.Identity, h http.Header) lease.Key {
	p := k.buffers.Get().(*[]byte)
	b := append((*p)[:0], k.secret[:]...)
	b = part(b, method)
	b = part(b, string(ns))
	b = part(b, target)
	b = part(b, sortQuery(query))
	digest := sha256.Sum256(body)
	b = append(b, digest[:]...)
	b = part(b, id.Token.Reveal())
	for _, name := range answerHeaders {
		b = parts(b, h[name])
	}
	b = part(b, contentType(h))
	for _, v := range h["Authorization"] {
		if !isBearer(v, id) {
			b = part(b, v)
		}
	}
	sum := sha256.Sum256(b)
	clear(b) // it held the token
	*p = b
	k.buffers.Put(p)
	return sum
}

// isBearer tells an Authorization value that adds nothing to the request's token: it holds that token, or it does not reach Vault because another
// one is injected. All others count: plugins may read them, and a Kerberos login is nothing but such a header.
func isBearer(v string, id vault.Identity) bool {
	const scheme = "Bearer "
	return len(v) > len(scheme) && strings.EqualFold(v[:len(scheme)], scheme) &&
		(id.Injected || strings.TrimSpace(v[len(scheme):]) == id.Token.Reveal())
}

func part(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func parts(b []byte, values []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(values)))
	for _, v := range values {
		b = part(b, v)
	}
	return b
}

// contentType is empty for JSON and for none, which Vault reads alike.
func contentType(h http.Header) string {
	values := h["Content-Type"]
	if len(values) == 0 || values[0] == "" || values[0] == "application/json" {
		return ""
	}
	if media, _, err := mime.ParseMediaType(values[0]); err == nil && media == "application/json" {
		return ""
	}
	return values[0]
}

// sortQuery orders parameters by name. Values of one name keep their order, which Vault may heed, however the name is spelled.
func sortQuery(query string) string {
	if !strings.Contains(query, "&") {
		return query
	}
	params := strings.Split(query, "&")
	slices.SortStableFunc(params, func(a, b string) int { return strings.Compare(paramName(a), paramName(b)) })
	return strings.Join(params, "&")
}

func paramName(param string) string {
	raw, _, _ := strings.Cut(param, "=")
	if decoded, err := url.QueryUnescape(raw); err == nil {
		return decoded
	}
	return raw
}
