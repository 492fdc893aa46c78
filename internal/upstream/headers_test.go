package upstream_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

func own() string { return "Leasehold/1.2.3 (" + runtime.Version() + ")" }

func TestRequestHeaders(t *testing.T) {
	injected := vault.Identity{Token: vault.NewToken("hvs.auto"), Injected: true}
	for name, tc := range map[string]struct {
		id   vault.Identity
		sent http.Header
		want http.Header // nil: must not arrive
	}{
		"own user agent": {
			want: http.Header{"User-Agent": {own()}, "X-Vault-Request": {"true"}, "Accept-Encoding": nil, "X-Forwarded-For": nil, "X-Vault-Token": nil},
		},
		"client's user agent": {
			sent: http.Header{"User-Agent": {"vault-java/1"}},
			want: http.Header{"User-Agent": {own() + "; vault-java/1"}},
		},
		"request header is true whatever was sent": {
			sent: http.Header{"X-Vault-Request": {"false", "no"}},
			want: http.Header{"X-Vault-Request": {"true"}},
		},
		"forwarding headers pass and none is added": {
			sent: http.Header{"X-Forwarded-For": {"1.2.3.4", "5.6.7.8"}, "Forwarded": {"for=1.2.3.4"}, "X-Forwarded-Proto": {"https"}},
			want: http.Header{"X-Forwarded-For": {"1.2.3.4", "5.6.7.8"}, "Forwarded": {"for=1.2.3.4"}, "X-Forwarded-Proto": {"https"},
				"X-Forwarded-Host": nil},
		},
		"accepted encodings pass": {
			sent: http.Header{"Accept-Encoding": {"br;q=1.0, gzip"}},
			want: http.Header{"Accept-Encoding": {"br;q=1.0, gzip"}},
		},
		"hop-by-hop headers end here": {
			sent: http.Header{
				"Connection": {
					"keep-alive, X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"1"}, "Proxy-Authorization": {"x"}, "Proxy-Connection": {"x"}, "Te": {"gzip"},
			},
			want: http.Header{"Connection": nil, "X-Hop": nil, "Keep-Alive": nil, "Proxy-Authorization": nil, "Proxy-Connection": nil, "Te": nil},
		},
		"what Vault needs is not hop-by-hop": {
			sent: http.Header{
				"Connection":        {"X-Vault-Namespace, X-Vault-Token, Authorization"},
				"X-Vault-Namespace": {"ns1"}, "X-Vault-Token": {"t"}, "Authorization": {"Basic x"},
			},
			want: http.Header{"X-Vault-Namespace": {"ns1"}, "X-Vault-Token": {"t"}, "Authorization": {"Basic x"}},
		},
		"others pass": {
			sent: http.Header{"X-Vault-Wrap-Ttl": {"60"}, "X-Vault-Mfa": {"a", "b"}, "Cookie": {"a=b"}, "Traceparent": {"00-1"}, "X-Vault-Index": {"1", "2"}},
			want: http.Header{"X-Vault-Wrap-Ttl": {"60"}, "X-Vault-Mfa": {"a", "b"}, "Cookie": {"a=b"}, "Traceparent": {"00-1"}, "X-Vault-Index": {"1", "2"}},
		},
		"client's token, once": {
			sent: http.Header{"X-Vault-Token": {"first", "second"}, "Authorization": {"Bearer third"}},
			want: http.Header{"X-Vault-Token": {"first"}, "Authorization": {"Bearer third"}},
		},
		"injected token replaces all others": {
			id:   injected,
			sent: http.Header{"X-Vault-Token": {"first", "second"}, "Authorization": {"bearer third", "Basic keep"}},
			want: http.Header{"X-Vault-Token": {"hvs.auto"}, "Authorization": {"Basic keep"}},
		},
		"injected token cannot be taken away": {
			id:   injected,
			sent: http.Header{"Connection": {"X-Vault-Token, X-Vault-Request"}},
			want: http.Header{"X-Vault-Token": {"hvs.auto"}, "X-Vault-Request": {"true"}},
		},
		"force without a token yet": {
			id:   vault.Identity{Injected: true},
			sent: http.Header{"X-Vault-Token": {"first"}, "Authorization": {"Bearer third"}},
			want: http.Header{"X-Vault-Token": nil, "Authorization": nil},
		},
		"idempotency keys": {
			sent: http.Header{"Idempotency-Key": {"1"}, "X-Idempotency-Key": {"2"}},
			want: http.Header{"Idempotency-Key": {"1"}, "X-Idempotency-Key": {"2"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got http.Header
			back := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })
			gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), tc.id)
			r, err := http.NewRequestWithContext(t.Context(), "GET", gate.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"User-Agent": {""}}
			for k, v := range tc.sent {
				r.Header[k] = v
			}
			resp, err := plainClient(t).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			for k, want := range tc.want {
				if !slices.Equal(got[k], want) {
					t.Errorf("%s arrived as %q, want %q", k, got[k], want)
				}
			}
		})
	}
}

func TestForwardedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		mode   upstream.ForwardedFor
		remote string
		sent   []string
		want   []string
	}{
		"off":                          {upstream.ForwardedForOff, "192.0.2.7:1234", nil, nil},
		"off, sent":                    {upstream.ForwardedForOff, "192.0.2.7:1234", []string{"1.2.3.4", "5.6.7.8"}, []string{"1.2.3.4", "5.6.7.8"}},
		"append":                       {upstream.ForwardedForAppend, "192.0.2.7:1234", nil, []string{"192.0.2.7"}},
		"append, sent":                 {upstream.ForwardedForAppend, "192.0.2.7:1234", []string{"1.2.3.4", "5.6.7.8"}, []string{"1.2.3.4, 5.6.7.8, 192.0.2.7"}},
		"append, sent empty":           {upstream.ForwardedForAppend, "192.0.2.7:1234", []string{""}, []string{"192.0.2.7"}},
		"append, unix socket":          {upstream.ForwardedForAppend, "@", []string{"1.2.3.4"}, []string{"1.2.3.4"}},
		"append, IPv6":                 {upstream.ForwardedForAppend, "[2001:db8::7]:1234", []string{"1.2.3.4"}, []string{"1.2.3.4, 2001:db8::7"}},
		"replace":                      {upstream.ForwardedForReplace, "192.0.2.7:1234", nil, []string{"192.0.2.7"}},
		"replace, sent":                {upstream.ForwardedForReplace, "192.0.2.7:1234", []string{"1.2.3.4", "5.6.7.8"}, []string{"192.0.2.7"}},
		"replace, IPv4 in IPv6":        {upstream.ForwardedForReplace, "[::ffff:192.0.2.7]:1234", nil, []string{"192.0.2.7"}},
		"replace, with a zone":         {upstream.ForwardedForReplace, "[fe80::1%eth0]:1234", nil, []string{"fe80::1"}},
		"replace, unix socket":         {upstream.ForwardedForReplace, "", nil, nil},
		"replace, unix socket, sent":   {upstream.ForwardedForReplace, "@", []string{"1.2.3.4"}, []string{"1.2.3.4"}},
		"replace, header of this hop":  {upstream.ForwardedForReplace, "192.0.2.7:1234", []string{"1.2.3.4"}, []string{"192.0.2.7"}},
		"off, although of this hop":    {upstream.ForwardedForOff, "192.0.2.7:1234", []string{"1.2.3.4"}, []string{"1.2.3.4"}},
		"append, although of this hop": {upstream.ForwardedForAppend, "192.0.2.7:1234", []string{"1.2.3.4"}, []string{"1.2.3.4, 192.0.2.7"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got http.Header
			to := &web{servers: map[string]http.HandlerFunc{"https://vault.test": func(_ http.ResponseWriter, r *http.Request) { got = r.Header }}}
			c := newClient(t, upstream.Settings{Address: "https://vault.test", Transport: to, ForwardedFor: tc.mode})
			r := httptest.NewRequest("GET", "/v1/x", nil)
			r.RemoteAddr = tc.remote
			if tc.sent != nil {
				r.Header["X-Forwarded-For"] = tc.sent
			}
			if strings.Contains(name, "this hop") {
				r.Header.Set("Connection", "X-Forwarded-For")
			}
			if err := c.Forward(httptest.NewRecorder(), r, root, nil); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got["X-Forwarded-For"], tc.want) {
				t.Errorf("arrived with %q, want %q", got["X-Forwarded-For"], tc.want)
			}
			for _, k := range []string{"Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"} {
				if got[k] != nil {
					t.Errorf("%s was added", k)
				}
			}
		})
	}
}

