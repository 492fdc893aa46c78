package lease

import "leasehold/internal/vault"

// Named is the token, or the id of the lease, that a View has under this name; both are zero when there is none. It looks at all entries, and holds up no hit.
func (x *Index) Named(name string, h *vault.Hasher) (token vault.Token, id string) {
	x.each(func(e *Entry) {
		switch {
		case e.Name(h) != name:
		case e.token != nil:
			token = e.token.token
		default:
			id = string(e.leaseID)
		}
	})
	return token, id
}

// NamedAccessor is the accessor of an entry's token that has this name; "" when there is none.
func (x *Index) NamedAccessor(name string, h *vault.Hasher) (found vault.Accessor) {
	x.each(func(e *Entry) {
		if a := e.accessor(); h.Of(string(a)) == name {
			found = a
		}
	})
	return found
}
