package daemon

import (
	"fmt"
	"sync/atomic"
	"time"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/credfile"
	"leasehold/internal/autoauth/method/approle"
	"leasehold/internal/autoauth/method/static"
	"leasehold/internal/autoauth/method/tokenfile"
	"leasehold/internal/autoauth/sink/file"
	"leasehold/internal/config"
	"leasehold/internal/lease"
	"leasehold/internal/telemetry"
	"leasehold/internal/vault"
)

// manager builds auto-auth; it returns nil when there is none. It begins with the token of the last run, if the state file has it.
func (p *parts) manager(o Options) (*autoauth.Manager, error) {
	if p.cfg.AutoAuth == nil && o.Token.IsZero() {
		return nil, nil
	}
	client, err := p.upstream.API()
	if err != nil {
		return nil, err
	}
	options := autoauth.Options{
		Namespace: vault.CanonicalNamespace(p.cfg.Vault.Namespace), ExitAfterAuth: p.cfg.ExitAfterAuth,
		Observers: []autoauth.Observer{p.held}, Meter: p.meters,
	}
	if p.cfg.Cache != nil {
		options.MinTokenTTL = p.cfg.Cache.MinTokenTTL
	}
	if p.cfg.AutoAuth == nil {
		p.held.namespace = options.Namespace
		return autoauth.NewManager(client, static.New(o.Token), p.log, options), nil
	}
	m := p.cfg.AutoAuth.Method
	options.MinBackoff, options.MaxBackoff, options.ExitOnErr = m.MinBackoff, m.MaxBackoff, m.ExitOnErr
	if m.Namespace != "" {
		options.Namespace = vault.CanonicalNamespace(m.Namespace)
	}
	p.held.namespace = options.Namespace
	for _, s := range p.cfg.AutoAuth.Sinks {
		sink, err := file.Open(s.Path, file.Options{Mode: s.Mode, Owner: s.Owner, Group: s.Group})
		if err != nil {
			return nil, fmt.Errorf("%sauto_auth: %w", place(s.Pos), err)
		}
		options.Sinks = append(options.Sinks, sink)
	}
	method, err := p.method(m)
	if err != nil {
		return nil, fmt.Errorf("%sauto_auth: %w", place(m.Pos), err)
	}
	if p.needsVault() {
		method = &unsealing{Method: method, parts: p}
	}
	if r := p.restored; !r.Auto.IsZero() && p.mayResume(r.Auto) {
		options.Resume = autoauth.Resumed{Token: r.Auto, Accessor: r.AutoAccessor, Expires: r.AutoExpires}
	}
	return autoauth.NewManager(client, method, p.log, options), nil
}

// mayResume reports whether the token of the last run may be used again. A token file says itself which token is to be used.
func (p *parts) mayResume(last vault.Token) bool {
	m := p.cfg.AutoAuth.Method
	if m.Type != "token_file" {
		return true
	}
	now, err := credfile.New("token", m.Settings.String("token_file_path"), false, p.log).Read()
	return err == nil && vault.NewToken(now).Equal(last)
}

// method builds the auth method of a configuration that the loader has checked.
func (p *parts) method(m config.Method) (autoauth.Method, error) {
	switch m.Type {
	case "approle":
		return approle.New(m.Settings.String("role_id_file_path"), p.log, approle.Options{
			MountPath:        m.MountPath,
			SecretIDFile:     m.Settings.String("secret_id_file_path"),
			KeepSecretIDFile: !m.Settings.Bool("remove_secret_id_file_after_reading"),
		}), nil
	case "token_file":
		return tokenfile.New(m.Settings.String("token_file_path"), p.log), nil
	default:
		return nil, fmt.Errorf("method %q is not built yet; use approle or token_file", m.Type)
	}
}

// holder brings the auto-auth token from autoauth to the lease index: leases can hang on it only while it is held.
type holder struct {
	index     *lease.Index
	meters    *telemetry.Meters
	namespace vault.Namespace
	current   atomic.Pointer[autoauth.Held]
	changed   atomic.Int64 // Unix nanoseconds: since when there is a token, or none
}

// TokenHeld is called for every new auto-auth token.
func (h *holder) TokenHeld(held autoauth.Held) {
	var previousEnds time.Time
	if old := h.current.Load(); old != nil && held.PreviousAlive {
		previousEnds = old.Expires
	}
	if old := h.current.Swap(&held); old == nil {
		h.changed.Store(time.Now().UnixNano())
	}
	h.index.Hold(held.Token, held.Accessor, h.namespace, previousEnds)
	h.index.HeldUntil(held.Token, held.Expires)
	h.meters.Authenticated(true)
}

// TokenLost is called when Vault does not know the token any more.
func (h *holder) TokenLost(t vault.Token) {
	h.current.Store(nil)
	h.changed.Store(time.Now().UnixNano())
	h.index.Lose(t)
	h.meters.Authenticated(false)
}

func (h *holder) accessor() vault.Accessor {
	if held := h.current.Load(); held != nil {
		return held.Accessor
	}
	return ""
}
