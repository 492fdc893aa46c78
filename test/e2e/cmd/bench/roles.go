package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"

	"leasehold/test/e2e/realvault"
)

// instructions are the first line on the stdin of a server process. The end of its stdin ends it: so it does not outlive the bench, however
// that ended.
type instructions struct {
	Upstream string      `json:",omitempty"` // host:port; of a proxy
	Header   http.Header `json:",omitempty"` // the answer of a bare server
	Body     []byte      `json:",omitempty"`
}

// serving is what a server process says when it serves.
type serving struct {
	Address string // host:port
	Token   string `json:",omitempty"` // Vault's root token
}

// play is the life of a server process. Each server has a process of its own, as Leasehold has, so that all are measured alike.
func play(role string, in io.Reader, out io.Writer) error {
	told := json.NewDecoder(in)
	var i instructions
	if err := told.Decode(&i); err != nil {
		return fmt.Errorf("read the instructions of the %s: %w", role, err)
	}
	var s serving
	var err error
	switch role {
	case "vault":
		v, startErr := realvault.Start(realvault.Options{})
		if startErr != nil {
			return startErr
		}
		s = serving{Address: v.Address[len("http://"):], Token: v.RootToken}
	case "bare":
		s.Address, err = serve(bareServer(i))
	case "proxy":
		s.Address, err = serve(bareProxy(i))
	default:
		err = fmt.Errorf("there is no role %q", role)
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(s); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// serve answers on a free port as long as the process lives.
func serve(h http.Handler) (address string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() { _ = http.Serve(ln, h) }() // ends with the process
	return ln.Addr().String(), nil
}

// bareServer writes one answer to everything: the least that a net/http server can do to answer like a cache.
func bareServer(i instructions) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), i.Header)
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(i.Body)
	})
}

// bareProxy is the standard library's reverse proxy, with enough idle connections that it need not dial.
func bareProxy(i instructions) http.Handler {
	to := &url.URL{Scheme: "http", Host: i.Upstream}
	return &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(to) },
	}
}
