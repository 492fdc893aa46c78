package upstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// web is a transport to servers by their origin, such as "https://vault.test:8200". It writes down what arrives.
type web struct {
	servers map[string]http.HandlerFunc
	log     []string
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	origin := r.URL.Scheme + "://" + r.URL.Host
	serve, ok := w.servers[origin]
	if !ok {
		return nil, errRefused
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	w.log = append(w.log, fmt.Sprintf("%s %s%s Host %s token %s basic %q body %q", r.Method, origin, r.URL.RequestURI(), r.Host,
		r.Header.Get("X-Vault-Token"), r.Header.Get("Authorization"), body))
	rec := httptest.NewRecorder()
	serve(rec, r)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

func sendTo(status int, location string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(status)
	}
}

func done(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "done") }

func TestRedirects(t *testing.T) {
	const sent = "/v1/secret/a%2Fb?z=1;&a"
	for name, tc := range map[string]struct {
		address  string // https://vault.test:8200 when empty
		trusted  []string
		pass     bool
		status   int // 307 when 0
		location string
		followed string // to which request line; "": the client gets the redirect
	}{
		"to a trusted host":            {trusted: []string{"active.test"}, location: "https://active.test:8200/v1/secret/a/b?z=1;&a", followed: "https://active.test:8200" + sent},
		"301":                          {status: 301, trusted: []string{"active.test"}, location: "https://active.test:8200" + sent, followed: "https://active.test:8200" + sent},
		"302":                          {status: 302, trusted: []string{"active.test"}, location: "https://active.test:8200" + sent, followed: "https://active.test:8200" + sent},
		"308":                          {status: 308, trusted: []string{"active.test"}, location: "https://active.test:8200" + sent, followed: "https://active.test:8200" + sent},
		"303":                          {status: 303, trusted: []string{"active.test"}, location: "https://active.test:8200" + sent},
		"with its port":                {trusted: []string{"active.test:8200"}, location: "https://active.test:8200" + sent, followed: "https://active.test:8200" + sent},
		"with the default port":        {trusted: []string{"active.test:443"}, location: "https://Active.test" + sent, followed: "https://Active.test" + sent},
		"IPv6":                         {trusted: []string{"[::1]"}, location: "https://[::1]:8200" + sent, followed: "https://[::1]:8200" + sent},
		"IPv6 with its port":           {trusted: []string{"[::1]:8200"}, location: "https://[::1]:8200" + sent, followed: "https://[::1]:8200" + sent},
		"by its domain":                {trusted: []string{"*.test"}, location: "https://a.active.test:8200" + sent, followed: "https://a.active.test:8200" + sent},
		"at another port":              {trusted: []string{"active.test:8201"}, location: "https://active.test:8200" + sent},
		"at another host":              {trusted: []string{"other.test"}, location: "https://active.test:8200" + sent},
		"at no trusted host":           {location: "https://active.test:8200" + sent},
		"outside of the domain":        {trusted: []string{"*.active.test"}, location: "https://active.test:8200" + sent},
		"a name that ends like it":     {trusted: []string{"*.test"}, location: "https://active.eviltest" + sent},
		"the address as a user name":   {location: "https://vault.test:8200@evil.test" + sent},
		"Vault's own name, other port": {location: "https://vault.test:8201" + sent, followed: "https://vault.test:8201" + sent},
		"within the domain":            {address: "https://vault.corp.test:8200", location: "https://active.corp.test:8200" + sent, followed: "https://active.corp.test:8200" + sent},
		"below the domain's neighbour": {address: "https://vault.corp.test:8200", location: "https://active.other.test:8200" + sent},
		"within a public suffix":       {address: "https://vault.co.uk:8200", location: "https://active.co.uk:8200" + sent},
		"a neighbour's address":        {address: "https://10.0.0.1:8200", location: "https://10.0.0.2:8200" + sent},
		"to the domain of a name":      {address: "https://vault:8200", location: "https://active:8200" + sent},
		"from https to http":           {trusted: []string{"active.test"}, location: "http://active.test:8200" + sent},
		"from http to https":           {address: "http://vault.test:8200", trusted: []string{"active.test"}, location: "https://active.test:8200" + sent, followed: "https://active.test:8200" + sent},
		"to another scheme":            {trusted: []string{"active.test"}, location: "ftp://active.test:8200" + sent},
		"to no URL":                    {trusted: []string{"active.test"}, location: "https://active.test:82x" + sent},
		"to nowhere":                   {trusted: []string{"active.test"}},
		"to an opaque URL":             {trusted: []string{"active.test"}, location: "https:" + sent[1:]},
		"to another path":              {trusted: []string{"active.test"}, location: "https://active.test:8200/v1/secret/other?z=1;&a"},
		"to a longer path":             {trusted: []string{"active.test"}, location: "https://active.test:8200/ui" + sent},
		"to another query":             {trusted: []string{"active.test"}, location: "https://active.test:8200/v1/secret/a%2Fb?z=1"},
		"without the query":            {trusted: []string{"active.test"}, location: "https://active.test:8200/v1/secret/a%2Fb"},
		"when all are passed":          {pass: true, trusted: []string{"active.test"}, location: "https://active.test:8200" + sent},
		"with a base path of ours":     {address: "https://vault.test:8200/base", trusted: []string{"active.test"}, location: "https://active.test:8200" + sent, followed: "https://active.test:8200" + sent},
		"without a scheme":             {trusted: []string{"active.test"}, location: "//active.test:8200" + sent, followed: "https://active.test:8200" + sent},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.address == "" {
				tc.address = "https://vault.test:8200"
			}
			if tc.status == 0 {
				tc.status = 307
			}
			to := &web{servers: map[string]http.HandlerFunc{
				strings.TrimSuffix(tc.address, "/base"): sendTo(tc.status, tc.location), "https://active.corp.test:8200": done, "https://active.other.test:8200": done,
				"https://active.co.uk:8200": done, "https://10.0.0.2:8200": done, "https://active:8200": done,
				"https://active.test:8200": done, "http://active.test:8200": done, "https://a.active.test:8200": done, "https://Active.test": done,
				"https://[::1]:8200": done, "https://vault.test:8201": done, "https://evil.test": done, "https://active.eviltest": done,
			}}
			c := newClient(t, upstream.Settings{Address: tc.address, Transport: to, RedirectHosts: tc.trusted, PassRedirects: tc.pass})
			w := httptest.NewRecorder()
			r := httptest.NewRequest("PUT", sent, io.MultiReader(strings.NewReader("body")))
			if err := c.Forward(w, r, root, nil); err != nil {
				t.Fatal(err)
			}
			if tc.followed == "" {
				if w.Code != tc.status || w.Header().Get("Location") != tc.location || len(to.log) != 1 {
					t.Errorf("answer %d to %q after %q; want the redirect itself", w.Code, w.Header().Get("Location"), to.log)
				}
				return
			}
			host, _, _ := strings.Cut(strings.TrimPrefix(tc.followed, "https://"), "/")
			want := `PUT ` + tc.followed + ` Host ` + host + ` token hvs.root basic "" body "body"`
			if w.Body.String() != "done" || len(to.log) != 2 || to.log[1] != want {
				t.Errorf("answer %d %q after %q\nwant %s", w.Code, w.Body, to.log, want)
			}
		})
	}
}

