package upstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"leasehold/internal/vault"
)

// maxRenewal bounds the answer to a renewal.
const maxRenewal = 1 << 20

// RenewLease asks Vault to prolong a lease by its own increment, with the token t in the namespace ns. It tries once, within
// VAULT_CLIENT_TIMEOUT: when to try again is for the caller to know. The error wraps vault.ErrRefused when Vault said no for good (400, 403, 404).
func (c *Client) RenewLease(ctx context.Context, ns vault.Namespace, t vault.Token, id vault.LeaseID) (vault.Grant, error) {
	g, err := c.renew(ctx, "/v1/sys/leases/renew", ns, t, renewal{LeaseID: id})
	if err != nil {
		return vault.Grant{}, fmt.Errorf("renew lease of %s: %w", id.Path(), err)
	}
	return g, nil
}

// RenewSelf asks Vault to prolong the token t by its own increment. Everything else is as for RenewLease.
func (c *Client) RenewSelf(ctx context.Context, ns vault.Namespace, t vault.Token) (vault.Grant, error) {
	g, err := c.renew(ctx, "/v1/auth/token/renew-self", ns, t, renewal{})
	if err != nil {
		return vault.Grant{}, fmt.Errorf("renew token: %w", err)
	}
	return g, nil
}

type renewal struct {
	LeaseID   vault.LeaseID `json:"lease_id,omitempty"`
	Increment int           `json:"increment"` // 0: as long as the lease was given for at first
}

// renewed is what a renewal's answer says; that of a token has it under auth.
type renewed struct {
	LeaseDuration int64 `json:"lease_duration"` // seconds
	Renewable     bool  `json:"renewable"`
}

func (c *Client) renew(ctx context.Context, path string, ns vault.Namespace, t vault.Token, in renewal) (vault.Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.admit(ctx); err != nil {
		return vault.Grant{}, err
	}
	status, raw, err := c.put(ctx, path, ns, t, in)
	if err != nil {
		return vault.Grant{}, err
	}
	if status != http.StatusOK {
		return vault.Grant{}, refusal(status, raw, t)
	}
	var out struct {
		renewed
		Auth *renewed `json:"auth"`
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return vault.Grant{}, fmt.Errorf("read Vault's answer: %w", err)
	}
	got := cmp.Or(out.Auth, &out.renewed)
	return vault.Grant{TTL: time.Duration(got.LeaseDuration) * time.Second, Renewable: got.Renewable}, nil
}

// put sends in as JSON.
func (c *Client) put(ctx context.Context, path string, ns vault.Namespace, t vault.Token, in any) (int, []byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, c.nodes.list[0].origin.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header = http.Header{
		"Content-Type":    {"application/json"},
		"User-Agent":      {c.userAgent},
		"X-Vault-Request": vaultRequest,
		"X-Vault-Token":   {t.Reveal()},
	}
	if ns != "" {
		r.Header.Set("X-Vault-Namespace", string(ns))
	}
	resp, err := c.attempt(r, path, (*pools).forProxying)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxRenewal))
	return resp.StatusCode, raw, err
}

// refusal is the error for an answer that is none, in Vault's words where it gave some.
func refusal(status int, raw []byte, t vault.Token) error {
	var out struct {
		Errors []string `json:"errors"`
	}
	_ = json.Unmarshal(raw, &out) // whatever is in front of Vault may answer in another form: the status says enough
	text := fmt.Sprintf("Vault answered %d", status)
	if len(out.Errors) > 0 {
		text += ": " + strings.Join(out.Errors, "; ")
	}
	if !t.IsZero() {
		text = strings.ReplaceAll(text, t.Reveal(), fmt.Sprint(t))
	}
	switch {
	case status == http.StatusForbidden && vault.SaysTokenGone(text):
		return denial{text, vault.ErrTokenGone}
	case status == http.StatusBadRequest, status == http.StatusForbidden, status == http.StatusNotFound:
		return denial{text, vault.ErrRefused}
	}
	return errors.New(text)
}

// denial is a no of Vault in its own words.
type denial struct {
	text string
	kind error // vault.ErrRefused, or a narrower one
}

func (e denial) Error() string { return e.text }
func (e denial) Unwrap() error { return e.kind }
