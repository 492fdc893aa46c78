package autoauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/sink/wrapped"
	"leasehold/internal/vault"
)

// askForToken logs in once.
func (m *Manager) askForToken(ctx context.Context) (a answer, err error) {
	ctx, span := m.begin(ctx, "log in")
	defer func() { end(span, err) }()
	var counter useCounter
	secret, err := m.method.Login(ctx, m.cleanClient().WithResponseCallbacks(counter.tap))
	if err != nil {
		return answer{}, explain(err, "login", m.method.Remedy)
	}
	if a, err = readAnswer(secret); err != nil {
		return answer{}, explain(err, "login", m.method.Remedy)
	}
	if a.uses = counter.uses(); a.uses > 0 {
		m.log.Warn("every few requests will need a new login; set token_num_uses=0 on the role",
			"accessor", a.accessor, "num_uses", a.uses)
	}
	return a, nil
}

var (
	errNoGrant    = errors.New("Vault's answer has no auth object")
	errOtherToken = errors.New("Vault's answer is about another token")
)

// askForWrapping logs in once and has the answer wrapped: the login's alone, not those of requests that a method needs before it.
func (m *Manager) askForWrapping(ctx context.Context) (_ *api.SecretWrapInfo, err error) {
	ctx, span := m.begin(ctx, "log in")
	defer func() { end(span, err) }()
	c := m.cleanClient()
	c.SetWrappingLookupFunc(func(_, path string) string {
		if !madeBy(m.opts.MountPath, path) {
			return ""
		}
		return m.opts.WrapTTL.String()
	})
	secret, err := m.method.Login(ctx, c)
	switch {
	case err != nil:
	case secret == nil || secret.WrapInfo == nil || secret.WrapInfo.Token == "":
		err = errNotWrapped
	case !madeBy(m.opts.MountPath, strings.TrimPrefix(secret.WrapInfo.CreationPath, string(m.opts.Namespace))):
		err = fmt.Errorf("SECURITY: the wrapped answer was made at %q and not by a login at %s; something between Leasehold and Vault may have replaced it",
			secret.WrapInfo.CreationPath, m.opts.MountPath)
	}
	if err != nil {
		return nil, explain(err, "login", m.method.Remedy)
	}
	return secret.WrapInfo, nil
}

var errNotWrapped = errors.New("Vault did not wrap its answer; check that nothing between Leasehold and Vault removes the header X-Vault-Wrap-TTL")

// madeBy reports whether path is that of a login at the mount: some methods have the user's or role's name behind it.
func madeBy(mount, path string) bool {
	rest, ok := strings.CutPrefix(path, mount+"/login")
	return ok && (rest == "" || rest[0] == '/')
}

// handOut gives the sinks what a login brought wrapped, as JSON in one line.
func (m *Manager) handOut(w *api.SecretWrapInfo) error {
	content, err := wrapped.Content(w)
	if err != nil {
		return err
	}
	m.wrapped, m.since, m.failures, m.plan = true, m.opts.Now(), failures{}, plan{}
	for _, o := range m.opts.Observers {
		o.TokenWrapped()
	}
	m.publish(vault.NewToken(string(content)))
	m.log.Info("logged in to Vault; the token is handed out wrapped", "accessor", vault.Accessor(w.WrappedAccessor), "wrapping_accessor", vault.Accessor(w.Accessor),
		"namespace", m.opts.Namespace, "wrap_ttl", m.opts.WrapTTL)
	return nil
}

// askForRenewal renews the held token once. It ends with the token's life.
func (m *Manager) askForRenewal(ctx context.Context) (_ vault.Grant, err error) {
	ctx, span := m.begin(ctx, "renew auto-auth token")
	defer func() { end(span, err) }()
	ctx, cancel := m.untilExpiry(ctx)
	defer cancel()
	secret, err := renewSelf(ctx, m.cleanClient(), m.held.Token)
	if err != nil {
		return vault.Grant{}, err
	}
	return readGrant(secret)
}

// renewSelf renews t by as much as Vault wants to give.
func renewSelf(ctx context.Context, c *api.Client, t vault.Token) (*api.Secret, error) {
	secret, err := c.Auth().Token().RenewTokenAsSelfWithContext(ctx, t.Reveal(), 0)
	if err == nil && (secret == nil || secret.Auth == nil) {
		err = errNoGrant
	}
	if err != nil {
		return nil, explain(err, "renewal", renewalRemedy)
	}
	return secret, nil
}

func renewalRemedy(status int) string {
	if status == http.StatusForbidden {
		return "if the token is alive, it lacks a policy that may update auth/token/renew-self"
	}
	return ""
}

// untilExpiry bounds a request about the held token by the token's life.
func (m *Manager) untilExpiry(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.held.Expires.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, m.held.Expires)
}

// cleanClient returns a client for one exchange: without a token, and with headers of its own, so that what a login sets is
// not there at the next one (AUT-3, AUT-4). VAULT_WRAP_TTL, which vault/api would apply, is not meant for logins.
func (m *Manager) cleanClient() *api.Client {
	c := m.client.WithNamespace(string(m.opts.Namespace))
	c.ClearToken()
	c.SetWrappingLookupFunc(func(string, string) string { return "" })
	return c
}