func TestHostIsVaults(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
	if got := get(t, gate.URL).body; "http://"+got != back.URL {
		t.Errorf("Host arrived as %q, want that of %s", got, back.URL)
	}
}

func TestUserNameInTheAddressBecomesBasicAuthorization(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		io.WriteString(w, user+" "+password)
	})
	c := newClient(t, upstream.Settings{Address: strings.Replace(back.URL, "http://", "http://me:secret@", 1)})
	if got := get(t, front(t, c, vault.Identity{}).URL).body; got != "me secret" {
		t.Errorf("arrived %q, want me secret", got)
	}
	if c.Address() != back.URL {
		t.Errorf("Address() = %q, want %q", c.Address(), back.URL)
	}
}

func TestResponsesPassUnchanged(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		header http.Header
		body   string
	}{
		"success":              {200, http.Header{"Content-Type": {"application/json"}, "X-Vault-Index": {"a", "b"}}, `{"data":{}}`},
		"no content":           {204, http.Header{"X-Vault-Hostname": {"h"}}, ""},
		"redirect":             {307, http.Header{"Location": {"https://other.example/v1/x?a=b;c"}}, ""},
		"permanent redirect":   {308, http.Header{"Location": {"/v1/y"}}, ""},
		"not modified":         {304, http.Header{"Etag": {`"1"`}}, ""},
		"refusal":              {403, http.Header{"Content-Type": {"application/json"}}, `{"errors":["permission denied"]}`},
		"health of a standby":  {473, nil, `{"standby":true}`},
		"sealed":               {503, http.Header{"Retry-After": {"60"}}, `{"errors":["Vault is sealed"]}`},
		"no content type":      {200, nil, `<html>not to be guessed</html>`},
		"cookies":              {200, http.Header{"Set-Cookie": {"a=b", "c=d"}}, ""},
		"no store":             {200, http.Header{"Cache-Control": {"no-store"}}, "x"},
		"body of known length": {200, http.Header{"Content-Length": {"3"}}, "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			back := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				for k, v := range tc.header {
					w.Header()[k] = v
				}
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			})
			gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
			direct, via := get(t, back.URL), get(t, gate.URL)
			direct.header.Del("Date")
			via.header.Del("Date")
			if via.status != direct.status || via.body != direct.body || !sameHeader(via.header, direct.header) {
				t.Errorf("got  %+v\nwant %+v", via, direct)
			}
		})
	}
}

func TestHopByHopResponseHeadersEndHere(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Proxy-Authenticate", "Basic")
	})
	gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
	got := get(t, gate.URL).header
	for _, k := range []string{"X-Hop", "Proxy-Authenticate", "Connection"} {
		if got.Get(k) != "" {
			t.Errorf("%s = %q, want none", k, got.Get(k))
		}
	}
}

// hashicorp/vault#6606: compressed answers once came out different through the proxy.
func TestEncodingsPassThrough(t *testing.T) {
	const text = `{"data":{"key":"value"}}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, text)
	z.Close()
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed.Bytes())
			return
		}
		io.WriteString(w, text)
	})
	gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
	for _, accept := range []string{"", "identity", "gzip", "gzip, br"} {
		direct, via := get(t, back.URL, "Accept-Encoding", accept), get(t, gate.URL, "Accept-Encoding", accept)
		if via.body != direct.body || via.header.Get("Content-Encoding") != direct.header.Get("Content-Encoding") {
			t.Errorf("Accept-Encoding %q: %q in %q, direct %q in %q", accept,
				via.body, via.header.Get("Content-Encoding"), direct.body, direct.header.Get("Content-Encoding"))
		}
	}
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// get reads url with the given header, if any.
func get(t *testing.T, url string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) == 2 && header[1] != "" {
		r.Header.Set(header[0], header[1])
	}
	resp, err := plainClient(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func sameHeader(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if !slices.Equal(a[k], b[k]) {
			return false
		}
	}
	return true
}
