package tokenfile

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

// Method takes a token from a file. A login is a lookup of that token; the file is read at each and never removed.
type Method struct{ file *credfile.File }

// New makes the method; the file need not exist yet.
func New(path string, log *slog.Logger) *Method {
	return &Method{file: credfile.New("token", path, log, credfile.Options{})}
}

// Login looks up the file's token, once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	token, err := m.file.Read()
	if err != nil {
		return nil, err
	}
	c.SetToken(token)
	return c.Auth().Token().LookupSelfWithContext(ctx)
}

// Remedy says what to do when Vault does not accept the token.
func (m *Method) Remedy(int) string {
	return fmt.Sprintf("the token has ended, or is of another namespace: write a valid one to %s", m.file.Path())
}

// Watch calls changed when the file has another token than the last Login has looked up, until ctx ends.
func (m *Method) Watch(ctx context.Context, changed func()) {
	m.file.Watch(ctx, credfile.DefaultPeriod, changed)
}
