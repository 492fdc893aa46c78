package upstream_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// BenchmarkForward compares Forward with a bare httputil.ReverseProxy over the same sockets, and with no proxy at all.
// The budget: Forward is at least as fast as the bare one.
func BenchmarkForward(b *testing.B) {
	answer := []byte(`{"data":{"key":"` + strings.Repeat("x", 500) + `"}}`)
	back := serve(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	})
	to, err := url.Parse(back.URL)
	if err != nil {
		b.Fatal(err)
	}
	pool := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	b.Cleanup(pool.CloseIdleConnections)
	bare := &httputil.ReverseProxy{Transport: pool, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}
	ours := newClient(b, upstream.Settings{Address: back.URL, NumRetries: 12})
	id := vault.Identity{Token: vault.NewToken("hvs.auto"), Injected: true}

	for _, kind := range []struct {
		name string
		url  string
	}{
		{"direct", back.URL},
		{"bare", serve(b, bare.ServeHTTP).URL},
		{"forward", serve(b, forwardTo(ours, id)).URL},
	} {
		b.Run(kind.name, func(b *testing.B) {
			client := plainClient(b)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := client.Get(kind.url + "/v1/secret/data/app")
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		})
	}
}

// BenchmarkForwardOnly leaves the sockets out: what is left is our own cost beside that of httputil.ReverseProxy.
func BenchmarkForwardOnly(b *testing.B) {
	still := canned("answer")
	to := &url.URL{Scheme: "http", Host: "vault.test"}
	bare := &httputil.ReverseProxy{Transport: still, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}
	ours := newClient(b, upstream.Settings{Address: to.String(), NumRetries: 12, Transport: still})
	id := vault.Identity{Token: vault.NewToken("hvs.auto"), Injected: true}
	for _, kind := range []struct {
		name string
		http.Handler
	}{{"bare", bare}, {"forward", forwardTo(ours, id)}} {
		b.Run(kind.name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/v1/secret/data/app", nil)
			b.ReportAllocs()
			for b.Loop() {
				kind.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

// canned is a transport that always has the same answer.
type canned string

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(c))), ContentLength: int64(len(c))}, nil
}
