package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/test/e2e/realvault"
)

// A request of testdata/requests.txt.
type recorded struct {
	line           string
	number         int
	shape          bool // compare no more than the shape of the answer
	unordered      bool // JSON whose fields come in any order
	method, target string
	token          string // the name of one
	body           string
	headers        []string
	keep           map[string]string // name → place in the answer
}

// readRequests reads the list.
func readRequests(t *testing.T) []recorded {
	t.Helper()
	text, err := os.ReadFile("testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []recorded
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		r := recorded{line: line, number: i + 1, token: "root", keep: map[string]string{}}
		line, kept, _ := strings.Cut(line, " > ")
		for _, k := range strings.Fields(kept) {
			name, place, _ := strings.Cut(k, "=")
			r.keep[name] = place
		}
		parts := strings.Split(line, " | ")
		first, shape := strings.CutPrefix(parts[0], "~")
		first, unordered := strings.CutPrefix(first, "%")
		r.shape, r.unordered = shape, unordered
		r.method, r.target, _ = strings.Cut(first, " ")
		for _, p := range parts[1:] {
			switch {
			case p[0] == '@':
				r.token = p[1:]
			case p[0] == '{', p[0] == '[':
				r.body = p
			case p[0] == '"':
				r.body = strings.Trim(p, `"`)
			default:
				r.headers = append(r.headers, p)
			}
		}
		list = append(list, r)
	}
	return list
}

// side is one way to one Vault.
type side struct {
	name, address string
	lends         bool              // the root token, to requests without one
	values        map[string]string // what the list has kept, by name
}

// reply is an answer as a client sees it.
type reply struct {
	Status           int
	Header, Trailer  http.Header
	TransferEncoding []string
	Body             string
}

// ask sends a request of the list as it stands, byte for byte, and keeps what the list wants kept.
func (s *side) ask(t *testing.T, r recorded) reply {
	t.Helper()
	fill := func(text string) string {
		for name, value := range s.values {
			text = strings.ReplaceAll(text, "{"+name+"}", value)
		}
		return text
	}
	var raw strings.Builder
	fmt.Fprintf(&raw, "%s %s HTTP/1.1\r\nHost: vault.example\r\nConnection: close\r\n", r.method, fill(r.target))
	if r.token != "-" && !(s.lends && r.token == "root") {
		fmt.Fprintf(&raw, "X-Vault-Token: %s\r\n", s.values[r.token])
	}
	chunked := false
	for _, h := range r.headers {
		chunked = chunked || h == "Transfer-Encoding: chunked"
		fmt.Fprintf(&raw, "%s\r\n", fill(h))
	}
	switch body := fill(r.body); {
	case chunked:
		fmt.Fprintf(&raw, "\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 1, body[:1], len(body)-1, body[1:])
	case body != "":
		fmt.Fprintf(&raw, "Content-Length: %d\r\n\r\n%s", len(body), body)
	default:
		raw.WriteString("\r\n")
	}
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, raw.String()); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, &http.Request{Method: r.method})
	for err == nil && resp.StatusCode < http.StatusOK {
		resp, err = http.ReadResponse(in, &http.Request{Method: r.method})
	}
	if err != nil {
		t.Fatalf("line %d, %s: %v", r.number, s.name, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("line %d, %s: %v", r.number, s.name, err)
	}
	if n := resp.ContentLength; n >= 0 && r.method != http.MethodHead && n != int64(len(body)) {
		t.Errorf("line %d, %s: Content-Length %d for %d bytes", r.number, s.name, n, len(body))
	}
	resp.Header.Del("Content-Length") // times differ in their digits
	resp.Header.Del("Date")
	s.keep(t, r, body)
	return reply{resp.StatusCode, resp.Header, resp.Trailer, resp.TransferEncoding, string(body)}
}

func (s *side) keep(t *testing.T, r recorded, body []byte) {
	t.Helper()
	for name, place := range r.keep {
		var at any
		if err := json.Unmarshal(body, &at); err != nil {
			t.Fatalf("line %d, %s: %v in %s", r.number, s.name, err, body)
		}
		for key := range strings.SplitSeq(place, ".") {
			m, _ := at.(map[string]any)
			at = m[key]
		}
		value, ok := at.(string)
		if !ok || value == "" {
			t.Fatalf("line %d, %s: no %s in %s", r.number, s.name, place, body)
		}
		s.values[name] = value
		if !strings.HasSuffix(name, "accessor") && !strings.HasSuffix(name, "_id") && len(value) > 20 && strings.HasPrefix(value, "hv") {
			remember(value)
		}
	}
}

