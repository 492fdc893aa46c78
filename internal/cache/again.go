package cache

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/vault"
)

// tokenWait is how long a request waits for another auto-auth token.
const tokenWait = 5 * time.Second

// errTokenGone ends an exchange whose auto-auth token is not the current one any more. Nothing was done at Vault.
var errTokenGone = errors.New("the auto-auth token was replaced or revoked")

// ErrNoToken is what a client gets when the auto-auth token was revoked and no other comes.
const ErrNoToken = unavailable("the auto-auth token was revoked, and there is no other yet; try again, and see Leasehold's log for why the login fails")

// unavailable is an error that the client may read.
type unavailable string

func (u unavailable) Error() string { return string(u) }

// ClientStatus is the HTTP status for the client.
func (unavailable) ClientStatus() int { return http.StatusServiceUnavailable }

// repeat sends a request once more, with the token that follows the one that it was lent: the next of the same login, whatever others hold.
func (c *Cache) repeat(w http.ResponseWriter, r *http.Request, login vault.AutoAuthName) error {
	ctx, cancel := context.WithTimeout(r.Context(), tokenWait)
	defer cancel()
	t, err := c.tokens.Await(ctx, login)
	if err != nil {
		if r.Context().Err() != nil {
			return context.Cause(r.Context())
		}
		return ErrNoToken
	}
	trace.SpanFromContext(r.Context()).AddEvent("sending it again with the next auto-auth token")
	if r.GetBody != nil {
		if r.Body, err = r.GetBody(); err != nil {
			return err
		}
	}
	return c.answer(w, r, vault.Identity{Token: t, Injected: true, AutoAuth: login, Repeated: true})
}

// replaced reports whether the auto-auth token that a request was lent is not the current one any more: it need not be tried.
func (c *Cache) replaced(id vault.Identity) bool {
	if !id.Injected || id.Repeated || c.tokens == nil {
		return false
	}
	_, held := c.holder(id.Token)
	return !held
}

// maxRefusal is more than Vault writes when it does not know a token.
const maxRefusal = 4 << 10

// tokenIsGone looks whether Vault has refused a request because it does not know the token (Vault's own words since 0.11: "permission denied" alone
// is what a token without the right hears). All that hangs on the token leaves the index at once, and a login is under way when this returns.
func (c *Cache) tokenIsGone(resp *http.Response, id vault.Identity) bool {
	if resp.StatusCode != http.StatusForbidden || id.Token.IsZero() || resp.Header.Get("Content-Encoding") != "" {
		return false
	}
	text, _, err := readUpTo(resp.Body, resp.ContentLength, maxRefusal)
	resp.Body = rejoin(text, resp.Body)
	if err != nil || !strings.Contains(string(text), "permission denied") || !strings.Contains(string(text), "invalid token") {
		return false
	}
	c.index.Lose(id.Token)
	if c.tokens != nil {
		c.tokens.Invalidate(id.Token)
	}
	return true
}

// repeatable reports whether r can be sent again as it is.
func repeatable(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
}
