package lease

import (
	"strings"

	"leasehold/internal/vault"
)

// Rule says how what is created at some paths is kept. Rules never change.
type Rule struct {
	// Path is a path below the root namespace, without /v1/, in the words of Vault's policies: "+" stands for one segment, "*" at the end for
	// anything. "" matches every path.
	Path string

	Pass          bool    // nothing is kept, and nothing answered from memory
	NonRenewable  bool    // leases that cannot be renewed are kept too, until ReplaceBefore of their life is left
	RefreshAhead  bool    // what cannot be extended is replaced in the background when it was hit since its last renewal, else by the next request
	ReplaceBefore float64 // share of a life before its end at which what cannot be extended is to be replaced
}

// DefaultReplaceBefore is a tenth of a life.
const DefaultReplaceBefore = 0.1

// RuleOf returns the first rule that matches a path, which is the decoded URL path, in the namespace of its header.
func (x *Index) RuleOf(ns vault.Namespace, urlPath string) *Rule {
	rules := *x.rules.Load()
	if len(rules) == 1 {
		return &rules[0] // matches everything: the common case costs no more than this
	}
	return x.ruleOf(FullPath(ns, urlPath))
}

func (x *Index) ruleOf(path string) *Rule {
	rules := *x.rules.Load()
	for i := range rules {
		if rules[i].matches(path) {
			return &rules[i]
		}
	}
	return &rules[len(rules)-1] // not reached: the last one matches everything
}

func (r *Rule) matches(path string) bool {
	pattern, open := strings.CutSuffix(r.Path, "*")
	if r.Path == "" {
		open = true
	}
	for {
		literal, rest, wild := strings.Cut(pattern, "+")
		switch {
		case !wild && open:
			return strings.HasPrefix(path, literal)
		case !wild:
			return strings.TrimSuffix(path, "/") == strings.TrimSuffix(literal, "/")
		}
		after, ok := strings.CutPrefix(path, literal)
		slash := strings.IndexByte(after, '/')
		if slash < 0 {
			slash = len(after)
		}
		if !ok || slash == 0 {
			return false
		}
		pattern, path = rest, after[slash:]
	}
}
