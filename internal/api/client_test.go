package api_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/api"
)

// heard is what a server was asked.
type heard struct{ method, target, guard, body string }

// serve answers every request with status and body, and tells what it was asked.
func serve(t *testing.T, start func(http.Handler) *httptest.Server, status int, body string) (*httptest.Server, *heard) {
	t.Helper()
	h := &heard{}
	s := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		*h = heard{r.Method, r.URL.RequestURI(), r.Header.Get("X-Vault-Request"), string(b)}
		w.Header().Set(api.ClearedHeader, "7")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s, h
}

func newClient(t *testing.T, o api.Options) *api.Client {
	t.Helper()
	c, err := api.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		ask    func(context.Context, *api.Client) (any, error)
		want   heard
		got    string // of the answer, as JSON
	}{
		"status": {
			`{"version":"1","ready":true}`,
			func(ctx context.Context, c *api.Client) (any, error) { s, err := c.Status(ctx); return s.Version, err },
			heard{"GET", "/proxy/v1/status", "true", ""}, `"1"`,
		},
		"all leases": {
			`{"total":3,"leases":[{"id":"a"}]}`,
			func(ctx context.Context, c *api.Client) (any, error) {
				p, err := c.Leases(ctx, api.LeaseQuery{})
				return p.Leases[0].ID, err
			},
			heard{"GET", "/proxy/v1/leases", "true", ""}, `"a"`,
		},
		"some leases": {
			`{}`,
			func(ctx context.Context, c *api.Client) (any, error) {
				_, err := c.Leases(ctx, api.LeaseQuery{Mount: "a b", Path: "a/+/*", Namespace: "root", Kind: "token", Accessor: "x", State: "due", Sort: "hits", Order: "desc", Limit: 5, After: "z"})
				return nil, err
			},
			heard{"GET", "/proxy/v1/leases?accessor=x&after=z&kind=token&limit=5&mount=a+b&namespace=root&order=desc&path=a%2F%2B%2F%2A&sort=hits&state=due", "true", ""}, `null`,
		},
		"an explanation": {
			`{"kind":"pass"}`,
			func(ctx context.Context, c *api.Client) (any, error) {
				e, err := c.Explain(ctx, api.ExplainQuery{Method: "LIST", Path: "/v1/kv/a?x=y", UID: "7", ClientCN: "app"})
				return e.Kind, err
			},
			heard{"GET", "/proxy/v1/explain?client_cn=app&method=LIST&path=%2Fv1%2Fkv%2Fa%3Fx%3Dy&uid=7", "true", ""}, `"pass"`,
		},
		"ready for all": {
			`{"ready":true,"parts":[]}`,
			func(ctx context.Context, c *api.Client) (any, error) { r, err := c.Ready(ctx); return r.Ready, err },
			heard{"GET", "/proxy/v1/readyz?", "true", ""}, `true`,
		},
		"ready for some": {
			`{"ready":true,"parts":[]}`,
			func(ctx context.Context, c *api.Client) (any, error) {
				r, err := c.Ready(ctx, "auto_auth", "upstream")
				return r.Ready, err
			},
			heard{"GET", "/proxy/v1/readyz?require=auto_auth%2Cupstream", "true", ""}, `true`,
		},
		"clear": {
			``,
			func(ctx context.Context, c *api.Client) (any, error) {
				return c.Clear(ctx, api.Clear{Type: "request_path", Value: "/v1/x/"})
			},
			heard{"POST", "/proxy/v1/cache-clear", "true", `{"type":"request_path","value":"/v1/x/"}`}, `7`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := serve(t, httptest.NewServer, http.StatusOK, c.answer)
			got, err := c.ask(t.Context(), newClient(t, api.Options{Address: s.URL + "/"}))
			if err != nil {
				t.Fatal(err)
			}
			if *h != c.want {
				t.Errorf("asked %+v, want %+v", *h, c.want)
			}
			if text, _ := json.Marshal(got); string(text) != c.got {
				t.Errorf("got %s, want %s", text, c.got)
			}
		})
	}
}