// An address of Vault's is trusted, and keeps its base path and its user name.
func TestRedirectsToTheAddressItself(t *testing.T) {
	for name, location := range map[string]string{
		"with the base path":    "https://vault.test/base/v1/x",
		"without the base path": "https://vault.test:443/v1/x",
		"on the same host":      "/v1/x",
	} {
		t.Run(name, func(t *testing.T) {
			var asked int
			to := &web{}
			to.servers = map[string]http.HandlerFunc{"https://vault.test": func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked == 1 {
					sendTo(307, location)(w, r)
				}
			}}
			c := newClient(t, upstream.Settings{Address: "https://me:secret@vault.test/base/", Transport: to})
			w := httptest.NewRecorder()
			if err := c.Forward(w, httptest.NewRequest("GET", "/v1/x", nil), vault.Identity{}, nil); err != nil || w.Code != 200 {
				t.Fatalf("answer %d, %v", w.Code, err)
			}
			path := "/v1/x"
			if name == "with the base path" {
				path = "/base/v1/x"
			}
			want := `GET https://vault.test` + path + ` Host vault.test token  basic "Basic bWU6c2VjcmV0" body ""`
			if len(to.log) != 2 || to.log[1] != want {
				t.Errorf("asked %q\nwant then %s", to.log, want)
			}
		})
	}
}

func TestTheEnvironmentPassesRedirects(t *testing.T) {
	t.Setenv("VAULT_DISABLE_REDIRECTS", "true")
	to := &web{servers: map[string]http.HandlerFunc{"https://vault.test": sendTo(307, "https://vault.test/v1/x")}}
	w := httptest.NewRecorder()
	c := newClient(t, upstream.Settings{Address: "https://vault.test", Transport: to})
	if err := c.Forward(w, httptest.NewRequest("GET", "/v1/x", nil), root, nil); err != nil || w.Code != 307 {
		t.Errorf("answer %d, %v; want the redirect", w.Code, err)
	}
}

