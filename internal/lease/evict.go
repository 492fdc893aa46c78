package lease

import (
	"slices"
	"strings"
	"time"

	"leasehold/internal/vault"
)

// Scope is what an eviction takes.
type Scope uint8

const (
	ScopeNone      Scope = iota
	ScopeToken           // a token and all that hangs on it
	ScopeSelf            // the token that the request was sent with
	ScopeAccessor        // a token, named by its accessor
	ScopeOrphaning       // a token and its leases; its child tokens live on as orphans
	ScopeLease           // one lease
	ScopePrefix          // leases below a prefix, and tokens whose login path lies below it
	ScopeMount           // everything created through a secrets engine
	ScopeAuthMount       // everything created through an auth method
	ScopeNamespace       // everything in a namespace and below it
	ScopePath            // entries whose full path (see FullPath) begins with the value
	ScopeAll             // everything
)

// Eviction names what is to leave the index.
type Eviction struct {
	Scope     Scope
	Namespace vault.Namespace // of ScopePrefix, ScopeMount, ScopeAuthMount, ScopeNamespace
	InPath    bool            // Namespace may as well be a mount: nothing is meant unless it is known to be a namespace
	Value     string
	Clear     bool // forgotten here on request, alive at Vault: the current auto-auth tokens stay registered
}

// Evict removes what e names, whole and at once: no Get that begins after Evict has returned finds any of it. It returns how many entries left and
// the current auto-auth tokens that were among what Vault revoked.
func (x *Index) Evict(e Eviction) (gone int, lost []vault.Token) {
	x.mu.Lock()
	gone, lost = x.evict(e)
	x.mu.Unlock()
	x.flush()
	return gone, lost
}

func (x *Index) evict(e Eviction) (gone int, lost []vault.Token) {
	var room [4]*node
	before, held := x.entries, x.held(room[:0])
	if e.Scope >= ScopePrefix {
		// Answers under way may hold leases that this ends. For the narrower scopes they cannot: nobody knows a lease id or a token before its
		// answer arrives, and leases of a token that is gone are not kept.
		x.epoch.Add(1)
	}
	if e.InPath && !x.namespaces[e.Namespace] {
		return 0, nil // a KV secret may well be called auth/token/revoke
	}
	switch e.Scope {
	case ScopeToken:
		x.evictToken(x.tokens[vault.NewToken(e.Value).ID()], e.Clear)
	case ScopeAccessor:
		x.evictToken(x.byAccessor[vault.Accessor(e.Value)], e.Clear)
	case ScopeOrphaning:
		x.orphan(x.tokens[vault.NewToken(e.Value).ID()])
	case ScopeLease:
		if l := x.byLease[vault.LeaseID(e.Value)]; l != nil {
			x.remove(l)
		}
	case ScopeAll:
		for _, n := range x.tokens {
			x.evictToken(n, e.Clear)
		}
	default:
		x.evictWhere(e)
	}
	for _, n := range held {
		if x.tokens[n.id] != n {
			lost = append(lost, n.token)
		}
	}
	return before - x.entries, lost
}

// held appends the current auto-auth tokens.
func (x *Index) held(to []*node) []*node {
	for _, n := range x.auto {
		if !slices.Contains(to, n) { // it may have several names
			to = append(to, n)
		}
	}
	return to
}

// evictToken removes a token's subtree. What is only cleared stays alive at Vault, and so its tokens stay known, or their next leases would
// not be kept any more (Vault Proxy stops caching there).
func (x *Index) evictToken(n *node, clear bool) {
	switch {
	case n == nil:
	case clear:
		x.clear(n)
	default:
		x.removeNode(n)
	}
}

// clear takes everything at and below a token out of service, and keeps the tokens until their known ends.
func (x *Index) clear(root *node) {
	for todo := []*node{root}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for child := range n.children {
			todo = append(todo, child)
		}
		for l := range n.leases {
			x.remove(l)
		}
		x.unserve(n)
	}
}

// unserve takes a token's answer out of service. What hangs on the token stays, for as long as the token is good at Vault.
func (x *Index) unserve(n *node) {
	if n.entry == nil {
		return
	}
	ends := time.Unix(0, n.entry.end.Load())
	x.unlink(n.entry)
	n.entry = nil
	if !n.auto() {
		x.setAside(n, ends)
	}
	x.saveToken(n)
}

// orphan removes a token and its leases but leaves its children.
func (x *Index) orphan(n *node) {
	if n == nil {
		return
	}
	for child := range n.children {
		child.parent = nil
		if child.entry != nil {
			child.entry.owner = nil
		}
		x.saveToken(child)
	}
	n.children = nil
	x.removeNode(n)
}

