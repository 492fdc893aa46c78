package upstream_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// wire sends raw request lines through a front server to a back server, and reports the target that arrived there.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	got  chan string
	host string // of the back server
}

func newWire(t testing.TB, basePath string) *wire {
	w := &wire{got: make(chan string, 1)}
	back := serve(t, func(_ http.ResponseWriter, r *http.Request) { w.got <- r.RequestURI })
	w.host = back.Listener.Addr().String()
	c := newClient(t, upstream.Settings{Address: back.URL + basePath})
	addr := front(t, c, vault.Identity{}).Listener.Addr().String()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w.conn, w.in = conn, bufio.NewReader(conn)
	return w
}

// send returns the target as it arrived, "" when the request was not forwarded, and the status of the answer.
func (w *wire) send(t testing.TB, target string) (string, int) {
	t.Helper()
	if _, err := fmt.Fprintf(w.conn, "GET %s HTTP/1.1\r\nHost: front\r\n\r\n", target); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		t.Fatalf("target %q: %v", target, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	select {
	case got := <-w.got:
		return got, resp.StatusCode
	default:
		return "", resp.StatusCode
	}
}

func TestTargetsArriveAsSent(t *testing.T) {
	for name, target := range map[string]string{
		"plain":                   "/v1/secret/data/app",
		"root":                    "/",
		"escaped space":           "/v1/secret/a%20b",
		"escaped slash":           "/v1/secret/a%2Fb",
		"lower-case escapes":      "/v1/secret/a%2fb%c3%a9",
		"needless escapes":        "/v1/%73ecret",
		"double escape":           "/v1/a%252Fb",
		"pipe and friends":        `/v1/a|b"c<d>^e\f{g}` + "`",
		"non-ASCII":               "/v1/é/日本",
		"plus and colon":          "/v1/a+b:c@d;e=f",
		"fragment sign":           "/v1/a#b",
		"double slash":            "/v1//secret///app",
		"leading double slash":    "//v1/secret",
		"leading triple slash":    "///v1/secret?x=//",
		"slashes then escapes":    "//v1/a%2Fb?c",
		"trailing slash":          "/v1/secret/metadata/",
		"dot segments":            "/v1/a/../b/./c/..",
		"bare question mark":      "/v1/secret?",
		"two question marks":      "/v1/secret??a",
		"unsorted query":          "/v1/secret?z=1&a=2&z=0",
		"semicolon in query":      "/v1/secret?list=true;x=y",
		"broken escape in query":  "/v1/secret?a=%zz&b=%",
		"odd characters in query": `/v1/secret?a="|é` + "`",
		"empty query parameters":  "/v1/secret?&&=&a=",
		"URL in query":            "/v1/secret?u=http://h/p",
		"URL in path":             "/v1/http://h/p",
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := newWire(t, "").send(t, target); got != target {
				t.Errorf("arrived %q, want %q", got, target)
			}
			if got, _ := newWire(t, "/base/").send(t, target); got != "/base"+target {
				t.Errorf("with a base path arrived %q, want %q", got, "/base"+target)
			}
		})
	}
}

func TestUnusualTargets(t *testing.T) {
	for name, tc := range map[string]struct{ target, want string }{
		"absolute":                   {"http://front/v1/a%2Fb?x", "/v1/a%2Fb?x"},
		"absolute without a path":    {"http://front", "/"},
		"absolute with a query only": {"http://front?x=/y", "/?x=/y"},
		"absolute without authority": {"http:/v1/secret", "/v1/secret"},
		"absolute, double slash":     {"http://front//v1/secret", "//v1/secret"},
		"user in the authority":      {"http://u:p@front/v1/secret", "/v1/secret"},
		"opaque":                     {"mailto:someone", ""},
		"asterisk":                   {"*", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, status := newWire(t, "").send(t, tc.target)
			if got != tc.want || (tc.want == "") != (status == http.StatusBadGateway) {
				t.Errorf("arrived %q with status %d, want %q", got, status, tc.want)
			}
		})
	}
}

// What net/url cannot write in origin form goes in absolute form, which means the same.
func TestLeadingSlashesWithCharactersThatNeedEscaping(t *testing.T) {
	w := newWire(t, "")
	if got, _ := w.send(t, "//v1/a|b?c"); got != "http://"+w.host+"//v1/a|b?c" {
		t.Errorf("arrived %q", got)
	}
}

func TestRawSpaceIsEscaped(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	c := newClient(t, upstream.Settings{Address: back.URL})
	r := httptest.NewRequest("GET", "/v1/a", nil)
	r.RequestURI = "/v1/a HTTP/1.1" // HTTP/2 lets this through
	w := httptest.NewRecorder()
	if err := c.Forward(w, r, vault.Identity{}, nil); err != nil || w.Body.String() != "/v1/a%20HTTP/1.1" {
		t.Errorf("arrived %q, %v", w.Body, err)
	}
}

func TestRequestsMadeByTheProgramNeedNoRequestURI(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	c := newClient(t, upstream.Settings{Address: back.URL})
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://ignored/v1/a%2Fb?x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := c.Forward(w, r, vault.Identity{}, nil); err != nil || w.Body.String() != "/v1/a%2Fb?x=1" {
		t.Errorf("arrived %q, %v", w.Body, err)
	}
}

// FuzzTarget: whatever path net/http accepts from a client arrives at Vault as it was sent.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/", "//", "/v1/a%2Fb?c;d", "//x|y", "/a?", "/é//../.", "/:@?%zz", "///a%"} {
		f.Add(seed)
	}
	w := newWire(f, "")
	f.Fuzz(func(t *testing.T, target string) {
		line := "GET " + target + " HTTP/1.1\r\nHost: front\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line)))
		if err != nil || r.RequestURI != target || !strings.HasPrefix(target, "/") || len(target) > 64<<10 {
			t.Skip("not a path that net/http accepts")
		}
		got, status := w.send(t, target)
		absolute := "http://" + w.host + target
		if got != target && !(strings.HasPrefix(target, "//") && got == absolute) {
			t.Errorf("sent %q, arrived %q, status %d", target, got, status)
		}
	})
}
