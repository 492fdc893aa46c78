package static

import (
	"context"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/vault"
)

// Method uses one token for the life of the process. A login is a lookup of it.
type Method struct{ token vault.Token }

// New makes the method for a token, typically that of VAULT_TOKEN.
func New(t vault.Token) *Method { return &Method{token: t} }

// Login looks up the token, once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	c.SetToken(m.token.Reveal())
	return c.Auth().Token().LookupSelfWithContext(ctx)
}

// Remedy says what to do when Vault does not accept the token.
func (m *Method) Remedy(int) string {
	return "the token has ended, or is of another namespace: start again with a valid VAULT_TOKEN"
}
