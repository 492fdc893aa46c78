package router

import (
	"context"
	"net/http"
	"strings"

	"leasehold/internal/vault"
)

var (
	errNoToken     = answer{http.StatusServiceUnavailable, "auto-auth token not available yet; Leasehold keeps trying to log in, see its log for the reason"}
	errUnprintable = answer{http.StatusBadRequest, "the request's Vault token contains non-printable characters and cannot be used"}
)

const bearer = "Bearer "

// identify chooses the token of a request. A bearer token counts as the client's, as it does for Vault (Vault Proxy overlooks it and lends such
// clients its own rights).
func (rt *router) identify(r *http.Request) (vault.Identity, error) {
	own, brought := clientToken(r.Header)
	if !own.Printable() {
		return vault.Identity{}, errUnprintable
	}
	if !rt.lends(brought) {
		return vault.Identity{Token: own}, nil
	}
	t := rt.Tokens.Token()
	if t.IsZero() {
		ctx, cancel := context.WithTimeout(r.Context(), rt.opt.TokenWait)
		defer cancel()
		var err error
		if t, err = rt.Tokens.Await(ctx); err != nil {
			if r.Context().Err() != nil {
				return vault.Identity{}, context.Cause(r.Context())
			}
			return vault.Identity{}, errNoToken
		}
	}
	return vault.Identity{Token: t, Injected: true, AutoAuth: rt.opt.AutoAuth}, nil
}

// lends tells whether a request is sent with the auto-auth token.
func (rt *router) lends(brought bool) bool {
	return rt.Tokens != nil && rt.opt.TokenUse != Never && (rt.opt.TokenUse != WhenAbsent || !brought)
}

// clientToken is the token that Vault will see, and whether the client brought one at all: Vault reads no bearer token but after "Bearer ", yet whoever
// writes "bearer " means a token of his own, and is not lent ours.
func clientToken(h http.Header) (t vault.Token, brought bool) {
	if v := h["X-Vault-Token"]; len(v) > 0 && v[0] != "" {
		return vault.NewToken(v[0]), true
	}
	for _, v := range h["Authorization"] {
		if len(v) <= len(bearer) || !strings.EqualFold(v[:len(bearer)], bearer) {
			continue
		}
		if strings.HasPrefix(v, bearer) {
			return vault.NewToken(strings.TrimSpace(v[len(bearer):])), true
		}
		brought = true
	}
	return vault.Token{}, brought
}