func TestAnswersThatAreErrors(t *testing.T) {
	s, _ := serve(t, httptest.NewServer, http.StatusForbidden, `{"errors":["rule 3 denies this"]}`)
	_, err := newClient(t, api.Options{Address: s.URL}).Status(t.Context())
	var said *api.Error
	if !errors.As(err, &said) || said.Status != http.StatusForbidden || !slices.Equal(said.Errors, []string{"rule 3 denies this"}) ||
		err.Error() != "Leasehold answered 403: rule 3 denies this" {
		t.Errorf("got %v", err)
	}
	// Not ready is an answer like any other, but only in its form.
	s, _ = serve(t, httptest.NewServer, http.StatusServiceUnavailable, `{"ready":false,"parts":[{"name":"auto_auth"}]}`)
	r, err := newClient(t, api.Options{Address: s.URL}).Ready(t.Context())
	if err != nil || r.Ready || len(r.Parts) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	s, _ = serve(t, httptest.NewServer, http.StatusServiceUnavailable, `{"alive":false,"reason":"it hangs"}`)
	if l, err := newClient(t, api.Options{Address: s.URL}).Live(t.Context()); err != nil || l.Alive || l.Reason != "it hangs" {
		t.Errorf("got %+v, %v", l, err)
	}
	s, _ = serve(t, httptest.NewServer, http.StatusOK, "<html>")
	if _, err = newClient(t, api.Options{Address: s.URL}).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "not Leasehold's") {
		t.Errorf("got %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "l") // short: the name of a socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	serve(t, func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.Listener.Close()
		if s.Listener, err = net.Listen("unix", path); err != nil {
			t.Fatal(err)
		}
		s.Start()
		return s
	}, http.StatusOK, `{"pid":7}`)
	s, err := newClient(t, api.Options{Address: "unix://" + path}).Status(t.Context())
	if err != nil || s.PID != 7 {
		t.Errorf("got %+v, %v", s, err)
	}
	_, err = newClient(t, api.Options{Address: "unix://" + path + "x"}).Status(t.Context())
	if err == nil || !strings.Contains(err.Error(), path+"x does not answer") || !strings.Contains(err.Error(), "; check that it runs") {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	s, _ := serve(t, httptest.NewTLSServer, http.StatusOK, `{}`)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tls  api.TLS
		want string // of the error; "" for none
	}{
		"not trusted":     {api.TLS{}, "certificate"},
		"a file":          {api.TLS{CACert: ca}, ""},
		"a directory":     {api.TLS{CAPath: filepath.Dir(ca)}, ""},
		"another name":    {api.TLS{CACert: ca, ServerName: "elsewhere.test"}, "elsewhere.test"},
		"its other name":  {api.TLS{CACert: ca, ServerName: "example.com"}, ""},
		"not to be asked": {api.TLS{SkipVerify: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, api.Options{Address: s.URL, TLS: c.tls}).Status(t.Context())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    api.Options
		want string
	}{
		"no address":          {api.Options{}, "write http://HOST:PORT"},
		"no scheme":           {api.Options{Address: "127.0.0.1:8100"}, "write http://HOST:PORT"},
		"a socket's bad URL":  {api.Options{Address: "unix://run/x"}, "write http://HOST:PORT"},
		"a password":          {api.Options{Address: "http://a:b@h"}, "no user, password or path"},
		"a path":              {api.Options{Address: "http://h/v1/x"}, "no user, password or path"},
		"a CA without any":    {api.Options{Address: "https://h", TLS: api.TLS{CACert: empty}}, "has no certificate"},
		"a CA that is not":    {api.Options{Address: "https://h", TLS: api.TLS{CACert: empty + "x"}}, "check -ca-cert"},
		"no directory":        {api.Options{Address: "https://h", TLS: api.TLS{CAPath: empty}}, "-ca-path"},
		"no key":              {api.Options{Address: "https://h", TLS: api.TLS{ClientCert: empty}}, "-client-key"},
		"no such certificate": {api.Options{Address: "https://h", TLS: api.TLS{ClientCert: empty, ClientKey: empty}}, "cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := api.NewClient(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			} else if strings.Contains(err.Error(), "a:b") {
				t.Error("the error shows a password")
			}
		})
	}
}

func TestSockets(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing is set":   {nil, []string{"/run/leasehold/admin.sock"}},
		"a service":        {map[string]string{"RUNTIME_DIRECTORY": "/run/a:/run/b"}, []string{"/run/a/admin.sock", "/run/leasehold/admin.sock"}},
		"a user's shell":   {map[string]string{"XDG_RUNTIME_DIR": "/run/user/7"}, []string{"/run/user/7/leasehold/admin.sock", "/run/leasehold/admin.sock"}},
		"a user's service": {map[string]string{"RUNTIME_DIRECTORY": "/run/user/7/a", "XDG_RUNTIME_DIR": "/run/user/7"}, []string{"/run/user/7/a/admin.sock", "/run/user/7/leasehold/admin.sock", "/run/leasehold/admin.sock"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := api.Sockets(func(n string) string { return c.env[n] }); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
