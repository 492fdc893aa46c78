package router

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Rules are matched against what Vault will see, so a request that could be read in two ways is refused before any rule is asked. Vault routes by
// the decoded path, lists for GET with list=true, takes POST and PUT for one operation, cleans slashes and dots by a redirect, and looks for the
// namespace in header and path.

const (
	list     = "LIST"
	recovery = "RECOVER"
)

// canonical returns the path without /v1/ or, of our own endpoints, without /proxy/v1/ or /agent/v1/; why says what is wrong with it.
func canonical(r *http.Request) (path string, own bool, why string) {
	if r.URL.Opaque != "" {
		return "", false, "the target must be a path"
	}
	full := r.URL.Path
	rest, ok := strings.CutPrefix(full, "/v1/")
	for _, app := range [...]string{"/proxy/v1/", "/agent/v1/"} {
		if after, is := strings.CutPrefix(full, app); is {
			rest, ok, own = after, true, true
		}
	}
	switch {
	case !ok || rest == "":
		return "", false, "only paths below /v1/, and endpoints of Leasehold, are served"
	case encodesSyntax(r.URL.RawPath):
		return "", false, "slashes and dots of the path must not be encoded"
	}
	return rest, own, strange(rest)
}

// strange says what is wrong with a path, "" for nothing. One slash at the end is fine.
func strange(path string) string {
	if !utf8.ValidString(path) {
		return "the path is not UTF-8"
	}
	for _, c := range path {
		if c == '\\' || c == '%' || !unicode.IsPrint(c) { // a percent sign that is still there after decoding invites another decoding
			return "the path has a backslash, a percent sign, or a character that cannot be printed"
		}
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(path, "/"), "/") {
		switch segment {
		case "":
			return "the path has an empty segment"
		case ".", "..":
			return "the path has a segment of dots"
		}
	}
	return ""
}

// encodesSyntax tells whether %2f or %2e stands in a raw path.
func encodesSyntax(raw string) bool {
	for {
		i := strings.IndexByte(raw, '%')
		if i < 0 || i+2 >= len(raw) {
			return false
		}
		switch strings.ToLower(raw[i+1 : i+3]) {
		case "2f", "2e":
			return true
		}
		raw = raw[i+3:]
	}
}

// namespaceOf returns the namespace of the header as Vault reads it, without slashes at its ends; why says what is wrong with it.
func namespaceOf(h http.Header) (namespace, why string) {
	values := h[namespaceHeader]
	switch {
	case len(values) == 0:
		return "", ""
	case len(values) > 1:
		return "", namespaceHeader + " must stand once"
	}
	ns := strings.Trim(strings.TrimSpace(values[0]), "/")
	if ns == "" || ns == "root" {
		return "", ""
	}
	first, _, _ := strings.Cut(ns, "/")
	if strange(ns) != "" || first == "root" {
		return "", namespaceHeader + " must be names with single slashes between them, without root"
	}
	return ns, ""
}

// operation is the one name of a method: PUT is Vault's POST.
func operation(method string) string {
	if method == http.MethodPut {
		return http.MethodPost
	}
	return method
}

// effective is the method as Vault understands the request; why says what is wrong with it.
func effective(r *http.Request) (method, why string) {
	method = operation(r.Method)
	if _, ok := r.Header["X-Vault-Recover-Source-Path"]; ok {
		return "", "X-Vault-Recover-Source-Path names a second path"
	}
	if method == http.MethodPost && r.Header["X-Vault-Recover-Snapshot-Id"] != nil {
		method = recovery
	}
	// A query is parsed only when something in it may matter: that allocates.
	if r.URL.RawQuery == "" || !strings.ContainsRune(r.URL.RawQuery, '%') && !strings.Contains(r.URL.RawQuery, "list") && !strings.Contains(r.URL.RawQuery, "recover") {
		return method, ""
	}
	query := r.URL.Query()
	switch method {
	case http.MethodGet:
		return listing(query)
	case http.MethodPost:
		if query.Has("recover_snapshot_id") {
			return recovery, ""
		}
	}
	return method, ""
}

func listing(query url.Values) (method, why string) {
	text := query.Get("list")
	if text == "" {
		return http.MethodGet, ""
	}
	yes, err := strconv.ParseBool(text)
	if err != nil {
		return "", "list must be true or false"
	}
	if yes {
		return list, ""
	}
	return http.MethodGet, ""
}

// location is where a request goes: namespaces and path, or an endpoint of ours in the last part.
type location struct {
	parts [3]string
	own   bool
	list  bool
}

// next cuts the first segment off. A slash at the end of a part means nothing.
func (l *location) next() (segment string, ok bool) {
	for i := range l.parts {
		if l.parts[i] == "" || l.parts[i] == "/" {
			continue
		}
		segment, l.parts[i], _ = strings.Cut(l.parts[i], "/")
		return segment, true
	}
	return "", false
}

// pattern is the path of a rule.
type pattern struct {
	segments []string // the last one without its "*"
	open     bool     // "*" stands at the end
	own      bool
	// fold: letters match in both cases. Some of Vault's methods lower the names that they are given (userpass, ldap), so that a rule that denies
	// must see through the spelling. One that allows takes it as it is.
	fold bool
}

func compilePattern(path string, deny bool) pattern {
	p := pattern{fold: deny}
	for _, app := range [...]string{"/proxy/v1/", "/agent/v1/"} {
		if rest, ok := strings.CutPrefix(path, app); ok {
			path, p.own = rest, true
		}
	}
	path, p.open = strings.CutSuffix(path, "*")
	if !p.open {
		path = strings.TrimSuffix(path, "/")
	}
	p.segments = strings.Split(path, "/")
	return p
}

// match tells whether the pattern covers a location. It does not allocate.
func (p *pattern) match(l location) bool {
	if p.own != l.own {
		return false
	}
	for i, want := range p.segments {
		got, ok := l.next()
		switch last := i == len(p.segments)-1; {
		case last && p.open && !ok:
			// "a/*" and the path "a": Vault lists "a/" there, and finds the mount "a/". A rule that allows is for the former only.
			return want == "" && i > 0 && (l.list || p.fold)
		case !ok:
			return false
		case last && p.open:
			return p.hasPrefix(got, want)
		case want != "+" && !p.equal(got, want):
			return false
		}
	}
	_, more := l.next()
	return !more
}

func (p *pattern) equal(got, want string) bool {
	return got == want || p.fold && strings.EqualFold(got, want)
}

func (p *pattern) hasPrefix(got, want string) bool {
	if !p.fold {
		return strings.HasPrefix(got, want)
	}
	end := 0
	for range utf8.RuneCountInString(want) { // letters and their other cases may differ in bytes, not in number
		if end == len(got) {
			return false
		}
		_, n := utf8.DecodeRuneInString(got[end:])
		end += n
	}
	return strings.EqualFold(got[:end], want)
}

// loggable shortens a path and hides what may be a secret in it.
func loggable(path string) string {
	if path == "" {
		return ""
	}
	return clip(concealed(path))
}

func looksLikeToken(segment string) bool {
	for _, prefix := range [...]string{"hvs.", "hvb.", "hvr.", "s.", "b.", "r."} {
		if len(segment) >= 20 && strings.HasPrefix(segment, prefix) {
			return true
		}
	}
	return false
}

// Clip shortens what a client sent to what a line of a log has room for.
func Clip(s string) string { return clip(s) }

func clip(s string) string {
	const longest = 200
	if len(s) > longest {
		return strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return s
}