func TestRedirectsEnd(t *testing.T) {
	to := &web{servers: map[string]http.HandlerFunc{
		"https://a.test": sendTo(307, "https://b.test/v1/x"), "https://b.test": sendTo(307, "https://a.test/v1/x"),
		"https://1.test": sendTo(307, "https://2.test/v1/x"), "https://2.test": sendTo(307, "https://3.test/v1/x"),
		"https://3.test": sendTo(307, "https://4.test/v1/x"), "https://4.test": done,
	}}
	ask := func(address string) (*httptest.ResponseRecorder, error) {
		to.log = nil
		w := httptest.NewRecorder()
		c := newClient(t, upstream.Settings{Address: address, Transport: to, RedirectHosts: []string{"*.test"}, NumRetries: 12})
		return w, c.Forward(w, httptest.NewRequest("GET", "/v1/x", nil), root, nil)
	}
	if w, err := ask("https://1.test"); err != nil || w.Body.String() != "done" {
		t.Errorf("three redirects: answer %q, %v; want them followed", w.Body, err)
	}
	_, err := ask("https://a.test")
	var told interface {
		error
		ClientStatus() int
	}
	if !errors.As(err, &told) || told.ClientStatus() != 502 || !strings.Contains(told.Error(), "redirected") || strings.Contains(told.Error(), "a.test") {
		t.Errorf("a loop: Forward = %v; want an error for status 502 that tells of redirects and of no address", err)
	}
	if len(to.log) != 4 {
		t.Errorf("a loop: asked %d times, want 4", len(to.log))
	}
}

// A body that cannot be sent again leaves the redirect to the client.
func TestRedirectsNeedTheBody(t *testing.T) {
	to := &web{servers: map[string]http.HandlerFunc{"https://vault.test": sendTo(307, "https://active.test/v1/x"), "https://active.test": done}}
	c := newClient(t, upstream.Settings{
		Address: "https://vault.test", Transport: to, RedirectHosts: []string{"active.test"}, Retry: upstream.Retry{MaxReplaySize: 10},
	})
	w := httptest.NewRecorder()
	if err := c.Forward(w, sized(pattern(11)), root, nil); err != nil || w.Code != 307 || len(to.log) != 1 {
		t.Errorf("answer %d, %v after %q; want the redirect", w.Code, err, to.log)
	}
}

// What a redirect leads to fails and is asked again like Vault itself, from the beginning.
func TestRetriesBehindARedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		to := &web{servers: map[string]http.HandlerFunc{"https://active.test": done, "https://vault.test": func(w http.ResponseWriter, r *http.Request) {
			active := "https://gone.test/v1/x"
			if time.Since(start) >= time.Second {
				active = "https://active.test/v1/x"
			}
			sendTo(307, active)(w, r)
		}}}
		c := newClient(t, upstream.Settings{Address: "https://vault.test", Transport: to, RedirectHosts: []string{"*.test"}, NumRetries: 1})
		w := httptest.NewRecorder()
		if err := c.Forward(w, httptest.NewRequest("POST", "/v1/x", strings.NewReader("body")), root, nil); err != nil || w.Body.String() != "done" {
			t.Errorf("answer %q, %v after %q", w.Body, err, to.log)
		}
	})
}

func TestUntrustedHostsAreNamedOnce(t *testing.T) {
	var log bytes.Buffer
	to := &web{servers: map[string]http.HandlerFunc{"https://vault.test": func(w http.ResponseWriter, r *http.Request) {
		sendTo(307, "https://"+r.Header.Get("X-To")+"/v1/x?y=secret")(w, r)
	}}}
	c, err := upstream.New(upstream.Settings{Address: "https://vault.test", Transport: to, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(host string) {
		r := httptest.NewRequest("GET", "/v1/x?y=secret", nil)
		r.Header.Set("X-To", host)
		if err := c.Forward(httptest.NewRecorder(), r, root, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		ask("one.test")
		ask("two.test")
	}
	text := log.String()
	if strings.Count(text, "level=WARN") != 2 || strings.Count(text, "redirect_hosts") != 2 || strings.Count(text, "host=one.test") != 1 || strings.Contains(text, "secret") {
		t.Errorf("logged %s\nwant one warning for each host, with the remedy", text)
	}
	if err := c.Forward(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/other", nil), root, nil); err != nil || log.String() != text {
		t.Errorf("a redirect to another path: %v, logged %s; want no warning, since it is not to be followed anyway", err, log.String())
	}
	for n := range 1000 {
		ask(fmt.Sprint("h", n, ".test"))
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 64 {
		t.Errorf("%d warnings for a thousand hosts, want 64", got)
	}
}

// The same over sockets, with net/http at both ends.
func TestRedirectsOverSockets(t *testing.T) {
	active := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %s ", r.Method, r.Host, r.RequestURI, r.Header.Get("X-Vault-Token"))
		io.Copy(w, r.Body)
	})
	standby := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, active.URL+r.RequestURI, http.StatusTemporaryRedirect)
	})
	c := newClient(t, upstream.Settings{Address: standby.URL, RedirectHosts: []string{"127.0.0.1"}})
	gate := front(t, c, root)
	resp, err := plainClient(t).Post(gate.URL+"/v1/a%2Fb?x", "text/plain", io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if want := "POST " + active.Listener.Addr().String() + " /v1/a%2Fb?x hvs.root body"; string(body) != want || err != nil {
		t.Errorf("arrived %q, %v; want %q", body, err, want)
	}
}
