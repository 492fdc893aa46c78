package cache

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// revoke forwards a revocation and evicts what it named before its answer is written: a revocation that Vault accepted is never
// followed by a hit. When it stays open whether Vault has acted, it is taken to have: forgetting costs one request.
func (c *Cache) revoke(w http.ResponseWriter, r *http.Request, id vault.Identity, op lease.Operation) error {
	body, whole, err := takeBody(r, maxRevocation)
	if err != nil {
		return err
	}
	eviction, ok := op.Eviction(r.URL.RawQuery, body, id.Token)
	switch {
	case !whole:
		eviction = lease.Eviction{Scope: lease.ScopeAll, Clear: true}
	case !ok:
		return c.send(w, r, id, c.bypass(aRevocation).inspect)
	}
	id.Repeated = true // it may name the token that it was lent: the next one is not meant
	pass := c.bypass(aRevocation)
	settle := c.announce(eviction)
	err = c.send(w, r, id, func(resp *http.Response) error {
		// Vault answers 400 when it fails halfway through what has many leases.
		settle(mayHaveActed(resp.StatusCode) || (resp.StatusCode == http.StatusBadRequest && eviction.Scope >= lease.ScopePrefix))
		return pass.inspect(resp)
	})
	settle(err != nil && !neverSent(err))
	return err
}

const aRevocation = "a revocation is Vault's to carry out"

// maxRevocation is far more than a revocation needs. One that is too large to be read and that Vault accepts all the same empties the cache.
const maxRevocation = 1 << 20

// mayHaveActed: 204, but also 202 (sync=false) and 200; and the errors behind which the request may have been carried out, those that
// balancers make up included.
func mayHaveActed(status int) bool {
	switch status {
	case http.StatusNotImplemented, http.StatusServiceUnavailable:
		return false
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent, http.StatusRequestTimeout:
		return true
	default:
		return status >= http.StatusInternalServerError
	}
}

// neverSent tells errors after which Vault cannot have seen the request.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// announce notes that Vault is about to be asked. Only the first call of settle counts: it says whether Vault may have acted.
func (c *Cache) announce(e lease.Eviction) (settle func(acted bool)) {
	end, settled := c.index.Announce(e), false
	return func(acted bool) {
		if settled {
			return
		}
		settled = true
		_, lost := end(acted)
		for _, t := range lost {
			if c.tokens != nil {
				c.tokens.Invalidate(t)
			}
		}
	}
}

// renew forwards a renewal. It is never answered from memory; a granted one moves the end of the entry it concerns
// (hashicorp/vault#19684).
func (c *Cache) renew(w http.ResponseWriter, r *http.Request, id vault.Identity) error {
	if _, _, err := takeBody(r, c.maxEntrySize.Load()); err != nil {
		return err
	}
	sent := time.Now()
	pass := c.bypass("a renewal is Vault's to grant")
	return c.send(w, r, id, func(resp *http.Response) error {
		if isSecret(resp) {
			body, whole, err := readUpTo(resp.Body, resp.ContentLength, c.maxEntrySize.Load())
			if err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
			resp.Body = rejoin(body, resp.Body)
			if plain, err := decoded(body, resp.Header.Get("Content-Encoding"), c.maxEntrySize.Load()); whole && err == nil {
				c.index.Renewed(plain, sent)
			}
		}
		return pass.inspect(resp)
	})
}
