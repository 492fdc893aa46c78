package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// vaultAnswers has all logins try now what has failed.
func (l logins) vaultAnswers() {
	for _, one := range l {
		one.manager.VaultAnswers()
	}
}

// errDone is that exit_after_auth is satisfied. It is a success.
var errDone = errors.New("logged in, and every sink has the token")

// runLogins keeps every login until ctx ends or one of them fails. With exit_after_auth it returns errDone when every sink of all has a token; until then
// each login goes on, so that no sink has a token that has ended.
func (p *parts) runLogins(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, one := range p.logins {
		g.Go(func() error {
			err := p.runLogin(ctx, one)
			if err != nil && one.name != "" {
				err = fmt.Errorf("%s: %w", one.name.Stanza(), err)
			}
			return err
		})
	}
	if p.cfg.ExitAfterAuth && len(p.logins) > 0 {
		g.Go(func() error {
			for _, one := range p.logins {
				if !one.manager.AwaitStored(ctx) {
					return nil
				}
			}
			return errDone
		})
	}
	return g.Wait()
}

// runLogin begins when it is known whether the last run has left a token: to log in before would spend a secret id in vain.
func (p *parts) runLogin(ctx context.Context, one *login) error {
	if !p.needsVault() || one == p.logins.unsealer() {
		return one.manager.Run(ctx)
	}
	select {
	case <-p.opened:
		one.manager.Resume(p.resumed(one))
		one.held.lend(one.manager.Resuming())
	case <-ctx.Done():
	}
	return one.manager.Run(ctx) // with an ended ctx as well: who waits for a login hears that there will be none
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
		if one := p.logins.of(name); one == nil || one.stanza != nil && one.stanza.Method.WrapTTL > 0 { // with wrap_ttl nobody here has a token
			p.index.Release(name, last.Token)
		}
	}
}
