package upstream_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

func TestMain(m *testing.M) {
	for _, kv := range os.Environ() { // the tests say what the environment is
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "VAULT_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// newClient makes a client with production defaults for whatever s leaves out, and closes its pool with the test.
func newClient(t testing.TB, s upstream.Settings) *upstream.Client {
	t.Helper()
	s.Product, s.Log = "Leasehold/1.2.3", slog.New(slog.DiscardHandler)
	c, err := upstream.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// serve starts a server on a socket that ends with the test.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// front starts a server that forwards everything through c, as the router does, and answers 502 with the text of an error.
func front(t testing.TB, c *upstream.Client, id vault.Identity) *httptest.Server {
	return serve(t, forwardTo(c, id))
}

func forwardTo(c *upstream.Client, id vault.Identity) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := c.Forward(w, r, id, nil); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
}

// plainClient sends what it is told and no more: no gzip of its own, no redirects followed.
func plainClient(t testing.TB) *http.Client {
	tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
