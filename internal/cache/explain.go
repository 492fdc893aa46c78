package cache

import (
	"net/http"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// Explanation is what a Cache would do with a request, and why.
type Explanation struct {
	Kind    lease.Kind
	Rule    *lease.Rule // nil where nothing can be kept
	Outcome string      // as X-Cache has it; Refused
	Why     string
	Kept    string       // of a MISS: which answers would be kept; "" for none
	Entry   *lease.Entry // of a HIT, or a STALE to be
}

// Refused is the Outcome of a request that does not go to Vault.
const Refused = "REFUSED"

// Explain tells what Answer would do with r, were it sent with the token of id and without a body. It sends and changes nothing.
func (c *Cache) Explain(r *http.Request, id vault.Identity) Explanation {
	namespace := r.Header.Get("X-Vault-Namespace")
	op := lease.Describe(r.Method, r.URL.Path, namespace)
	e := Explanation{Kind: op.Kind, Outcome: c.bypass("").how[0]}
	concealed := id.Injected && questionOf(r.URL.Path, namespace) != unrelated
	switch {
	case concealed && r.Header["X-Vault-Wrap-Ttl"] != nil:
		e.Outcome, e.Why = Refused, ErrConcealed.Error()
		return e
	case op.Kind == lease.Renewal:
		e.Why = "a renewal is Vault's to grant; what is held learns its new end from the answer"
		return e
	case op.Kind == lease.Revocation:
		e.Why = "a revocation is Vault's to carry out; what is held of what it names leaves the cache with the answer"
		return e
	}
	if reason, passes := c.passes(r, op, concealed); passes {
		if e.Why = reason; c.opt.Off {
			e.Why = "there is no cache stanza"
		}
		return e
	}
	rule := c.index.RuleOf(op.Namespace, r.URL.Path)
	if e.Rule = rule; rule.Pass {
		e.Why = aPassRule
		return e
	}
	c.explainCreation(&e, r, op, id)
	return e
}

// explainCreation goes on where create looks for the key.
func (c *Cache) explainCreation(e *Explanation, r *http.Request, op lease.Operation, id vault.Identity) {
	key := c.keys.key(r.Method, op.Namespace, target(r), r.URL.RawQuery, nil, id, r.Header)
	held := c.index.Get(&key, time.Now())
	e.Outcome, e.Kept = missValue[0], c.keeps(e.Rule, id)
	switch {
	case held != nil && !held.Due():
		e.Entry, e.Outcome, e.Kept, e.Why = held, hitValue[0], "", "it is held"
	case !c.isAlone(key) && c.flights.has(key):
		e.Outcome, e.Kept, e.Why = coalescedValue[0], "", "the same request is under way: this one waits for its answer, and goes alone if that is not kept"
	case held != nil:
		e.Entry, e.Why = held, "what is held nears its end and cannot be prolonged: Vault is asked, and if it does not answer, this is, as "+staleValue[0]
	case c.isAlone(key):
		e.Why = "nothing is held, and the last answer was not kept: the same requests do not wait for each other"
	default:
		e.Why = "nothing is held"
	}
}

// keeps says which answers to a creation would be kept.
func (c *Cache) keeps(rule *lease.Rule, id vault.Identity) string {
	switch {
	case id.Token.IsZero() || !c.index.Manages(id.Token):
		return "a login's token that can be renewed, or an orphan token; no lease, since the request's token was not issued through here"
	case rule.NonRenewable:
		return "any lease that ends, and a token that can be renewed"
	default:
		return "a lease or a token that can be renewed"
	}
}

// has tells whether a request of this key is under way that others wait for.
func (f *flights) has(key lease.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byKey[key] != nil
}