// evictWhere scans: the scopes that match by prefix are rare.
func (x *Index) evictWhere(e Eviction) {
	match := x.matcher(e)
	for _, l := range x.byLease {
		if match(l) {
			x.remove(l)
		}
	}
	for _, n := range x.tokens {
		login := n.entry
		if login == nil {
			if e.Scope == ScopePath { // it names answers, and this token has none
				continue
			}
			login = &Entry{namespace: n.namespace, path: string(n.namespace) + n.origin}
		}
		if match(login) {
			x.evictToken(n, e.Clear)
		}
	}
}

func (x *Index) matcher(e Eviction) func(*Entry) bool {
	value := strings.Trim(e.Value, "/")
	switch e.Scope {
	case ScopePrefix:
		// Vault revokes the lease of exactly this id, or all below prefix + "/": aws/creds never means aws/creds2.
		return func(l *Entry) bool {
			return l.namespace == e.Namespace && (string(l.leaseID) == value || below(l.origin(), value))
		}
	case ScopeMount:
		// A remount may name a mount in a namespace below its own.
		return func(l *Entry) bool { return below(string(l.namespace)+l.origin(), string(e.Namespace)+value) }
	case ScopeAuthMount:
		return func(l *Entry) bool { return l.namespace == e.Namespace && below(l.origin(), "auth/"+value) }
	case ScopeNamespace:
		return func(l *Entry) bool { return e.Namespace.Contains(l.namespace) }
	case ScopePath:
		return x.pathMatcher(e.Value)
	default:
		return func(*Entry) bool { return false }
	}
}

// pathMatcher matches on segment boundaries when the value ends in a slash or is the whole path of some entry, else by plain prefix: so that
// clearing /v1/secret/foo does not also clear /v1/secret/foobar.
func (x *Index) pathMatcher(value string) func(*Entry) bool {
	whole := strings.HasSuffix(value, "/")
	for _, l := range x.byLease {
		whole = whole || l.path == value
	}
	for _, n := range x.tokens {
		whole = whole || (n.entry != nil && n.entry.path == value)
	}
	if !whole {
		return func(l *Entry) bool { return strings.HasPrefix(l.path, value) }
	}
	dir := strings.TrimSuffix(value, "/")
	return func(l *Entry) bool { return l.path == dir || dir == "" || below(l.path, dir) }
}

// origin is what the entry's lease id begins with, inside the namespace: for a lease the id itself, for a token, whose lease id Vault does not
// tell, the path of the request that created it.
func (e *Entry) origin() string {
	if e.leaseID != "" {
		return string(e.leaseID)
	}
	return strings.TrimSuffix(strings.TrimPrefix(e.path, string(e.namespace)), "/") + "/"
}

func below(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && strings.HasPrefix(rest, "/")
}

// remove takes one entry out of every map; a token entry takes its subtree with it.
func (x *Index) remove(e *Entry) {
	if e.token != nil {
		x.removeNode(e.token)
		return
	}
	delete(x.byLease, e.leaseID)
	delete(e.owner.leases, e)
	x.unlink(e)
}

// unlink takes an entry out of its shard and the heap, and marks it ended for whoever still holds it.
func (x *Index) unlink(e *Entry) {
	s := x.shardOf(&e.key)
	s.mu.Lock()
	if s.byKey[e.key] == e {
		delete(s.byKey, e.key)
	}
	s.mu.Unlock()
	e.end.Store(0)
	if x.journaled() { // the id is a hash, and takes a third of the time
		x.forget(e.change().recordID())
	}
	x.dropAlarm(&e.alarm)
	if cancel := x.renewing[e]; cancel != nil {
		cancel()
	}
	x.bytes -= e.size
	x.entries--
	x.full = x.full && (x.bytes > x.opt.MaxBytes/10*9 || x.entries > x.opt.MaxEntries/10*9)
}

// removeNode takes a token and everything below it. It does not recurse: a chain of child tokens may be of any length.
func (x *Index) removeNode(root *node) {
	if root.parent != nil {
		delete(root.parent.children, root)
	}
	for todo := []*node{root}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for child := range n.children {
			todo = append(todo, child)
		}
		for l := range n.leases {
			delete(x.byLease, l.leaseID)
			x.unlink(l)
		}
		if n.entry != nil {
			x.unlink(n.entry)
		}
		if n.entry == nil {
			x.forget(n.id)
		}
		n.children, n.leases = nil, nil
		x.dropAlarm(&n.alarm)
		x.bytes -= n.size()
		delete(x.tokens, n.id)
		if x.byAccessor[n.accessor] == n {
			delete(x.byAccessor, n.accessor)
		}
		for _, h := range n.holds {
			delete(x.auto, h.name)
		}
		n.holds = nil
	}
}