// rule names what may differ between two Vaults that were asked the same.
type rule struct {
	name    string
	pattern *regexp.Regexp
	used    bool
}

func newRules() []*rule {
	var rules []*rule
	for _, r := range [][2]string{
		{"request id", `"request_id":"[0-9a-f]{8}-[0-9a-f-]{27}"`},
		{"UUID", `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`},
		{"time", `\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d:?\d\d)( UTC)?( m=\S+)?)?`},
		{"epoch", `"(creation_time|last_renewal_time|expiration|issue_time|revocation_time|server_time_utc|time|not_before|not_after|[1-9])":1\d{9}`},
		{"token", `hv[sb]\.[A-Za-z0-9_-]{20,}`},
		{"token accessor", `"(accessor|wrapped_accessor)":"[A-Za-z0-9]{24}"`},
		{"mount accessor", `(auth_)?[a-z]+_[0-9a-f]{8}\b`},
		{"lease id", `(leaser/creds/[a-z]+|auth/[a-z]+/(login|create)(/[a-z]+)?|kv/[a-z]+)/[A-Za-z0-9]{24}`},
		{"seconds left", `"(ttl|lease_duration|secret_id_ttl|creation_ttl|explicit_max_ttl|duration|num_seconds)":\d+`},
		{"PEM", `-----BEGIN [A-Z0-9 ]+-----[^"]*-----END [A-Z0-9 ]+-----(\\n)?`},
		{"serial number or key id", `([0-9a-f]{2}:){15,}[0-9a-f]{2}`},
		{"ciphertext or signature", `vault:v\d:[A-Za-z0-9+/=]+`},
		{"generated", `"(password|random_bytes|plaintext|public_key|hmac|secret_id|secret_id_hmac|entity_id|id|kid|nonce|otp|key|cluster_id|cluster_name)":"[^"]+"`},
	} {
		rules = append(rules, &rule{name: r[0], pattern: regexp.MustCompile(r[1])})
	}
	return rules
}

// settle replaces what may differ in the reply of one side.
func settle(rules []*rule, text string) string {
	for _, r := range rules {
		text = r.pattern.ReplaceAllStringFunc(text, func(string) string {
			r.used = true
			return "<" + r.name + ">"
		})
	}
	return text
}

// withoutCacheHeaders leaves out what an answer through Leasehold may have more than Vault's own.
func withoutCacheHeaders(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"X-Cache", "X-Cache-Reason", "Age"} {
		delete(h, name)
	}
	return h
}

// differences compares two replies, the first one Vault's own.
func differences(rules []*rule, r recorded, direct, via reply) (all []string) {
	differ := func(what string, a, b any) {
		if x, y := settle(rules, fmt.Sprintf("%v", a)), settle(rules, fmt.Sprintf("%v", b)); x != y {
			all = append(all, fmt.Sprintf("%s:\n  direct  %.3000s\n  through %.3000s", what, x, y))
		}
	}
	differ("status", direct.Status, via.Status)
	if r.shape {
		names := func(h http.Header) (n []string) {
			for name := range h {
				n = append(n, name)
			}
			slices.Sort(n)
			return append(n, h.Get("Content-Type"))
		}
		differ("header names", names(direct.Header), names(withoutCacheHeaders(via.Header)))
		return all
	}
	differ("header", direct.Header, withoutCacheHeaders(via.Header))
	differ("trailer", direct.Trailer, via.Trailer)
	differ("transfer encoding", direct.TransferEncoding, via.TransferEncoding)
	if r.unordered {
		direct.Body, via.Body = ordered(direct.Body), ordered(via.Body)
	}
	differ("body", direct.Body, via.Body)
	return all
}

