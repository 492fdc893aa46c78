package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"leasehold/internal/autoauth"
	"leasehold/internal/config"
	"leasehold/internal/vault"
)

// login is one auto_auth stanza at work: its own state machine, tokens and sinks.
type login struct {
	name    vault.AutoAuthName
	stanza  *config.AutoAuth // nil for the user's own token, of a start without a file
	manager *autoauth.Manager
	held    *holder
}

// logins are all there are, in file order; none without auto-auth. They are where the cache has tokens from. Which of them a token is lent by is said by
// name, so that no request can come by the token of another.
type logins []*login

// of returns the login of a name; nil when there is none.
func (l logins) of(name vault.AutoAuthName) *login {
	if i := slices.IndexFunc(l, func(l *login) bool { return l.name == name }); i >= 0 {
		return l[i]
	}
	return nil
}

// unsealer is the login whose token opens a state file that Vault has the key of: the one without a name, else the first.
func (l logins) unsealer() *login {
	if unnamed := l.of(""); unnamed != nil || len(l) == 0 {
		return unnamed
	}
	return l[0]
}

// Holder returns a login whose current token t is.
func (l logins) Holder(t vault.Token) (vault.AutoAuthName, bool) {
	for _, one := range l {
		if now := one.manager.Token(); !now.IsZero() && now.Equal(t) {
			return one.name, true
		}
	}
	return "", false
}

// errNoLogin cannot be seen by a client: only the names of logins are lent by.
var errNoLogin = errors.New("there is no such auto_auth stanza")

// Await waits for a login's token.
func (l logins) Await(ctx context.Context, name vault.AutoAuthName) (vault.Token, error) {
	one := l.of(name)
	if one == nil {
		return vault.Token{}, errNoLogin
	}
	return one.manager.Await(ctx)
}

// Lasting waits for a login's token that lives long enough for something to be created under it.
func (l logins) Lasting(ctx context.Context, name vault.AutoAuthName) (vault.Token, error) {
	one := l.of(name)
	if one == nil {
		return vault.Token{}, errNoLogin
	}
	return one.manager.Lasting(ctx)
}

// Invalidate tells all logins that Vault does not know t any more; it means those that hold it.
func (l logins) Invalidate(t vault.Token) {
	for _, one := range l {
		one.manager.Invalidate(t)
	}
}

// runLogins keeps every login until ctx ends or one of them fails. It returns autoauth.ErrDone when all are done.
func (p *parts) runLogins(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	var done atomic.Int64
	for _, one := range p.logins {
		g.Go(func() error {
			switch err := p.runLogin(ctx, one); {
			case err == nil:
				return nil
			case errors.Is(err, autoauth.ErrDone):
				if int(done.Add(1)) < len(p.logins) {
					return nil // the token is where it should be, and the others' is not yet
				}
				return err
			case one.name != "":
				return fmt.Errorf("%s: %w", one.name.Stanza(), err)
			default:
				return err
			}
		})
	}
	return g.Wait()
}

// runLogin begins when it is known whether the last run has left a token: to log in before would spend a secret id in vain.
func (p *parts) runLogin(ctx context.Context, one *login) error {
	if !p.needsVault() || one == p.logins.unsealer() {
		return one.manager.Run(ctx)
	}
	return p.whenOpen(ctx, func(ctx context.Context) error {
		one.manager.Resume(p.resumed(one))
		return one.manager.Run(ctx)
	})
}

// awaitLogins returns when every login has a token, or ctx has ended. It tells whether some have the last run's, which Vault has not confirmed.
func (p *parts) awaitLogins(ctx context.Context) (resuming bool, err error) {
	for _, one := range p.logins {
		if one.manager.Resuming() {
			resuming = true
			continue
		}
		select {
		case <-one.manager.Ready():
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	return resuming, nil
}

// accessor is that of the first login's token.
func (p *parts) accessor() vault.Accessor {
	if len(p.logins) == 0 {
		return ""
	}
	first := p.logins[0]
	if first.manager.Resuming() {
		return p.restored.Auto[first.name].Accessor
	}
	return first.held.accessor()
}

// releaseStrangers drops the tokens that came back of stanzas which are not there any more: nobody renews or replaces them.
func (p *parts) releaseStrangers() {
	for name, last := range p.restored.Auto {
		if p.logins.of(name) == nil {
			p.index.Release(name, last.Token)
		}
	}
}
