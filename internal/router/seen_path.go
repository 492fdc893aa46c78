package router

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"leasehold/internal/vault"
)

// Paths is a set of requests by their paths, in the patterns of an AccessRule. The zero value is empty.
type Paths struct {
	patterns []pattern
	prepend  vault.Namespace
}

// NewPaths returns the set of what any of the patterns matches. prepend is Options.PrependNamespace.
func NewPaths(patterns []string, prepend vault.Namespace) Paths {
	p := Paths{prepend: prepend}
	for _, one := range patterns {
		p.patterns = append(p.patterns, compilePattern(one, false))
	}
	return p
}

// Has reports whether the request is in the set. One whose path, or namespace, is not in its canonical form never is.
func (p Paths) Has(r *http.Request) bool {
	if len(p.patterns) == 0 {
		return false
	}
	below, own, why := canonical(r)
	if why != "" {
		return false
	}
	where := location{own: own, list: r.Method == list}
	if own {
		where.parts[2] = below
	} else {
		namespace, why := namespaceOf(r.Header)
		if why != "" {
			return false
		}
		where.parts = [3]string{string(p.prepend), namespace, below}
	}
	for i := range p.patterns {
		if p.patterns[i].match(where) {
			return true
		}
	}
	return false
}

// LogPath is the path of the request as a log may show it, without its query: shortened, as Vault may read it, and without what may be a token or a lease id.
func (x *Exchange) LogPath() string { return loggable(x.Request.URL.Path) }

const hidden = "[redacted]"

// concealed hides what may be a token in a path, and what may be a lease id: the deprecated forms of lookup, renew and revoke have one. In doubt it hides
// too much.
func concealed(p string) string {
	p = settled(p)
	segments := strings.Split(p, "/")
	var first, second string // the two segments before
	token, lease := false, 0 // lease is where the operation on one stands
	for i, s := range segments {
		switch {
		case s == "":
			continue
		case token || looksLikeToken(s):
			segments[i] = hidden
		case second == "token" && (first == "auth" || routeOfLife(s) != ""):
			token = true // all that follows the operation; a namespace may hold the auth/
		case lease == 0 && (second == "sys" || first == "sys" && second == "leases") && routeOfLife(s) != "" && !strings.Contains(s, "-"):
			lease = i // revoke-prefix and the like name no lease
		}
		first, second = second, s
	}
	last := len(segments) - 1
	if segments[last] == "" {
		last-- // Vault takes an id with a slash behind it for the id; that this hides the end of a prefix that is listed does no harm
	}
	if lease > 0 && last > lease {
		segments[last] = hidden
	}
	return strings.Join(segments, "/")
}

// settled is a decoded path as Vault, or what is before it, may read it: decoded again, without empty segments and dots.
func settled(p string) string {
	for range 3 {
		again, err := url.PathUnescape(p)
		if err != nil || again == p {
			break
		}
		p = again
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}
