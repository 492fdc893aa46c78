package upstream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// cluster is a transport to nodes of Vault by host. A node that is not there refuses connections.
type cluster struct {
	mu    sync.Mutex
	nodes map[string]http.HandlerFunc
	fails error // instead of a refused connection
}

func (c *cluster) set(host string, h http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h == nil {
		delete(c.nodes, host)
	} else {
		c.nodes[host] = h
	}
}

func (c *cluster) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	h, fails := c.nodes[r.URL.Host], c.fails
	c.mu.Unlock()
	if h == nil {
		if fails == nil {
			fails = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		return nil, fails
	}
	if r.Body != nil {
		defer r.Body.Close()
	}
	w := httptest.NewRecorder()
	h(w, r)
	resp := w.Result()
	resp.Request, resp.ContentLength = r, int64(w.Body.Len())
	return resp, nil
}

// named is a node that tells its name and what it was sent, and has this health.
func named(name string, health int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Opaque+r.URL.Path, "/sys/health") {
			w.WriteHeader(health)
			return
		}
		io.WriteString(w, name)
		if r.Body != nil {
			io.Copy(w, r.Body)
		}
	}
}

func sealedNode(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, `{"errors":["Vault is sealed"]}`+"\n")
}

// trio is a client of three nodes, and its log.
type trio struct {
	*cluster
	*upstream.Client
	log     *bytes.Buffer
	reached *atomic.Int64 // how often Settings.Reached was called
}

func newTrio(t *testing.T) trio {
	c := trio{cluster: &cluster{nodes: map[string]http.HandlerFunc{}}, log: &bytes.Buffer{}, reached: new(atomic.Int64)}
	for _, name := range []string{"a", "b", "c"} {
		c.nodes[name+".test"] = named(name, 200)
	}
	var err error
	c.Client, err = upstream.New(upstream.Settings{
		Addresses: []string{"https://a.test", "https://b.test", "https://c.test"}, Transport: c.cluster, NumRetries: 12,
		Product: "Leasehold/1.2.3", Log: slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
		Reached: func() { c.reached.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask returns the answer to a request, its status and the error; all without waiting, or it takes the bubble's time.
func (c trio) ask(method, path, body string) (string, int, error) {
	r := httptest.NewRequest(method, path, nil)
	if body != "" {
		r = httptest.NewRequest(method, path, strings.NewReader(body))
	}
	w := httptest.NewRecorder()
	err := c.Forward(w, r, vault.Identity{}, nil)
	return w.Body.String(), w.Code, err
}

func (c trio) want(t *testing.T, want string) {
	t.Helper()
	if got, status, err := c.ask("GET", "/v1/leaser/creds/app", ""); got != want || err != nil {
		t.Errorf("answer %d %q, %v; want one of %s", status, got, err, want)
	}
}

// logged is what the log says when everything that was begun has settled.
func (c trio) logged() string {
	synctest.Wait()
	return c.log.String()
}

func (c trio) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

// What cannot have acted on a request is left for the next node within the same try, whatever the request.
func TestFailover(t *testing.T) {
	for name, tc := range map[string]struct {
		first http.HandlerFunc
		fails error
		want  string
	}{
		"no connection":    {want: "b"},
		"no such host":     {fails: &net.OpError{Op: "dial", Err: &net.DNSError{Name: "a.test"}}, want: "b"},
		"bad certificate":  {fails: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, want: "b"},
		"sealed":           {first: sealedNode, want: "b"},
		"a standby":        {first: named("a", 429), want: "a"},
		"another 503 once": {first: once(http.StatusServiceUnavailable, named("a", 200)), want: "a"},
	} {
		for _, method := range []string{"GET", "LIST", "POST", "PATCH"} {
			t.Run(name+" "+method, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newTrio(t)
					c.set("a.test", tc.first)
					c.fails = tc.fails
					body := ""
					if strings.HasPrefix(method, "P") {
						body = "body"
					}
					start := time.Now()
					got, status, err := c.ask(method, "/v1/leaser/creds/app", body)
					if got != tc.want+body || err != nil {
						t.Errorf("answer %d %q, %v; want %s", status, got, err, tc.want+body)
					}
					if tc.want == "b" && (time.Since(start) != 0 || strings.Count(c.logged(), "level=WARN") != 1) {
						t.Errorf("it took %v; log: %s\nwant no wait and one warning", time.Since(start), c.log)
					}
					c.want(t, tc.want)
				})
			})
		}
	}
}

func once(status int, then http.HandlerFunc) http.HandlerFunc {
	var done bool
	return func(w http.ResponseWriter, r *http.Request) {
		if done {
			then(w, r)
			return
		}
		done = true
		w.WriteHeader(status)
	}
}

// An answer about a node's health is the answer, also when it is "sealed".
func TestHealthOfANodeIsNoReasonToLeaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		c.set("a.test", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Opaque, "/x") {
				io.WriteString(w, "a")
				return
			}
			sealedNode(w, r)
		})
		if got, status, err := c.ask("GET", "/v1/sys/health", ""); status != 503 || !strings.Contains(got, "sealed") || err != nil {
			t.Errorf("answer %d %q, %v", status, got, err)
		}
		if got, _, _ := c.ask("GET", "/v1/x", ""); got != "a" {
			t.Errorf("then %q answers, want a", got)
		}
	})
}

