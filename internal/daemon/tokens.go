package daemon

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/credfile"
	"leasehold/internal/autoauth/method/static"
	"leasehold/internal/config"
	"leasehold/internal/lease"
	"leasehold/internal/telemetry"
	"leasehold/internal/vault"
)

// newLogins builds auto-auth: a login for each stanza, or one that holds the user's own token; none without either.
func (p *parts) newLogins(o Options) (all logins, err error) {
	if len(p.cfg.AutoAuths) == 0 && o.Token.IsZero() {
		return nil, nil
	}
	g := &gauge{meters: p.meters, missing: max(1, len(p.cfg.AutoAuths))}
	if len(p.cfg.AutoAuths) == 0 {
		one := p.newLogin("", g)
		options := p.loginOptions(one)
		client, err := p.upstream.API()
		if err != nil {
			return nil, err
		}
		one.manager = autoauth.NewManager(client, static.New(o.Token), p.failures, options)
		return logins{one}, nil
	}
	for i := range p.cfg.AutoAuths {
		a := &p.cfg.AutoAuths[i]
		one := p.newLogin(a.Name, g)
		one.stanza = a
		all = append(all, one)
	}
	for _, one := range all {
		if one.manager, err = p.manager(one, one == all.unsealer()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p *parts) newLogin(name vault.AutoAuthName, g *gauge) *login {
	h := &holder{name: name, index: p.index, gauge: g}
	return &login{name: name, held: h}
}

// loginOptions are those that every login has.
func (p *parts) loginOptions(one *login) autoauth.Options {
	options := autoauth.Options{
		Namespace: vault.CanonicalNamespace(p.cfg.Vault.Namespace),
		Observers: []autoauth.Observer{one.held}, Meter: p.meters,
		Name: one.name, Tracer: p.tracer(),
	}
	if p.cfg.Cache != nil {
		options.MinTokenTTL = p.cfg.Cache.MinTokenTTL
	}
	one.held.namespace = options.Namespace
	return options
}

// manager builds the manager of a stanza. It begins with the token of the last run, if the state file has it.
func (p *parts) manager(one *login, unseals bool) (*autoauth.Manager, error) {
	a, m, options := one.stanza, one.stanza.Method, p.loginOptions(one)
	client, err := p.upstream.API()
	if err != nil {
		return nil, err
	}
	options.MinBackoff, options.MaxBackoff, options.ExitOnErr = m.MinBackoff, m.MaxBackoff, m.ExitOnErr
	options.MaxAttempts, options.TotalTimeout = m.MaxAttempts, m.TotalTimeout
	options.WrapTTL, options.MountPath = m.WrapTTL, m.MountPath
	options.ReauthOnNewCredentials = a.ReauthOnNewCredentials
	if m.Namespace != "" {
		options.Namespace = vault.CanonicalNamespace(m.Namespace)
	}
	one.held.namespace = options.Namespace
	if options.Sinks, err = p.sinks(a, options.Namespace); err != nil {
		return nil, err
	}
	log := p.failures
	if a.Name != "" {
		log = log.With(slog.String("auto_auth", string(a.Name)))
	}
	method, err := p.method(m)
	if err != nil {
		return nil, fmt.Errorf("%sauto_auth: %w", place(m.Pos), err)
	}
	if own, ok := method.(interface {
		Through(*api.Client) (*api.Client, error)
	}); ok { // Vault renews a token of the cert method only over connections of the method
		if client, err = own.Through(client); err != nil {
			return nil, err
		}
	}
	if p.needsVault() && unseals {
		method = &unsealing{Method: method, parts: p, login: one}
	}
	options.Resume = p.resumed(one)
	manager := autoauth.NewManager(client, method, log, options)
	one.held.lend(manager.Resuming())
	return manager, nil
}

// resumed is the token of the last run of a login, if it may be used again.
func (p *parts) resumed(one *login) autoauth.Resumed {
	last := p.restored.Auto[one.name]
	if one.stanza.Method.WrapTTL > 0 || last.Token.IsZero() || !p.mayResume(one.stanza, last.Token) {
		return autoauth.Resumed{}
	}
	return autoauth.Resumed{Token: last.Token, Accessor: last.Accessor, Expires: last.Expires}
}

// mayResume reports whether the token of the last run may be used again. A token file says itself which token is to be used.
func (p *parts) mayResume(a *config.AutoAuth, last vault.Token) bool {
	m := a.Method
	if m.Type != "token_file" {
		return true
	}
	now, err := credfile.New("token", m.Settings.String("token_file_path"), p.log, credfile.Options{}).Read()
	return err == nil && vault.NewToken(now).Equal(last)
}

// holder brings a login's token from autoauth to the lease index: leases can hang on it only while it is held.
type holder struct {
	name      vault.AutoAuthName
	index     *lease.Index
	gauge     *gauge
	namespace vault.Namespace
	current   atomic.Pointer[autoauth.Held]
	has       atomic.Bool // as the gauge knows: a token is held, that of the last run among them, or was handed out wrapped
}

// lend notes that the token of the last run is in use, if it is: nobody is told of it before Vault has confirmed it.
func (h *holder) lend(resuming bool) {
	if resuming && !h.has.Swap(true) {
		h.gauge.add(-1)
	}
}

// TokenHeld is called for every new auto-auth token.
func (h *holder) TokenHeld(held autoauth.Held) {
	h.current.Store(&held)
	h.index.Hold(h.name, held.Token, held.Accessor, h.namespace, held.PreviousEnds)
	h.index.HeldUntil(held.Token, held.Expires)
	if !h.has.Swap(true) {
		h.gauge.add(-1)
	}
}

// TokenLost is called when Vault does not know the token any more.
func (h *holder) TokenLost(t vault.Token) {
	h.current.Store(nil)
	h.index.Release(h.name, t)
	if h.has.Swap(false) { // else it was the last run's, and had ended before the start
		h.gauge.add(1)
	}
}

// TokenWrapped is called when a token was handed out that nobody here has.
func (h *holder) TokenWrapped() {
	if !h.has.Swap(true) {
		h.gauge.add(-1)
	}
}

func (h *holder) accessor() vault.Accessor {
	if held := h.current.Load(); held != nil {
		return held.Accessor
	}
	return ""
}

// gauge tells the meters whether every login has a token.
type gauge struct {
	meters *telemetry.Meters

	mu      sync.Mutex // so that what is told last is true
	missing int        // logins without a token
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.missing += n
	g.meters.Authenticated(g.missing == 0)
}