// ordered is JSON with its fields in order; what is none stays as it is.
func ordered(text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return text
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// Whatever Vault can do works through Leasehold as if it were not there, with the cache and without.
func TestDifferential(t *testing.T) {
	t.Parallel()
	list := readRequests(t)
	if len(list) < 150 {
		t.Fatalf("%d requests are not enough to tell", len(list))
	}
	sides := []*side{newSide(t, "direct", ""), newSide(t, "cache off", " "), newSide(t, "cache on", "cache {}"), newSide(t, "token lent", `
cache {}
api_proxy { use_auto_auth_token = true }
auto_auth {
  method "token_file" {
    config = { token_file_path = %q }
  }
}`)}
	rules := newRules()
	hits := 0
	for _, r := range list {
		direct := sides[0].ask(t, r)
		for _, s := range sides[1:] {
			via := s.ask(t, r)
			if via.Header.Get("X-Cache") == "HIT" {
				hits++
			}
			if s.lends && r.token == "-" {
				continue // it has a token then
			}
			for _, d := range differences(rules, r, direct, via) {
				t.Errorf("line %d, %s: %s\n%s", r.number, s.name, r.line, d)
			}
		}
	}
	for _, r := range rules {
		if !r.used {
			t.Errorf("nothing needs the rule %q", r.name)
		}
	}
	if hits == 0 {
		t.Error("no answer came from the cache")
	}
	covered(t, sides[0], list)
}

// newSide starts a Vault, and Leasehold in front of it when there is a stanza, which may have a place for the name of a file with the root token.
func newSide(t *testing.T, name, stanza string) *side {
	t.Helper()
	v, err := startVault(realvault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	remember(v.RootToken)
	s := &side{name: name, address: strings.TrimPrefix(v.Address, "http://"), values: map[string]string{
		"root": v.RootToken, "unseal": v.UnsealKey, "large": strings.Repeat("0123456789abcdef", 4096),
	}}
	if stanza == "" {
		return s
	}
	if strings.Contains(stanza, "%q") {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(v.RootToken), 0o600); err != nil {
			t.Fatal(err)
		}
		stanza, s.lends = fmt.Sprintf(stanza, file), true
	}
	p := startProxy(t, fmt.Sprintf(`
vault {
  address = %q
  retry { num_retries = -1 }
}
%s
listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
}`, v.Address, stanza))
	s.address = strings.TrimPrefix(p.URLs[0], "http://")
	return s
}

// covered looks whether each mount and each part of sys was asked.
func covered(t *testing.T, s *side, list []recorded) {
	t.Helper()
	asked := func(prefix string) bool {
		return slices.ContainsFunc(list, func(r recorded) bool { return strings.HasPrefix(r.target, prefix) })
	}
	for prefix, path := range map[string]string{"/v1/": "/v1/sys/mounts", "/v1/auth/": "/v1/sys/auth"} {
		a := s.ask(t, recorded{method: "GET", target: path, token: "root"})
		var mounts struct{ Data map[string]any }
		if err := json.Unmarshal([]byte(a.Body), &mounts); err != nil {
			t.Fatal(err)
		}
		for mount := range mounts.Data {
			if mount != "moved/" && !asked(prefix+mount) {
				t.Errorf("no request goes to the mount %s", prefix+mount)
			}
		}
	}
	var api struct{ Paths map[string]any }
	a := s.ask(t, recorded{method: "GET", target: "/v1/sys/internal/specs/openapi", token: "root"})
	if err := json.Unmarshal([]byte(a.Body), &api); err != nil || len(api.Paths) < 100 {
		t.Fatalf("%d paths, %v", len(api.Paths), err)
	}
	for path := range api.Paths {
		part := strings.Split(path, "/")[1:]
		if part[0] == "sys" && !asked("/v1/sys/"+part[1]) {
			t.Errorf("no request goes to /v1/sys/%s", part[1])
		}
	}
}

// A comparison that sees nothing would be no test.
func TestDifferencesAreSeen(t *testing.T) {
	base := func() reply {
		return reply{200, http.Header{"A": {"1", "2"}}, http.Header{"T": {"x"}}, []string{"chunked"}, `{"request_id":"01234567-89ab-cdef-0123-456789abcdef","data":{"v":"x","ttl":5}}`}
	}
	for name, change := range map[string]func(*reply){
		"status":            func(r *reply) { r.Status = 201 },
		"header value":      func(r *reply) { r.Header["A"][1] = "3" },
		"header order":      func(r *reply) { slices.Reverse(r.Header["A"]) },
		"header more":       func(r *reply) { r.Header["B"] = []string{"1"} },
		"trailer":           func(r *reply) { r.Trailer = nil },
		"transfer encoding": func(r *reply) { r.TransferEncoding = nil },
		"a byte":            func(r *reply) { r.Body = strings.Replace(r.Body, `"x"`, `"y"`, 1) },
		"a space":           func(r *reply) { r.Body += "\n" },
		"less":              func(r *reply) { r.Body = string(bytes.TrimSuffix([]byte(r.Body), []byte("}"))) },
	} {
		other := base()
		change(&other)
		if len(differences(newRules(), recorded{}, base(), other)) != 1 {
			t.Errorf("%s: not seen", name)
		}
	}
	same := base()
	same.Body = strings.Replace(same.Body, "01234567", "76543210", 1)
	same.Header["X-Cache"] = []string{"MISS"}
	if d := differences(newRules(), recorded{}, base(), same); len(d) > 0 {
		t.Errorf("seen without reason: %v", d)
	}
}