// Each status of sys/health has a meaning; a node that is not usable is left by a check, before any request fails.
func TestHealthStatuses(t *testing.T) {
	for status, want := range map[int]string{200: "a", 429: "a", 473: "a", 472: "b", 501: "b", 503: "b", 502: "b", 404: "a"} {
		synctest.Test(t, func(t *testing.T) {
			c := newTrio(t)
			stop := c.run(t)
			defer stop()
			c.set("a.test", named("a", status))
			time.Sleep(6 * time.Second) // one check
			synctest.Wait()
			if got, _, err := c.ask("GET", "/v1/x", ""); got != want || err != nil {
				t.Errorf("health %d: %q answers, %v; want %s", status, got, err, want)
			}
		})
	}
}

// Nothing better: a node that cannot do all is still asked, before one that is not there.
func TestNothingBetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		c.set("a.test", nil)
		c.set("b.test", sealedNode)
		c.set("c.test", nil)
		if got, status, err := c.ask("GET", "/v1/x", ""); status != 503 || !strings.Contains(got, "Vault is sealed") || err != nil {
			t.Errorf("answer %d %q, %v; want that of the sealed node", status, got, err)
		}
	})
}

// A preferred node is returned to when it has been well for two checks, and not before.
func TestReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		stop := c.run(t)
		defer stop()
		c.set("a.test", nil)
		c.want(t, "b")
		time.Sleep(6 * time.Second)
		c.set("a.test", named("a", 200))
		time.Sleep(5 * time.Second) // one check
		c.want(t, "b")
		c.set("b.test", nil)
		c.want(t, "c") // which was well all the time
		c.set("c.test", nil)
		c.want(t, "a") // well enough when nothing else is left
		c.set("b.test", named("b", 200))
		c.set("c.test", named("c", 200))
		time.Sleep(11 * time.Second)
		c.want(t, "a")
		c.set("a.test", nil)
		c.want(t, "b")
		c.set("a.test", named("a", 200))
		time.Sleep(11 * time.Second)
		c.want(t, "a")
		if log := c.logged(); strings.Count(log, "level=INFO msg=\"going back to a preferred") != 1 {
			t.Errorf("log: %s", log)
		}
	})
}

// What Leasehold asks for itself goes where its clients' requests go.
func TestRenewalsAndLoginsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		var asked []string
		c.set("a.test", nil)
		c.set("b.test", func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.Host+" "+r.URL.RequestURI())
			io.WriteString(w, `{"auth":{"client_token":"x","lease_duration":60,"renewable":true}}`)
		})
		if _, err := c.RenewSelf(t.Context(), "", vault.NewToken("hvs.x")); err != nil {
			t.Error(err)
		}
		c.set("b.test", c.nodes["b.test"])
		client, err := c.API()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Logical().Write("auth/approle/login", map[string]any{"role_id": "r"}); err != nil {
			t.Error(err)
		}
		if got := strings.Join(asked, "\n"); got != "PUT b.test /v1/auth/token/renew-self\nPUT b.test /v1/auth/approle/login" {
			t.Errorf("b was asked\n%s", got)
		}
	})
}

// A login goes on to the next node by itself.
func TestALoginFailsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		c.set("a.test", sealedNode)
		c.set("b.test", nil)
		c.set("c.test", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.TrimSpace(string(body)) != `{"role_id":"r"}` {
				t.Errorf("c got %q", body)
			}
			io.WriteString(w, `{"auth":{"client_token":"x"}}`)
		})
		client, err := c.API()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Logical().Write("auth/approle/login", map[string]any{"role_id": "r"}); err != nil {
			t.Error(err)
		}
	})
}

func TestSeveralAddresses(t *testing.T) {
	several := []string{"https://me:secret@a.example:1", "unix:///run/vault.sock"}
	for name, tc := range map[string]struct {
		env, want string
	}{
		"in their order":   {"", "https://a.example:1, unix:///run/vault.sock"},
		"environment wins": {"http://b.example:2", "http://b.example:2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("VAULT_ADDR", tc.env)
			if got := newClient(t, upstream.Settings{Address: "http://never.example", Addresses: several}).Address(); got != tc.want {
				t.Errorf("Address() = %q, want %q", got, tc.want)
			}
		})
	}
}
