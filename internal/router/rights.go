package router

import (
	"log/slog"
	"net/http"
	"strconv"

	"leasehold/internal/vault"
)

// Rights say who may use a listener, and for what. The zero value gives everybody everything, at no cost.
type Rights struct {
	Callers Callers      // who may use the listener at all, our own endpoints included
	Rules   []AccessRule // the first that matches decides
	Deny    bool         // what no rule matches is denied; without rules it means nothing
}

// AccessRule is a rule block of a listener.
type AccessRule struct {
	// Path is what a cache's rule has: a path below the root namespace, without /v1/; "+" stands for one segment, "*" at the end for anything.
	// One that begins with /proxy/v1/ names an endpoint of ours.
	Path    string
	Methods []string // Vault's: POST and PUT are the same, GET with list=true is LIST; none means every method
	Callers Callers  // the rule is for these only
	Deny    bool
}

// IsZero reports whether nobody is refused anything.
func (r *Rights) IsZero() bool { return r.Callers.isZero() && len(r.Rules) == 0 }

// denial is why a request is refused.
type denial struct {
	text string
	kind int    // which line of the log paces it
	rule int    // from 1; 0 when it was no rule
	path string // for the log; "" for a path that is not in its canonical form, and may be anything
}

// gate applies Rights.
type gate struct {
	rt      *router
	callers callers
	rules   []accessRule
	deny    bool
	asks    callers // what has to be known of a caller: all criteria together
	prepend vault.Namespace
	lines   []line // of the log: one for each kind of denial, then one for each rule
}

// The kinds of denials. Each has a pace of its own, so that none hides another.
const (
	kindUnknown = iota
	kindCaller
	kindForm
	kindDefault
	kindRule // the first rule's; the others follow
)

type accessRule struct {
	pattern
	methods []string
	callers callers
	deny    bool
}

// newGate compiles Rights that are not zero.
func (rt *router) newGate(rights Rights) *gate {
	g := &gate{rt: rt, callers: rights.Callers.compile(), deny: rights.Deny, prepend: rt.opt.PrependNamespace, lines: newLines(kindRule + len(rights.Rules))}
	g.asks = g.callers
	for _, r := range rights.Rules {
		rule := accessRule{pattern: compilePattern(r.Path, r.Deny), callers: r.Callers.compile(), deny: r.Deny}
		for _, m := range r.Methods {
			rule.methods = append(rule.methods, operation(m))
		}
		g.asks.ids = g.asks.ids || rule.callers.ids
		g.asks.groups = g.asks.groups || rule.callers.groups
		g.asks.certs = g.asks.certs || rule.callers.certs
		g.rules = append(g.rules, rule)
	}
	return g
}

// guardRights returns the middleware for Rights that are not zero.
func (rt *router) guardRights(rights Rights) func(http.Handler) http.Handler {
	g := rt.newGate(rights)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := rt.callerOf(r)
			if no := g.judge(r, c); no.text != "" {
				g.refuse(w, r, c, no)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

const (
	textUnknown = "it cannot be told who is calling, and the rights of this listener of Leasehold depend on it"
	textCaller  = "this caller may not use this listener of Leasehold; its allow_ keys say who may"
	textForm    = "this listener of Leasehold has rules, and a request must be in its canonical form: "
	textDefault = "no rule of this listener of Leasehold allows this; its rules and default_action decide"
)

// judge returns a denial without a text for what is allowed, with the rule that does. It does not allocate then.
func (g *gate) judge(r *http.Request, c Caller) denial {
	if !c.known(g.asks) {
		return denial{text: textUnknown, kind: kindUnknown}
	}
	if !g.callers.match(c) {
		return denial{text: textCaller, kind: kindCaller}
	}
	if len(g.rules) == 0 {
		return denial{}
	}
	path, own, why := canonical(r)
	if why != "" {
		return denial{text: textForm + why, kind: kindForm}
	}
	method, why := effective(r)
	if why != "" {
		return denial{text: textForm + why, kind: kindForm}
	}
	where := location{own: own, list: method == list}
	if own {
		where.parts[2] = path
	} else {
		namespace, why := namespaceOf(r.Header)
		if why != "" {
			return denial{text: textForm + why, kind: kindForm}
		}
		where.parts = [3]string{string(g.prepend), namespace, path}
	}
	for i := range g.rules {
		rule := &g.rules[i]
		if !rule.covers(method) || !rule.match(where) || !rule.callers.match(c) {
			continue
		}
		if rule.deny {
			return denial{text: "rule " + strconv.Itoa(i+1) + " of this listener of Leasehold denies this", kind: kindRule + i, rule: i + 1, path: r.URL.Path}
		}
		return denial{rule: i + 1}
	}
	if !g.deny || own && machines(path) {
		return denial{}
	}
	return denial{text: textDefault, kind: kindDefault, path: r.URL.Path}
}

// machines tells our endpoints that probes and scrapers ask, and that have no secret: only a rule that names them, or the lists of callers, closes them.
func machines(path string) bool { return path == "metrics" || path == "readyz" || path == "livez" }

func (r *accessRule) covers(method string) bool {
	if len(r.methods) == 0 {
		return true
	}
	for _, m := range r.methods {
		if m == method {
			return true
		}
	}
	return false
}

// refuse answers, counts and logs.
func (g *gate) refuse(w http.ResponseWriter, r *http.Request, c Caller, no denial) {
	if g.rt.Denied != nil {
		g.rt.Denied()
	}
	var more []slog.Attr
	if no.rule > 0 {
		more = append(more, slog.Int("rule", no.rule))
	}
	g.lines[no.kind].denied(g.rt, r, c, no.text, no.path, more...)
	deny(w, no.text)
	writeError(w, http.StatusForbidden, no.text)
}
