package cache

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// forwarder sends a request to Vault and streams the answer. inspect sees the answer before its header is written and may change
// it; its error becomes Forward's. An error means that nothing was written. r's body is replayable when r.GetBody is set.
type forwarder interface {
	Forward(w http.ResponseWriter, r *http.Request, id vault.Identity, inspect func(*http.Response) error) error
}

// tokens holds the auto-auth tokens, one for each login.
type tokens interface {
	Holder(t vault.Token) (name vault.AutoAuthName, ok bool)                 // a login whose current token t is
	Await(ctx context.Context, name vault.AutoAuthName) (vault.Token, error) // waits for a login's
	// Lasting waits for one that lives long enough for something to be created under it.
	Lasting(ctx context.Context, name vault.AutoAuthName) (vault.Token, error)
	Invalidate(vault.Token) // Vault does not know it any more, whosever it is
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

	Tracer trace.Tracer // makes spans of waits and refreshes; nil makes none
}

// Cache answers requests. It is safe for concurrent use. Close releases what NewCache started.
type Cache struct {
	index   *lease.Index
	vault   forwarder
	tokens  tokens // nil without auto-auth
	meter   meter
	opt     Options
	keys    *keyer
	flights flights
	limit   *rate.Limiter // of what Cache-Control asks for

	replayTTL    atomic.Bool  // Options.ReplayTTL
	maxEntrySize atomic.Int64 // Options.MaxEntrySize

	masks masks

	// alone remembers keys whose answers are not kept, so that nobody waits for one. It may forget or refuse: that costs one request a wait.
	alone *ristretto.Cache[uint64, lease.Key]
}

// New returns a cache in front of v that keeps its entries in index.
func New(index *lease.Index, v forwarder, auto tokens, m meter, opt Options) (*Cache, error) {
	alone, err := ristretto.NewCache(&ristretto.Config[uint64, lease.Key]{
		NumCounters: 1 << 16, MaxCost: 1 << 13, BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, fmt.Errorf("create the memory of keys not worth waiting on: %w", err)
	}
	c := &Cache{index: index, vault: v, tokens: auto, meter: m, opt: opt, keys: newKeyer(opt.KeySecret), alone: alone, limit: rate.NewLimiter(controlRate, controlBurst)}
	c.Tune(opt)
	c.flights.byKey, c.masks.last = map[lease.Key]*flight{}, map[vault.AutoAuthName]*mask{}
	return c, nil
}

// Tune puts ReplayTTL and MaxEntrySize of opt to use, and nothing else of it. What is held stays, whatever its size.
func (c *Cache) Tune(opt Options) {
	c.replayTTL.Store(opt.ReplayTTL)
	c.maxEntrySize.Store(cmp.Or(opt.MaxEntrySize, DefaultMaxEntrySize))
}

// Close ends the goroutines of the cache. No request may be under way.
func (c *Cache) Close() { c.alone.Close() }
