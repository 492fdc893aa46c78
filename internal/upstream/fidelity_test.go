package upstream_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// arrival is all that a server can tell of a request.
type arrival struct {
	Method, Target, Body string
	Header, Trailer      http.Header
	ContentLength        int64
	TransferEncoding     []string
}

// recorder is a server that hands out what arrived.
func recorder(t testing.TB, start func(http.Handler) *httptest.Server) (*httptest.Server, <-chan arrival) {
	got := make(chan arrival, 1)
	s := start(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- arrival{
			Method: r.Method, Target: r.RequestURI, Body: string(body), Header: r.Header.Clone(), Trailer: r.Trailer.Clone(),
			ContentLength: r.ContentLength, TransferEncoding: r.TransferEncoding,
		}
	}))
	t.Cleanup(s.Close)
	return s, got
}

// speak writes a raw request and reads the answer to it.
func speak(t testing.TB, addr, raw string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

// ours undoes what Forward adds by contract.
func (a arrival) ours(t testing.TB) arrival {
	t.Helper()
	agent := a.Header.Get("User-Agent")
	if !strings.HasPrefix(agent, own()) || !reflect.DeepEqual(a.Header["X-Vault-Request"], []string{"true"}) {
		t.Errorf("User-Agent %q, X-Vault-Request %q", agent, a.Header["X-Vault-Request"])
	}
	a.Header.Del("X-Vault-Request")
	a.Header.Del("User-Agent")
	if _, client, ok := strings.Cut(agent, "; "); ok {
		a.Header.Set("User-Agent", client)
	}
	return a
}

// What Vault sees through Forward is what it would see of the client itself, to the last header.
func TestRequestsArriveAsSent(t *testing.T) {
	direct, gotDirect := recorder(t, httptest.NewServer)
	behind, gotBehind := recorder(t, httptest.NewServer)
	secure, gotSecure := recorder(t, func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.EnableHTTP2 = true
		s.StartTLS()
		return s
	})
	gates := map[string]struct {
		addr string
		got  <-chan arrival
	}{
		"HTTP/1.1": {front(t, newClient(t, upstream.Settings{Address: behind.URL}), vault.Identity{}).Listener.Addr().String(), gotBehind},
		"HTTP/2": {front(t, newClient(t, upstream.Settings{Address: secure.URL, TLSSkipVerify: true}), vault.Identity{}).
			Listener.Addr().String(), gotSecure},
	}
	requests := map[string]string{
		"header multiplicity": "GET /v1/x HTTP/1.1\r\nHost: h\r\nX-Many: a\r\nx-many: b\r\nX-Many: a\r\nX-Empty:\r\nAccept: */*\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
		"no user agent":       "GET /v1/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"user agent":          "GET /v1/x HTTP/1.1\r\nHost: h\r\nUser-Agent: vault-cli\r\n\r\n",
		"odd values":          "GET /v1/x HTTP/1.1\r\nHost: h\r\nX-A: \xe9\t|\r\nX-B: \"q\", ;\r\nx_underscore: 1\r\n\r\n",
		"HTTP/1.0":            "GET /v1/x HTTP/1.0\r\nHost: h\r\n\r\n",
		"merge patch":         "PATCH /v1/secret/data/x HTTP/1.1\r\nHost: h\r\nContent-Type: application/merge-patch+json\r\nContent-Length: 2\r\n\r\n{}",
		"trailers": "POST /v1/x HTTP/1.1\r\nHost: h\r\nTe: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
		"chunk extensions": "POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n0\r\n\r\n",
		"paths":            "GET /v1//a%20b%2F/../\xc3\xa9/%e9/?b=1&a=%zz;c&b= HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET with a body":  "GET /v1/leaser/creds/app HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody",
	}
	for _, method := range []string{"GET", "HEAD", "LIST", "SCAN", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get"} {
		requests[method] = method + " /v1/leaser/creds/app HTTP/1.1\r\nHost: h\r\n\r\n"
		requests[method+" of length 0"] = method + " /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
		requests[method+" with a body"] = method + " /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
		requests[method+" with chunks"] = method + " /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n3\r\n or\r\n0\r\n\r\n"
	}
	for gate, to := range gates {
		for name, raw := range requests {
			t.Run(gate+" "+name, func(t *testing.T) {
				speak(t, direct.Listener.Addr().String(), raw)
				speak(t, to.addr, raw)
				want := <-gotDirect
				var got arrival
				select {
				case got = <-to.got:
				case <-time.After(5 * time.Second):
					t.Fatal("nothing arrived")
				}
				got = got.ours(t)
				if want.ContentLength == 0 && got.ContentLength <= 0 { // with and without "Content-Length: 0" the body is the same
					want.Header.Del("Content-Length")
					got.Header.Del("Content-Length")
					got.ContentLength = 0
				}
				if gate == "HTTP/2" { // has no Transfer-Encoding, and joins cookies (RFC 9113, section 8.2.3)
					want.TransferEncoding = nil
					if sent := want.Header["Cookie"]; len(sent) > 1 {
						want.Header["Cookie"] = []string{strings.Join(sent, "; ")}
					}
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("arrived  %+v\ndirectly %+v", got, want)
				}
			})
		}
	}
}

