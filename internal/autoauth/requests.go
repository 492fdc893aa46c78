package autoauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/vault"
)

// askForToken logs in once.
func (m *Manager) askForToken(ctx context.Context) (answer, error) {
	var counter useCounter
	secret, err := m.method.Login(ctx, m.cleanClient().WithResponseCallbacks(counter.tap))
	if err != nil {
		return answer{}, explain(err, "login", m.method.Remedy)
	}
	a, err := readAnswer(secret)
	if err != nil {
		return answer{}, explain(err, "login", m.method.Remedy)
	}
	if n := counter.uses(); n > 0 {
		m.log.Warn("every few requests will need a new login; set token_num_uses=0 on the role",
			"accessor", a.accessor, "num_uses", n)
	}
	return a, nil
}

var (
	errNoGrant    = errors.New("Vault's answer has no auth object")
	errOtherToken = errors.New("Vault's answer is about another token")
)

// askForRenewal renews the held token once, by as much as Vault wants to give. It ends with the token's life.
func (m *Manager) askForRenewal(ctx context.Context) (vault.Grant, error) {
	ctx, cancel := m.untilExpiry(ctx)
	defer cancel()
	secret, err := m.cleanClient().Auth().Token().RenewTokenAsSelfWithContext(ctx, m.held.Token.Reveal(), 0)
	if err == nil && (secret == nil || secret.Auth == nil) {
		err = errNoGrant
	}
	if err != nil {
		return vault.Grant{}, explain(err, "renewal", renewalRemedy)
	}
	return readGrant(secret)
}

func renewalRemedy(status int) string {
	if status == http.StatusForbidden {
		return "if the token is alive, it lacks a policy that may update auth/token/renew-self"
	}
	return ""
}

// askAboutToken looks the held token up once. The answer's grant is the rest of the token's life; life is what it was made with. The request
// ends with the token.
func (m *Manager) askAboutToken(ctx context.Context) (a answer, life time.Duration, err error) {
	ctx, cancel := m.untilExpiry(ctx)
	defer cancel()
	c := m.cleanClient()
	c.SetToken(m.held.Token.Reveal())
	secret, err := c.Auth().Token().LookupSelfWithContext(ctx)
	if err == nil {
		a, err = readAnswer(secret)
	}
	if err == nil && !a.token.Equal(m.held.Token) {
		err = errOtherToken
	}
	if err != nil {
		return answer{}, 0, explain(err, "lookup", noRemedy)
	}
	life = a.grant.TTL // when Vault does not say, the rest has to do
	if n, ok := secret.Data["creation_ttl"].(json.Number); ok {
		seconds, _ := n.Int64()
		life = max(life, time.Duration(seconds)*time.Second)
	}
	return a, life, nil
}

func noRemedy(int) string { return "" } // a login follows

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
