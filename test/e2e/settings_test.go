package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// A community Vault knows neither namespaces nor indexes, so that a stand-in tells what would have reached an Enterprise one.
func TestProxySettingsReachVault(t *testing.T) {
	got := make(chan http.Header, 1)
	const index = "djE6Y2x1c3RlcjoxMDoyMDo2MDZlODY1OGQ5YzRjMjk2YzQ0MGU5OTEyNzFmNGM1YQ==" // v1:cluster:10:20:<hmac>
	standIn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Clone()
		w.Header().Set("X-Vault-Index", index)
	}))
	t.Cleanup(standIn.Close)
	p := startProxy(t, fmt.Sprintf(`
vault {
  address   = %q
  namespace = "ns1"
}
api_proxy {
  prepend_configured_namespace = true
  enforce_consistency          = "always"
  when_inconsistent            = "forward"
  x_forwarded_for              = "append"
}
cache {}
listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
}`, standIn.URL))
	p.do(t, "PUT", "/v1/secret/x", "{}", "X-Vault-Namespace: /ns2", "X-Forwarded-For: 10.0.0.1")
	first := <-got
	p.do(t, "GET", "/v1/secret/x", "")
	second := <-got
	for _, c := range []struct {
		header http.Header
		name   string
		want   []string
	}{
		{first, "X-Vault-Namespace", []string{"ns1/ns2/"}},
		{second, "X-Vault-Namespace", []string{"ns1/"}},
		{first, "X-Forwarded-For", []string{"10.0.0.1, 127.0.0.1"}},
		{second, "X-Forwarded-For", []string{"127.0.0.1"}},
		{first, "X-Vault-Index", nil},
		{second, "X-Vault-Index", []string{index}},
		{second, "X-Vault-Inconsistent", []string{"forward-active-node"}},
	} {
		if !slices.Equal(c.header[c.name], c.want) {
			t.Errorf("%s arrived as %q, want %q", c.name, c.header[c.name], c.want)
		}
	}
}

// A standby that cannot forward sends clients to the active node, which they may not reach. Leasehold follows inside, and only where it may.
func TestRedirectsAreFollowedInside(t *testing.T) {
	active := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("X-Vault-Token"), body)
	}))
	t.Cleanup(active.Close)
	location := strings.Replace(active.URL, "127.0.0.1", "localhost", 1) // another host than that of the standby
	standby := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", location+r.RequestURI)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	t.Cleanup(standby.Close)
	run := func(more string) *proxy {
		return startProxy(t, fmt.Sprintf(`
vault {
  address = %q
  %s
}
listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
}`, standby.URL, more))
	}
	ask := func(p *proxy) answer { return p.do(t, "PUT", "/v1/secret/x?a=1", "body", "X-Vault-Token: of-the-test") }
	trusted := strings.TrimPrefix(location, "http://")
	if a := ask(run(fmt.Sprintf("redirect_hosts = [%q]", trusted))); a.Status != 200 || string(a.Body) != "PUT /v1/secret/x?a=1 of-the-test body" {
		t.Errorf("trusted host: answer %d %s", a.Status, a.Body)
	}
	location = active.URL // the same host, at another port
	if a := ask(run("")); a.Status != 200 || string(a.Body) != "PUT /v1/secret/x?a=1 of-the-test body" {
		t.Errorf("the standby's own host: answer %d %s", a.Status, a.Body)
	}
	location = "http://" + trusted
	for name, more := range map[string]string{
		"untrusted": "", "passed on": fmt.Sprintf("redirect_hosts = [%q]\n pass_redirects = true", trusted),
	} {
		if a := ask(run(more)); a.Status != 307 || a.Header.Get("Location") != location+"/v1/secret/x?a=1" {
			t.Errorf("%s: answer %d to %s, want Vault's own 307", name, a.Status, a.Header.Get("Location"))
		}
	}
}
