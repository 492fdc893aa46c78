package upstream

import (
	"net/http"
	"net/url"
	"strings"
)

// ErrTarget is a request target that names no path on a server: CONNECT's host:port, "*", mailto:x. It is the client's fault.
const ErrTarget = targetError("the request target is not a path on Vault")

type targetError string

func (e targetError) Error() string { return string(e) }

// ClientStatus is the HTTP status for the client, who may read the text as well.
func (targetError) ClientStatus() int { return http.StatusBadRequest }

// target returns the path and query of r as they stood on the request line.
func target(r *http.Request) (string, error) {
	t := r.RequestURI
	if t == "" { // not received by a server but made by the program
		t = r.URL.RequestURI()
	}
	if !strings.HasPrefix(t, "/") {
		if r.URL.Scheme == "" || r.URL.Opaque != "" {
			return "", ErrTarget
		}
		t = originForm(t)
	}
	if strings.Contains(t, " ") { // possible over HTTP/2, where it would end the request target of an HTTP/1.1 line
		t = strings.ReplaceAll(t, " ", "%20")
	}
	return t, nil
}

// originForm cuts scheme and authority off an absolute target.
func originForm(t string) string {
	_, t, _ = strings.Cut(t, ":")
	if rest, ok := strings.CutPrefix(t, "//"); ok {
		t = ""
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			t = rest[i:]
		}
	}
	if !strings.HasPrefix(t, "/") {
		t = "/" + t
	}
	return t
}

// url returns where a request for target t goes. Its RequestURI is the address's base path followed by t, byte for byte: nothing is
// decoded, cleaned or sorted, unlike in Vault Proxy (APX-3). parsed is net/url's reading of t, nil when there is none.
//
// net/url writes Opaque as it is, with one exception: behind a leading "//" it puts the scheme. Such a target is sent in its parsed form
// where that is the same, and else in absolute form (http://host//...), which every server must read as the same target
// (RFC 9112, section 3.2.2). The absolute form is also what a forward proxy needs.
func (n *node) url(host, t string, parsed *url.URL) *url.URL {
	t = n.basePath + t
	u := &url.URL{Scheme: n.origin.Scheme, Host: host}
	if !n.viaProxy && !strings.HasPrefix(t, "//") {
		u.Opaque = t
		return u
	}
	if !n.viaProxy && parsed != nil {
		u.Path, u.RawPath, u.RawQuery, u.ForceQuery = parsed.Path, parsed.RawPath, parsed.RawQuery, parsed.ForceQuery
		if u.RequestURI() == t {
			return u
		}
	}
	return &url.URL{Scheme: n.origin.Scheme, Host: host, Opaque: "//" + n.origin.Host + t}
}
