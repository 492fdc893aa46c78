package cache

import (
	"errors"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// clearScopes maps the types of a cache-clear to what they take and the name of a value that is missing.
var clearScopes = map[string]struct {
	scope lease.Scope
	value string
}{
	"request_path":   {lease.ScopePath, "request path"},
	"token":          {lease.ScopeToken, "token"},
	"token_accessor": {lease.ScopeAccessor, "token accessor"},
	"lease":          {lease.ScopeLease, "lease"},
	"all":            {lease.ScopeAll, ""},
}

// Clear forgets entries without revoking them at Vault, and returns how many. namespace belongs to request_path, and is the root by default.
// Errors are the caller's mistakes, in Vault Proxy's words. Later requests are cached as before.
func (c *Cache) Clear(kind, value, namespace string) (int, error) {
	if kind == "" {
		return 0, errors.New("failed to parse clear input: no type provided")
	}
	what, ok := clearScopes[kind]
	if !ok {
		return 0, errors.New("failed to clear cache: invalid type provided; use request_path, token, token_accessor, lease or all")
	}
	if value == "" && what.value != "" {
		return 0, errors.New("failed to clear cache: " + what.value + " not provided")
	}
	e := lease.Eviction{Scope: what.scope, Value: value, Clear: true}
	if e.Scope == lease.ScopePath {
		e.Value = lease.FullPath(vault.CanonicalNamespace(namespace), value)
	}
	gone, _ := c.index.Evict(e)
	c.alone.Clear()
	return gone, nil
}
