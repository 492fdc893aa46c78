package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// The lease engine by itself, in this process, on one core and a clock that shows nanoseconds.

var engineToken = vault.NewToken("hvs.engine")

func newEngine() *lease.Index {
	x := lease.NewIndex(lease.Options{MaxBytes: -1})
	x.Hold("", engineToken, "accessor", "", time.Time{})
	return x
}

// offer is the i-th lease.
func offer(i int, caller vault.Token, sent time.Time) lease.Offer {
	path := fmt.Sprintf("database/creds/role-%d", i)
	body := fmt.Sprintf(`{"request_id":"b","lease_id":"%s/4hGc9Zp3XoQeWlqzKf0bNnVt","renewable":true,"lease_duration":3600,`+
		`"data":{"username":"v-app-%d","password":"A1a-4hGc9Zp3XoQeWlqzKf0bNnVt"},"auth":null}`, path, i)
	return lease.Offer{
		Key: keyOf(i), Caller: caller, Path: path,
		Answer:    lease.Answer{Status: http.StatusOK, Body: []byte(body), Received: sent},
		RawHeader: http.Header{"Content-Type": {"application/json"}}, Sent: sent,
	}
}

// keyOf spreads keys as hashes do.
func keyOf(i int) (k lease.Key) {
	h := uint64(i)*0x9e3779b97f4a7c15 + 1
	for j := range k {
		h ^= h >> 29
		h *= 0xbf58476d1ce4e5b9
		k[j] = byte(h >> 56)
	}
	return k
}

// curve prints what operations cost with ever more entries.
func (b *bench) curve(ctx context.Context) error {
	const operations = 20_000
	sizes := []int{1_000, 10_000, 100_000, 1_000_000}
	x, filled := newEngine(), 0
	first, plain := map[string]float64{}, map[lease.Key]*lease.Entry{}
	for _, n := range sizes {
		now := time.Now()
		for ; filled < n; filled++ {
			e, v := x.Keep(offer(filled, engineToken, now))
			if !v.Kept() {
				return fmt.Errorf("lease %d: %s", filled, v)
			}
			plain[keyOf(filled)] = e
			if filled%10_000 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		keys := make([]lease.Key, operations)
		offers := make([]lease.Offer, operations)
		for i := range keys {
			keys[i] = keyOf(i * 7919 % n)
			offers[i] = offer(n+i, engineToken, now)
		}
		missed := 0
		bare := fastest(operations, func(i int) {
			if e := plain[keys[i]]; e == nil || e.Remaining(now) <= 0 {
				missed++
			}
		})
		for _, o := range []struct {
			name string
			do   func(i int)
		}{
			{"get", func(i int) {
				if x.Get(&keys[i], now) == nil {
					missed++
				}
			}},
			{"keep", func(i int) { x.Keep(offers[i]) }},
			{"renewal", func(i int) { x.Renewed(offers[i].Answer.Body, now) }},
			{"evict", func(i int) {
				x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: offers[i].Path + "/4hGc9Zp3XoQeWlqzKf0bNnVt"})
			}},
		} {
			each := fastest(operations, o.do)
			if n == sizes[0] {
				first[o.name] = each
			}
			what, grown := fmt.Sprintf("index, %d entries: %s", n, o.name), each/first[o.name]
			text := fmt.Sprintf("%.1f times that with %d entries", grown, sizes[0])
			if o.name == "get" { // what grows is the distance of memory: a map of that size has to go it as well
				b.table.row(what, each/bare, fmt.Sprintf("%.0f ns", each), atMost(2, " maps"), fmt.Sprintf("a bare map %.0f ns; %s", bare, text))
				continue
			}
			b.table.row(what, grown, fmt.Sprintf("%.0f ns", each), atMost(4, " times"), text)
		}
		if entries, _, _ := x.Stats(); entries != n || missed > 0 {
			return fmt.Errorf("the index holds %d entries instead of %d, and missed %d", entries, n, missed)
		}
	}
	return nil
}

// fastest is the median over ten parts of n calls, in nanoseconds a call.
func fastest(n int, do func(i int)) float64 {
	const parts = 10
	var each []float64
	for p := range parts {
		began := time.Now()
		for i := p * n / parts; i < (p+1)*n/parts; i++ {
			do(i)
		}
		each = append(each, float64(time.Since(began).Nanoseconds())/float64(n/parts))
	}
	slices.Sort(each)
	return each[parts/2]
}

// counting renews everything, and counts.
type counting struct {
	renewed, running, most atomic.Int64
	done                   chan struct{}
	want                   int64
}

