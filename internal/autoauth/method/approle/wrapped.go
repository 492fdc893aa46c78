package approle

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

// wrapped is a secret ID that comes as a wrapping token.
type wrapped struct {
	file     *credfile.File
	path     string // at which the token must have been made
	used     string // the token that was unwrapped last; Vault takes none twice (AUT-13)
	secretID string // what was in it
	asking   bool   // Vault was asked last about the token, and not for a login
}

// read returns the secret ID, asking Vault for it when the file holds a token that it has not held before. It leaves c without a token.
func (w *wrapped) read(ctx context.Context, c *api.Client) (string, error) {
	w.asking = false
	token, err := w.file.Read()
	if err != nil {
		return "", err
	}
	if token == w.used {
		return w.secretID, nil
	}
	w.asking = true
	c.SetToken(token)
	defer c.ClearToken()
	if err := w.check(ctx, c); err != nil {
		w.file.Settle(err)
		return "", err
	}
	id, err := unwrap(ctx, c)
	w.file.Settle(err)
	if err != nil {
		return "", err
	}
	w.asking, w.used, w.secretID = false, token, id
	return id, nil
}

// check asks where the token was made, which costs it nothing. One that was made elsewhere may wrap what somebody wants Leasehold to use in place of what it got.
func (w *wrapped) check(ctx context.Context, c *api.Client) error {
	s, err := c.Logical().ReadWithContext(ctx, "sys/wrapping/lookup")
	if err != nil {
		return err
	}
	path, ok := "", false
	if s != nil {
		path, ok = s.Data["creation_path"].(string)
	}
	if !ok {
		return fmt.Errorf("Vault does not say where the wrapping token was made; write another one to %s", w.file.Path())
	}
	if path != w.path {
		return fmt.Errorf("SECURITY: the wrapping token was made elsewhere, perhaps by an attacker: at %q and not at %q; find out who has written it to %s, or correct secret_id_response_wrapping_path",
			path, w.path, w.file.Path())
	}
	return nil
}

var errNoSecretID = errors.New("what was wrapped has no secret_id; wrap the answer to auth/approle/role/<role>/secret-id")

func unwrap(ctx context.Context, c *api.Client) (string, error) {
	s, err := c.Logical().WriteWithContext(ctx, "sys/wrapping/unwrap", nil)
	if err != nil {
		return "", err
	}
	if s != nil {
		if id, ok := s.Data["secret_id"].(string); ok && id != "" {
			return id, nil
		}
	}
	return "", errNoSecretID
}
