package upstream

import (
	"context"
	"fmt"
	"net/http"

	"leasehold/internal/vault"
)

type revocation struct {
	LeaseID vault.LeaseID `json:"lease_id,omitempty"`
	Sync    bool          `json:"sync,omitempty"` // Vault answers when the lease is revoked, not when that is planned
}

// RevokeLease revokes a lease with the token t in the namespace ns. Tries, times and errors are as for RenewLease.
func (c *Client) RevokeLease(ctx context.Context, ns vault.Namespace, t vault.Token, id vault.LeaseID) error {
	if err := c.revoke(ctx, "/v1/sys/leases/revoke", ns, t, revocation{LeaseID: id, Sync: true}); err != nil {
		return fmt.Errorf("revoke lease of %s: %w", id.Path(), err)
	}
	return nil
}

// RevokeSelf revokes the token t, and with it all that hangs on it. Everything else is as for RevokeLease.
func (c *Client) RevokeSelf(ctx context.Context, ns vault.Namespace, t vault.Token) error {
	if err := c.revoke(ctx, "/v1/auth/token/revoke-self", ns, t, revocation{}); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

func (c *Client) revoke(ctx context.Context, path string, ns vault.Namespace, t vault.Token, in revocation) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.admit(ctx); err != nil {
		return err
	}
	status, raw, err := c.put(ctx, path, ns, t, in)
	if err == nil && status >= http.StatusMultipleChoices {
		err = refusal(status, raw, t)
	}
	return err
}