func (c *counting) RenewLease(context.Context, vault.Namespace, vault.Token, vault.LeaseID) (vault.Grant, error) {
	n := c.running.Add(1)
	for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
	}
	time.Sleep(100 * time.Microsecond) // as a Vault that is near
	c.running.Add(-1)
	if c.renewed.Add(1) == c.want {
		close(c.done)
	}
	return vault.Grant{TTL: time.Hour, Renewable: true}, nil
}

func (c *counting) RenewSelf(ctx context.Context, ns vault.Namespace, t vault.Token) (vault.Grant, error) {
	return c.RenewLease(ctx, ns, t, "")
}

// renewals has all leases due at once.
func (b *bench) renewals(ctx context.Context) error {
	x := newEngine()
	for i := range b.leases {
		x.Keep(offer(i, engineToken, time.Now().Add(-50*time.Minute)))
	}
	vault := &counting{done: make(chan struct{}), want: int64(b.leases)}
	running, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	ended := make(chan error, 1)
	go func() {
		ended <- lease.NewClock(x, vault, slog.New(slog.DiscardHandler), lease.ClockOptions{}).Run(running)
	}()
	select {
	case <-vault.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	took := time.Since(began)
	stop()
	if err := <-ended; err != nil {
		return err
	}
	if n := vault.renewed.Load(); n != int64(b.leases) {
		return fmt.Errorf("%d renewals of %d leases", n, b.leases)
	}
	b.table.row("renewal of all leases at once: at a time", float64(vault.most.Load()), fmt.Sprint(vault.most.Load()), atMost(16, ""),
		fmt.Sprintf("%d leases once each in %.1f s, %.0f/s, by a fake that takes 0.1 ms; renew_rate off", b.leases, took.Seconds(), float64(b.leases)/took.Seconds()))
	return nil
}

// evictions takes tokens with 10,000 leases each out of an index, while somebody reads other leases of it.
func (b *bench) evictions(ctx context.Context) error {
	const leases, tokens, others = 10_000, 9, 1_000
	x, now := newEngine(), time.Now()
	for i := range others {
		x.Keep(offer(i, engineToken, now))
	}
	var names []string
	for t := range tokens {
		name := fmt.Sprintf("hvs.engine-%d", t)
		names = append(names, name)
		login := offer(10_000_000+t, vault.Token{}, now)
		login.Path = "auth/approle/login"
		login.Answer.Body = []byte(fmt.Sprintf(`{"auth":{"client_token":%q,"accessor":"a%d","lease_duration":3600,"renewable":true,"orphan":true}}`, name, t))
		if _, v := x.Keep(login); !v.Kept() {
			return fmt.Errorf("login: %s", v)
		}
		for i := range leases {
			x.Keep(offer(1_000_000+t*leases+i, vault.NewToken(name), now))
		}
	}
	stop, waits := make(chan struct{}), make(chan []time.Duration)
	go func() { waits <- read(x, others, stop) }()
	var took []float64
	for _, name := range names {
		began := time.Now()
		gone, _ := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: name})
		took = append(took, float64(time.Since(began).Microseconds())/1000)
		if gone != leases+1 {
			return fmt.Errorf("%d entries left with a token of %d", gone, leases)
		}
	}
	close(stop)
	hits := <-waits
	if hits == nil || ctx.Err() != nil {
		return fmt.Errorf("a lease of another token was missed: %w", context.Cause(ctx))
	}
	slices.Sort(hits)
	slices.Sort(took)
	b.table.row("eviction of a token with 10,000 leases", took[tokens/2], fmt.Sprintf("%.1f ms (%.1f to %.1f)", took[tokens/2], took[0], took[tokens-1]), atMost(10, " ms"),
		fmt.Sprintf("hits of other leases meanwhile: p99 %v, worst %v of %d", hits[len(hits)*99/100], hits[len(hits)-1], len(hits)))
	return nil
}

// read gets leases until stop, and returns how long each took; nil when one was missed.
func read(x *lease.Index, n int, stop chan struct{}) (took []time.Duration) {
	took = make([]time.Duration, 0, 1<<20)
	now := time.Now()
	for i := 0; len(took) < cap(took); i++ {
		select {
		case <-stop:
			return took
		default:
		}
		key := keyOf(i % n)
		began := time.Now()
		if x.Get(&key, now) == nil {
			return nil
		}
		took = append(took, time.Since(began))
	}
	<-stop
	return took
}