// What a client sees through Forward is what it would see of Vault itself, to the last header.
func TestAnswersArriveAsSent(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"HEAD with a length": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1234") },
		"empty":              func(http.ResponseWriter, *http.Request) {},
		"empty, chunked":     func(w http.ResponseWriter, _ *http.Request) { http.NewResponseController(w).Flush() },
		"chunked": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "a")
			http.NewResponseController(w).Flush()
			io.WriteString(w, "b")
		},
		"multiplicity": func(w http.ResponseWriter, _ *http.Request) { w.Header()["X-Many"] = []string{"a", "b", "a", ""} },
		"no date":      func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil },
		"204":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"reset content": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(205)
		},
		"an odd status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(799) },
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "LIST"} {
			if method != "HEAD" && strings.HasPrefix(name, "HEAD") {
				continue // an answer without the body that it announces
			}
			t.Run(name+" "+method, func(t *testing.T) {
				back := serve(t, h)
				gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
				raw := method + " /v1/sys/x HTTP/1.1\r\nHost: h\r\n\r\n"
				direct, via := speak(t, back.Listener.Addr().String(), raw), speak(t, gate.Listener.Addr().String(), raw)
				for _, resp := range []*http.Response{direct, via} {
					if len(resp.Header["Date"]) == 1 {
						resp.Header.Set("Date", "")
					}
				}
				want, _ := io.ReadAll(direct.Body)
				got, _ := io.ReadAll(via.Body)
				if method != "HEAD" && len(want) == 0 { // with and without an end that is announced, no body is no body
					for _, resp := range []*http.Response{direct, via} {
						resp.Header.Del("Content-Length")
						resp.ContentLength, resp.TransferEncoding = 0, nil
					}
				}
				if name == "no date" { // an HTTP server adds one
					maps.Copy(direct.Header, http.Header{"Date": {""}})
				}
				if via.StatusCode != direct.StatusCode || !sameHeader(via.Header, direct.Header) || !bytes.Equal(got, want) ||
					via.ContentLength != direct.ContentLength || !reflect.DeepEqual(via.TransferEncoding, direct.TransferEncoding) {
					t.Errorf("got    %d %v %d %v %q\ndirect %d %v %d %v %q", via.StatusCode, via.Header, via.ContentLength, via.TransferEncoding, got,
						direct.StatusCode, direct.Header, direct.ContentLength, direct.TransferEncoding, want)
				}
			})
		}
	}
}

// secured starts a TLS server that speaks HTTP/2.
func secured(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

var protocols = map[string]func(testing.TB, http.HandlerFunc) *httptest.Server{"HTTP/1.1": serve, "HTTP/2": secured}

// Half an answer is an error that the client sees, whatever the form of the answer.
func TestHalfAnAnswerIsAnError(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"shorter than its length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "half")
		},
		"broken in a chunk": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"a chunk shorter than it says": func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 {
				panic(http.ErrAbortHandler)
			}
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf")
			conn.Close()
		},
	} {
		for protocol, start := range protocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				back := start(t, h)
				c := newClient(t, upstream.Settings{Address: back.URL, TLSSkipVerify: true})
				gate := serve(t, forwardTo(c, vault.Identity{}))
				resp, err := plainClient(t).Get(gate.URL + "/v1/sys/x")
				if err != nil {
					return
				}
				defer resp.Body.Close()
				if body, err := io.ReadAll(resp.Body); err == nil && resp.StatusCode == 200 {
					t.Errorf("answer %d %q without an error", resp.StatusCode, body)
				}
			})
		}
	}
}

// A client gets each part of an answer of unknown length as it comes, and the headers before all: a follower of sys/monitor sees that it is
// connected.
func TestAnswersAreFlushedAtOnce(t *testing.T) {
	for protocol, start := range protocols {
		t.Run(protocol, func(t *testing.T) {
			release := make(chan struct{})
			back := start(t, func(w http.ResponseWriter, r *http.Request) {
				for range 3 {
					http.NewResponseController(w).Flush()
					select {
					case <-release:
					case <-r.Context().Done():
						return
					}
					io.WriteString(w, "part")
				}
			})
			gate := front(t, newClient(t, upstream.Settings{Address: back.URL, TLSSkipVerify: true}), vault.Identity{})
			resp, err := plainClient(t).Get(gate.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			for range 3 {
				release <- struct{}{}
				part := make([]byte, len("part"))
				if _, err := io.ReadFull(resp.Body, part); err != nil {
					t.Fatal(err)
				}
			}
			if rest, err := io.ReadAll(resp.Body); len(rest) != 0 || err != nil {
				t.Errorf("then %q, %v", rest, err)
			}
		})
	}
}

// A client that asks first sends its body only when Vault wants it.
func TestExpectContinue(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "100-continue" {
			t.Errorf("Expect arrived as %q", r.Header["Expect"])
		}
		if r.URL.Path == "/v1/unwanted" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.Copy(w, r.Body)
	})
	gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
	ask := func(path string) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", gate.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", path)
		return conn, bufio.NewReader(conn)
	}
	_, in := ask("/v1/unwanted")
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("unwanted body: answer %v, %v; want 403 and no 100 before it", resp, err)
	}
	conn, in := ask("/v1/wanted")
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusContinue {
		t.Fatalf("wanted body: answer %v, %v; want 100", resp, err)
	}
	io.WriteString(conn, "body")
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("answer %v, %v; want 200", resp, err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "body" || err != nil {
		t.Errorf("the body came back as %q, %v", body, err)
	}
}
