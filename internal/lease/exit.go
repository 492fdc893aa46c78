package lease

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"leasehold/internal/vault"
)

// revokeClient is what an exit needs from Vault. Both methods are safe for concurrent use; errors wrap vault.ErrTokenGone when Vault does not know
// the token that was sent.
type revokeClient interface {
	RevokeLease(ctx context.Context, ns vault.Namespace, t vault.Token, id vault.LeaseID) error
	RevokeSelf(ctx context.Context, ns vault.Namespace, t vault.Token) error
}

// RevokeAll revokes what is held at Vault until ctx ends, from the top of the token tree downwards: a token takes what hangs on it along, so that is
// not asked for. A current auto-auth token itself is revoked when own says so of every login that holds it, else what hangs on it is. What was revoked
// leaves the index; what could not be is logged by accessor or lease id, and counted. No clock may run, and nothing may be kept meanwhile.
func (x *Index) RevokeAll(ctx context.Context, client revokeClient, log *slog.Logger, own func(vault.AutoAuthName) bool) (revoked, failed int) {
	r := revocation{index: x, client: client, log: log, own: own}
	x.mu.Lock()
	all := len(x.auto) > 0
	for name := range x.auto {
		all = all && own(name)
	}
	x.mu.Unlock()
	settle := x.Announce(Eviction{Scope: ScopeAll, Clear: !all}) // a kill on the way must not bring back what was revoked by then
	x.mu.Lock()
	var tops []*node
	for _, n := range x.tokens {
		if n.parent == nil {
			tops = append(tops, n)
		}
	}
	before := x.entries
	x.mu.Unlock()
	for len(tops) > 0 {
		tops = r.level(ctx, tops)
	}
	x.flush()
	settle(false) // what was revoked has left
	x.flush()
	entries, _, _ := x.Stats()
	return before - entries, int(r.failed.Load())
}

type revocation struct {
	index  *Index
	client revokeClient
	log    *slog.Logger
	own    func(vault.AutoAuthName) bool
	failed atomic.Int64
}

// level revokes tokens side by side, and the leases of those that could not be. It returns the tokens below those.
func (r *revocation) level(ctx context.Context, tokens []*node) (below []*node) {
	var tasks errgroup.Group
	tasks.SetLimit(renewWorkers)
	left := make([]bool, len(tokens))
	for i, n := range tokens {
		tasks.Go(func() error {
			left[i] = !r.token(ctx, n)
			return nil
		})
	}
	_ = tasks.Wait() // the tasks log what fails
	for i, n := range tokens {
		if !left[i] {
			continue
		}
		r.index.mu.Lock()
		leases := make([]*Entry, 0, len(n.leases))
		for l := range n.leases {
			leases = append(leases, l)
		}
		for child := range n.children {
			below = append(below, child)
		}
		r.index.mu.Unlock()
		for _, l := range leases {
			tasks.Go(func() error {
				r.lease(ctx, n, l)
				return nil
			})
		}
	}
	_ = tasks.Wait()
	return below
}

func (r *revocation) token(ctx context.Context, n *node) (gone bool) {
	if r.isOthers(n) {
		return false
	}
	err := r.client.RevokeSelf(ctx, n.namespace, n.token)
	if err != nil && !errors.Is(err, vault.ErrTokenGone) {
		r.failed.Add(1)
		r.log.Warn("token not revoked", slog.String("accessor", string(n.accessor)), slog.Any("error", err))
		return false
	}
	r.index.mu.Lock()
	defer r.index.mu.Unlock()
	r.index.removeNode(n)
	return true
}

// isOthers reports whether somebody else has a use for a token.
func (r *revocation) isOthers(n *node) bool {
	return slices.ContainsFunc(n.holds, func(h hold) bool { return !r.own(h.name) })
}

func (r *revocation) lease(ctx context.Context, owner *node, l *Entry) {
	err := r.client.RevokeLease(ctx, l.namespace, owner.token, l.leaseID)
	if err != nil && !errors.Is(err, vault.ErrTokenGone) {
		r.failed.Add(1)
		r.log.Warn("lease not revoked", slog.String("lease", string(l.leaseID)), slog.Any("error", err))
		return
	}
	r.index.mu.Lock()
	defer r.index.mu.Unlock()
	if l.end.Load() != 0 {
		r.index.remove(l)
	}
}
