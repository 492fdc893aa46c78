package upstream_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// written is a transport that notes what a request looks like on the wire.
type written struct{ bytes.Buffer }

func (w *written) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Write(w); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 204, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// What leaves for Vault reads, to net/http, as what came from the client: method, target, every header that is not for one hop, and body.
func FuzzForward(f *testing.F) {
	f.Add("GET", "/v1/x?b=1&a=2;c", "X-A: 1\r\nx-a: 2\r\nX-Forwarded-For: 10.0.0.1\r\n", "")
	f.Add("LIST", "/v1//a%2Fb/../\xc3\xa9/", "Connection: close, X-A\r\nX-A: 1\r\nKeep-Alive: 1\r\n", "")
	f.Add("PATCH", "http://vault.test/v1/x", "Content-Type: application/merge-patch+json\r\nIdempotency-Key: 1\r\n", "{}")
	f.Add("POST", "/v1/x", "Connection: x-vault-namespace\r\nX-Vault-Namespace: a\r\nTe: trailers\r\n", "body")
	f.Add("PUT", "//x//", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n")
	f.Add("GET", "/v1/x", "Connection: upgrade\r\nUpgrade: websocket\r\nCookie: a\r\nCookie: b\r\n", "")
	f.Add("GET", "/", "0 ", "0") // runs into the next field: a name with a space
	f.Fuzz(func(t *testing.T, method, target, header, body string) {
		raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n%s", method, target, header, len(body), body)
		read := func() *http.Request {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
			if err != nil || !valid(r.Header) {
				return nil
			}
			return r
		}
		in, want := read(), read()
		if in == nil {
			return
		}
		whole, err := io.ReadAll(want.Body)
		if err != nil || upgrade(want.Header) {
			return
		}
		var sent written
		c := newClient(t, upstream.Settings{Address: "https://vault.test", Transport: &sent, NumRetries: 0})
		if err := c.Forward(httptest.NewRecorder(), in, vault.Identity{}, nil); errors.Is(err, upstream.ErrTarget) {
			return
		} else if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent.Bytes())))
		if err != nil {
			t.Fatalf("%q became %q: %v", raw, sent.Bytes(), err)
		}
		arrived, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatalf("%q became %q: %v", raw, sent.Bytes(), err)
		}
		if got.Method != want.Method || !bytes.Equal(arrived, whole) || got.Host != "vault.test" {
			t.Errorf("%q became %q", raw, sent.Bytes())
		}
		if strings.HasPrefix(want.RequestURI, "/") && originOf(got.RequestURI) != want.RequestURI {
			t.Errorf("target %q became %q", want.RequestURI, got.RequestURI)
		}
		if h := endToEnd(got.Header, got.Header); !reflect.DeepEqual(h, endToEnd(want.Header, want.Header)) {
			t.Errorf("%q: header %v became %v", raw, want.Header, h)
		}
	})
}

// originOf cuts the authority off a target that had to be sent in absolute form.
func originOf(target string) string { return strings.TrimPrefix(target, "https://vault.test") }

// endToEnd is h without what is for one hop, and without what Forward adds by contract.
func endToEnd(h, from http.Header) http.Header {
	out := h.Clone()
	for _, list := range from["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			if !strings.HasPrefix(name, "X-Vault-") && name != "Authorization" { // those Vault needs
				delete(out, name)
			}
		}
	}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"User-Agent", "X-Vault-Request", "Content-Length",
	} {
		delete(out, name)
	}
	if own := out["X-Vault-Token"]; len(own) > 1 {
		out["X-Vault-Token"] = own[:1]
	}
	return out
}

// valid refuses what a server refuses, although ReadRequest takes it.
func valid(h http.Header) bool {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, v := range values {
			if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return false
			}
		}
	}
	return true
}

// upgrade tells requests for a tunnel, which have a way of their own.
func upgrade(h http.Header) bool {
	return strings.Contains(strings.ToLower(strings.Join(h["Connection"], ",")), "upgrade")
}
