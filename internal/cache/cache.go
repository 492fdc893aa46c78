package cache

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// forwarder sends a request to Vault and streams the answer. inspect sees the answer before its header is written and may change
// it; its error becomes Forward's. An error means that nothing was written. r's body is replayable when r.GetBody is set.
type forwarder interface {
	Forward(w http.ResponseWriter, r *http.Request, id vault.Identity, inspect func(*http.Response) error) error
}

// loser is told when Vault was seen to revoke the auto-auth token.
type loser interface {
	Token() vault.Token
	Invalidate(vault.Token)
}

// meter counts outcomes. Its methods are on the path of every request.
type meter interface {
	Hit()
	Miss()
	Answered(status int) // an answer of Vault, or of the cache
}

// DefaultMaxEntrySize is the largest answer, and the largest request body, that takes part in caching: 1 MiB.
const DefaultMaxEntrySize = 1 << 20

// aloneFor is how long a key is remembered whose answer was not kept; aloneForError, one that Vault refused.
const (
	aloneFor      = 10 * time.Second
	aloneForError = 3 * time.Second
)

// Options tune a Cache. The zero value is production, with a cache.
type Options struct {
	Off          bool  // nothing is kept or answered from memory: no cache stanza
	ReplayTTL    bool  // hits repeat the stored lease_duration instead of what remains
	MaxEntrySize int64 // bytes; 0 means DefaultMaxEntrySize

	// KeySecret goes into every key. It must be the same after a restart if the index is restored; nil means a random one.
	KeySecret *[32]byte
}

// Cache answers requests. It is safe for concurrent use. Close releases what NewCache started.
type Cache struct {
	index   *lease.Index
	vault   forwarder
	tokens  loser // nil without auto-auth
	meter   meter
	opt     Options
	keys    *keyer
	flights flights

	lastMask atomic.Pointer[mask] // of the auto-auth token that was lent last

	// alone remembers keys whose answers are not kept, so that nobody waits for one. It may forget or refuse: that costs one request a wait.
	alone *ristretto.Cache[uint64, lease.Key]
}

// New returns a cache in front of v that keeps its entries in index.
func New(index *lease.Index, v forwarder, tokens loser, m meter, opt Options) (*Cache, error) {
	if opt.MaxEntrySize == 0 {
		opt.MaxEntrySize = DefaultMaxEntrySize
	}
	alone, err := ristretto.NewCache(&ristretto.Config[uint64, lease.Key]{
		NumCounters: 1 << 16, MaxCost: 1 << 13, BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, fmt.Errorf("create the memory of keys not worth waiting on: %w", err)
	}
	c := &Cache{index: index, vault: v, tokens: tokens, meter: m, opt: opt, keys: newKeyer(opt.KeySecret), alone: alone}
	c.flights.byKey = map[lease.Key]*flight{}
	return c, nil
}

// Close ends the goroutines of the cache. No request may be under way.
func (c *Cache) Close() { c.alone.Close() }

// Answer writes the answer to r, which is sent with the token of id. An error means that nothing was written.
func (c *Cache) Answer(w http.ResponseWriter, r *http.Request, id vault.Identity) error {
	namespace := r.Header.Get("X-Vault-Namespace")
	op := lease.Describe(r.Method, r.URL.Path, namespace)
	concealed := id.Injected && questionOf(r.URL.Path, namespace) != unrelated
	if concealed && r.Header["X-Vault-Wrap-Ttl"] != nil {
		return ErrConcealed
	}
	switch op.Kind {
	case lease.Creation:
		if !c.opt.Off && !excluded(r) && !concealed {
			return c.create(w, r, id, op)
		}
	case lease.Renewal:
		return c.renew(w, r, id)
	case lease.Revocation:
		return c.revoke(w, r, id, op)
	}
	return c.send(w, r, id, c.pass)
}

// excluded are requests whose answers are never kept whatever they are: wrapped ones are for one reader, a second factor is
// for one use, an upgrade is no answer at all.
func excluded(r *http.Request) bool {
	h := r.Header
	return h["X-Vault-Wrap-Ttl"] != nil || h["X-Vault-Mfa"] != nil || h["Upgrade"] != nil
}

// pass marks an answer that is not kept.
func (c *Cache) pass(resp *http.Response) error {
	if resp.StatusCode < http.StatusMultipleChoices && resp.StatusCode >= http.StatusOK {
		resp.Header["X-Cache"] = missValue
	}
	if !c.opt.Off {
		c.meter.Miss()
	}
	c.meter.Answered(resp.StatusCode)
	return nil
}

// create answers a request whose answer may be kept: from memory, from the flight of the same request, or from Vault.
func (c *Cache) create(w http.ResponseWriter, r *http.Request, id vault.Identity, op lease.Operation) error {
	body, whole, err := takeBody(r, c.opt.MaxEntrySize)
	if err != nil {
		return err
	}
	if !whole {
		return c.send(w, r, id, c.pass)
	}
	key := c.keys.key(r.Method, op.Namespace, target(r), r.URL.RawQuery, body, id, r.Header)
	if c.hit(w, &key) {
		return nil
	}
	x := exchange{Cache: c, mask: c.maskOf(id), offer: lease.Offer{
		Key: key, Caller: id.Token, Namespace: op.Namespace, Path: lease.FullPath(op.Namespace, r.URL.Path),
	}}
	if c.isAlone(key) {
		return x.forward(w, r, id)
	}
	fl, flightCtx, leads := c.flights.join(r.Context(), key)
	if leads {
		// The flight before this one may have ended between the look above and the join: its entry is there by now.
		if e := c.index.Get(&key, time.Now()); e != nil {
			fl.finish(e)
			fl.cancel()
			if c.hit(w, &key) {
				return nil
			}
			return x.forward(w, r, id)
		}
		return x.lead(w, r.WithContext(flightCtx), id, fl, r.Context())
	}
	select {
	case <-fl.done:
	case <-r.Context().Done():
		fl.leave(false)
		return fmt.Errorf("wait for the same request: %w", context.Cause(r.Context()))
	}
	if c.hit(w, &key) {
		return nil
	}
	return x.forward(w, r, id)
}

// hit writes the living entry of a key, if there is one.
func (c *Cache) hit(w http.ResponseWriter, key *lease.Key) bool {
	now := time.Now()
	e := c.index.Get(key, now)
	if e == nil {
		return false
	}
	c.meter.Hit()
	c.meter.Answered(e.Answer().Status)
	writeHit(w, e, now, c.opt.ReplayTTL)
	return true
}

func (c *Cache) isAlone(key lease.Key) bool {
	full, ok := c.alone.Get(short(key))
	return ok && full == key
}
