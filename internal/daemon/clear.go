package daemon

import (
	"leasehold/internal/vault"
)

// clearer forgets entries, as cache-clear documents it.
type clearer interface {
	Clear(kind, value, namespace string) (int, error)
}

// namedClear also knows a lease, and an accessor, by the name that leases and status have for it.
type namedClear struct {
	*parts
	clearer clearer
}

// Clear implements router's clearer.
func (c namedClear) Clear(kind, value, namespace string) (int, error) {
	gone, err := c.clearer.Clear(kind, value, namespace)
	if err != nil || gone > 0 || len(value) != vault.NameLength {
		return gone, err
	}
	switch kind {
	case "lease":
		if token, id := c.index.Named(value, c.hasher); !token.IsZero() {
			return c.clearer.Clear("token", token.Reveal(), namespace)
		} else if id != "" {
			return c.clearer.Clear(kind, id, namespace)
		}
	case "token_accessor":
		if accessor := c.index.NamedAccessor(value, c.hasher); accessor != "" {
			return c.clearer.Clear(kind, string(accessor), namespace)
		}
	}
	return 0, nil
}
