package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth"
	"leasehold/internal/seal"
	"leasehold/internal/vault"
)

// unsealing is the auth method of a daemon whose state file's key is at Vault (persist "transit"): the first login opens the file, with the new token.
// The token of the last run, which is in the file, is then used instead if it is still good: its leases hang on it.
type unsealing struct {
	autoauth.Method
	parts  *parts
	login  *login
	fresh  *api.Secret // a login that has not done all of this yet: a secret id may be good for no other
	until  time.Time   // of its use
	opened bool
	chosen bool // between the two tokens
}

func (u *unsealing) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	if u.chosen {
		return u.Method.Login(ctx, c)
	}
	fresh, err := unbound(c)
	if err != nil {
		return nil, err
	}
	if u.fresh == nil || time.Now().After(u.until) {
		if u.fresh, err = u.Method.Login(ctx, c); err != nil {
			u.fresh = nil
			return nil, err
		}
		ttl, _ := u.fresh.TokenTTL() // 0, for a token that does not end, has it asked for again: that costs nothing but a login
		u.until = time.Now().Add(ttl / 2)
	}
	id, err := u.fresh.TokenID()
	if err != nil || id == "" {
		return u.fresh, err // the manager says what is wrong with it
	}
	if !u.opened {
		opener := fresh()
		opener.SetToken(id)
		if err := u.open(ctx, opener); err != nil {
			return nil, err
		}
		u.opened = true
	}
	chosen, err := u.choose(ctx, fresh, vault.NewToken(id))
	if err != nil {
		return nil, err
	}
	u.chosen, u.fresh = true, nil
	return chosen, nil
}

// Watch is that of the method, if it can tell of new credentials.
func (u *unsealing) Watch(ctx context.Context, changed func()) {
	if w, ok := u.Method.(autoauth.Watcher); ok {
		w.Watch(ctx, changed)
	}
}

// unbound makes clients of their own with the namespace of c: what a login sets on c must not go along.
func unbound(c *api.Client) (fresh func() *api.Client, err error) {
	plain, err := c.CloneWithHeaders()
	if err != nil {
		return nil, fmt.Errorf("prepare the unsealing of the state file: %w", err)
	}
	return func() *api.Client {
		one := plain.WithNamespace(plain.Namespace())
		one.ClearToken()                                                     // the library takes one from VAULT_TOKEN
		one.SetWrappingLookupFunc(func(string, string) string { return "" }) // and would have all answers wrapped for VAULT_WRAP_TTL
		return one
	}, nil
}

// open opens the file. Vault's refusals are tried again with the next attempt; what is wrong with the file itself ends the daemon.
func (u *unsealing) open(ctx context.Context, c *api.Client) error {
	persist := u.parts.cfg.Cache.Persist
	key := asking{Wrapper: seal.NewTransit(c, persist.TransitMount, persist.TransitKey)}
	err := u.parts.openState(ctx, &key)
	if err == nil {
		u.parts.releaseStrangers()
		err = u.parts.openCache()
	}
	switch {
	case err == nil:
		return nil
	case key.failed == nil:
		u.parts.fail(err)
	case vault.SaysTokenGone(key.failed.Error()):
		u.fresh = nil // waiting would not make it good again
	}
	return fmt.Errorf("open the state file: %w", err)
}

// asking remembers that it was the key that could not be had.
type asking struct {
	seal.Wrapper
	failed error
}

func (a *asking) Wrap(ctx context.Context, secret []byte) (out []byte, err error) {
	out, err = a.Wrapper.Wrap(ctx, secret)
	a.failed = err
	return out, err
}

func (a *asking) Unwrap(ctx context.Context, wrapped []byte) (out []byte, err error) {
	if out, err = a.Wrapper.Unwrap(ctx, wrapped); !errors.Is(err, seal.ErrSealed) {
		a.failed = err
	}
	return out, err
}

// choose returns the login of the last run's token if that is good, and gives back the one that opened the file. It fails when Vault cannot say
// whether it is good.
func (u *unsealing) choose(ctx context.Context, fresh func() *api.Client, opener vault.Token) (*api.Secret, error) {
	last := u.parts.resumed(u.login)
	if last.Token.IsZero() || last.Token.Equal(opener) {
		return u.fresh, nil
	}
	found, err := autoauth.Confirm(ctx, fresh, last.Token)
	switch {
	case err != nil && autoauth.Final(err):
		u.parts.log.Info("the token of the last run is not good any more", slog.String("accessor", string(last.Accessor)), slog.Any("error", err))
		return u.fresh, nil
	case err != nil: // its leases are as good as before
		return nil, fmt.Errorf("look up the token of the last run: %w", err)
	}
	// That of a token file would be somebody else's to revoke, but it is the last run's, or is to be used now.
	c := fresh()
	c.SetToken(opener.Reveal())
	if err := c.Auth().Token().RevokeSelfWithContext(ctx, ""); err != nil {
		u.parts.log.Warn("the token that opened the state file was not given back, and lives until its end", slog.Any("error", refusedOr(err)))
	}
	return found, nil
}

// refusedOr is an answer of Vault in few words; it may echo nothing of the request.
func refusedOr(err error) error {
	if answer, ok := errors.AsType[*api.ResponseError](err); ok {
		return fmt.Errorf("Vault answered %d (%s)", answer.StatusCode, http.StatusText(answer.StatusCode))
	}
	return err
}

// gate stands before the cache until the state file is open: what is kept before could not be told from what the file brings back.
type gate struct{ parts *parts }

// sealedFor is what a client hears who comes too early.
type sealedFor struct{}

func (sealedFor) Error() string {
	return "Leasehold's state file is not open yet: its key is at Vault (persist \"transit\"); see Leasehold's log for why the login or the transit engine does not answer"
}

// ClientStatus is the HTTP status for the client.
func (sealedFor) ClientStatus() int { return http.StatusServiceUnavailable }

// gateWait is how long a request waits, as one does for the first login.
const gateWait = 5 * time.Second

func (g gate) Answer(w http.ResponseWriter, r *http.Request, id vault.Identity) error {
	select {
	case <-g.parts.opened:
		return g.parts.cache.Answer(w, r, id)
	default:
	}
	late := time.NewTimer(gateWait)
	defer late.Stop()
	select {
	case <-g.parts.opened:
		return g.parts.cache.Answer(w, r, id)
	case <-late.C:
		return sealedFor{}
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
}

func (g gate) Clear(kind, value, namespace string) (int, error) {
	select {
	case <-g.parts.opened:
		return g.parts.cache.Clear(kind, value, namespace)
	default:
		return 0, sealedFor{}
	}
}
