package lease_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// No Get that begins after Evict has returned finds anything of what it took.
func TestAnEvictionIsWhole(t *testing.T) {
	const leases, readers = 2000, 4
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "", "", noon)
	keys := make([]lease.Key, leases)
	for i := range keys {
		path := fmt.Sprintf("aws/creds/%d", i)
		keys[i] = mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), noon)
	}
	var evicted atomic.Bool
	var hits, late atomic.Int64
	var ready, done sync.WaitGroup
	ready.Add(readers)
	for r := range readers {
		done.Go(func() {
			for pass := 0; ; pass++ {
				last := evicted.Load() // of this pass every Get begins after the eviction
				for i := range keys {
					after := evicted.Load()
					if x.Get(&keys[(i*7+r)%leases], noon) == nil {
						continue
					}
					hits.Add(1)
					if after {
						late.Add(1)
					}
				}
				if pass == 0 {
					ready.Done()
				}
				if last {
					return
				}
			}
		})
	}
	ready.Wait()
	if gone, lost := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.app"}); gone != leases || len(lost) != 1 {
		t.Errorf("Evict() = %d, %d tokens; want %d and the auto-auth token", gone, len(lost), leases)
	}
	evicted.Store(true)
	done.Wait()
	if late.Load() != 0 || hits.Load() < leases*readers {
		t.Errorf("%d hits, %d of them after the eviction", hits.Load(), late.Load())
	}
	wantStats(t, x, 0, 0)
}

// Whatever runs side by side, and however the disk fails, in the end the index adds up, and so does the journal.
func TestEverythingAtOnce(t *testing.T) {
	const workers, rounds, names = 4, 1500, 40
	m := newMemory()
	x := journaled(m)
	ctx, cancel := context.WithCancel(t.Context())
	var clock, done sync.WaitGroup
	f := &fakeVault{answer: func(_ context.Context, r renewal) (vault.Grant, error) {
		switch rand.IntN(4) {
		case 0:
			return vault.Grant{}, errRefused
		case 1:
			return vault.Grant{}, errDown
		default:
			return vault.Grant{TTL: time.Hour, Renewable: true}, nil
		}
	}}
	clock.Go(func() { _ = lease.NewClock(x, f, slog.New(slog.DiscardHandler), lease.ClockOptions{}).Run(ctx) })

	token := func(i int) string { return fmt.Sprintf("hvs.%d", i%4) }
	leaseID := func(i int) string { return fmt.Sprintf("aws/creds/%d/x", i) }
	for w := range workers {
		done.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			for range rounds {
				i, now := rnd.IntN(names), time.Now()
				caller := vault.NewToken(token(i))
				m.set(rnd.IntN(4) == 0, rnd.IntN(2) == 0, rnd.IntN(3) == 0)
				switch rnd.IntN(13) {
				case 0:
					x.Hold("", caller, vault.Accessor("acc"+token(i)), "", now.Add(time.Hour))
				case 1:
					o := offerOf(x, "auth/token/create", vault.NewToken(token(i+1)), tokenAnswer(token(i), "acc"+token(i), i%2 == 0, 3600), now)
					x.Keep(o)
				case 2, 3, 4, 5:
					o := offerOf(x, leaseID(i)[:len(leaseID(i))-2], caller, leaseAnswer(leaseID(i), 3600), now)
					if i%3 == 0 {
						o.Sent = now.Add(-50 * time.Minute) // due at once
					}
					x.Keep(o)
				case 6:
					x.Renewed([]byte(leaseAnswer(leaseID(i), 7200)), now)
				case 7:
					x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: leaseID(i)})
				case 8:
					x.Evict(lease.Eviction{Scope: []lease.Scope{lease.ScopeToken, lease.ScopeOrphaning}[i%2], Value: token(i), Clear: i%5 == 0})
				case 9:
					x.Evict(lease.Eviction{Scope: lease.ScopePrefix, Value: fmt.Sprintf("aws/creds/%d", i)})
				case 10:
					x.HeldUntil(caller, now.Add(time.Hour))
					x.JournalState()
				default:
					key := keyOf(leaseID(i)[:len(leaseID(i))-2] + " " + token(i))
					if e := x.Get(&key, now); e != nil {
						e.Remaining(now)
						e.Answer().Split()
					}
				}
			}
		})
	}
	done.Wait()
	cancel()
	clock.Wait()

	m.set(false, false, false)
	x.CatchUp()
	wantJournal(t, x, 0, false)
	entries, _, tokens := x.Stats()
	if _, out := restarted(t, m, time.Now()); out.Entries != entries || out.Tokens != tokens {
		t.Errorf("Restore() = %+v, want %d entries and %d tokens", out, entries, tokens)
	}
	sum := 0
	for i := range names {
		gone, _ := x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: leaseID(i)})
		sum += gone
	}
	for i := range 4 {
		gone, _ := x.Evict(lease.Eviction{Scope: lease.ScopeOrphaning, Value: token(i)})
		sum += gone
	}
	if sum != entries || tokens > 4 {
		t.Errorf("%d entries were counted of %d tokens, %d found one by one", entries, tokens, sum)
	}
	wantStats(t, x, 0, 0)
}
