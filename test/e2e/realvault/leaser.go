package realvault

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// leaser is a secrets engine inside the real lease manager: its leases are issued, renewed, capped at their max TTL and revoked
// by Vault itself, without any outside service.
type leaser struct {
	mu     sync.Mutex
	issued map[string]int // :: name → leases given; outlives a seal, unlike the backend
}

func newLeaser() *leaser { return &leaser{issued: map[string]int{}} }

func (l *leaser) count(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.issued[name]
}

// factory implements logical.Factory.
func (l *leaser) factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	secret := &framework.Secret{
		Type: "leaser",
		// The TTL asked for first is restored: what Vault kept of an earlier renewal may be shorter. Vault itself applies increment and max TTL.
		Renew: func(_ context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
			ttl, err := time.ParseDuration(fmt.Sprint(req.Secret.InternalData["ttl"]))
			if err != nil {
				return nil, fmt.Errorf("ttl of lease %s: %w", req.Secret.LeaseID, err)
			}
			req.Secret.TTL = ttl
			return &logical.Response{Secret: req.Secret}, nil
		},
		Revoke: func(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
			return nil, nil // there is nothing outside Vault to take back
		},
	}
	b := &framework.Backend{BackendType: logical.TypeLogical, Secrets: []*framework.Secret{secret}}
	b.Paths = []*framework.Path{{
		Pattern: "creds/" + framework.GenericNameRegex("name"),
		Fields: map[string]*framework.FieldSchema{
			"name":      {Type: framework.TypeString},
			"ttl":       {Type: framework.TypeDurationSecond, Default: 60, Query: true},
			"max_ttl":   {Type: framework.TypeDurationSecond, Default: 3600, Query: true},
			"renewable": {Type: framework.TypeBool, Default: true, Query: true},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback: func(_ context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
					return l.issue(secret, d), nil
				},
			},
		},
	}}
	return b, b.Setup(ctx, conf)
}

// issue answers one read with a lease of its own and a password that no other lease has.
func (l *leaser) issue(secret *framework.Secret, d *framework.FieldData) *logical.Response {
	name := d.Get("name").(string)
	ttl := time.Duration(d.Get("ttl").(int)) * time.Second
	r := secret.Response(
		map[string]any{"name": name, "password": rand.Text()},
		map[string]any{"ttl": ttl.String()},
	)
	r.Secret.TTL = ttl
	r.Secret.MaxTTL = time.Duration(d.Get("max_ttl").(int)) * time.Second
	r.Secret.Renewable = d.Get("renewable").(bool)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.issued[name]++
	return r
}
