package lease_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// grow keeps a tree: the auto-auth token with a lease, and a chain of child tokens below it with a lease each.
func grow(t *testing.T, x *lease.Index, sent time.Time) (keys []lease.Key) {
	t.Helper()
	caller := vault.NewToken("auto")
	x.Hold("", caller, "auto-accessor", "ns/", time.Time{})
	keep := func(name, body string) {
		key := lease.Key{byte(len(keys) + 1)}
		keys = append(keys, key)
		_, v := x.Keep(lease.Offer{
			Key: key, Caller: caller, Namespace: "ns/", Path: "ns/" + name, Epoch: x.Epoch(), Sent: sent,
			Answer:    lease.Answer{Status: 200, Body: []byte(body), Received: sent},
			RawHeader: map[string][]string{"Content-Type": {"application/json"}},
		})
		if !v.Kept() {
			t.Fatalf("%s: %s", name, v)
		}
	}
	keep("db/creds/a", `{"lease_id":"db/creds/a/0","renewable":true,"lease_duration":600}`)
	for i := 1; i <= 5; i++ {
		keep("auth/token/create", fmt.Sprintf(`{"auth":{"client_token":"child%d","accessor":"acc%d","renewable":true,"lease_duration":600,"orphan":false}}`, i, i))
		caller = vault.NewToken(fmt.Sprintf("child%d", i))
		keep("db/creds/a", fmt.Sprintf(`{"lease_id":"db/creds/a/%d","renewable":true,"lease_duration":600}`, i))
	}
	return keys
}

func TestRestoreBringsBackTheTree(t *testing.T) {
	m := newMemory()
	now := time.Now()
	keys := grow(t, journaled(m), now)
	for i := range 20 { // whatever order the records come in
		m.shuffle = rand.New(rand.NewPCG(uint64(i), 1)).Shuffle
		y := journaled(m)
		out, err := y.Restore(now)
		if err != nil || out.Entries != len(keys) || out.Tokens != 6 || out.Expired+out.Orphaned+out.Unreadable != 0 || out.Auto[""].Token.Reveal() != "auto" ||
			out.Auto[""].Accessor != "auto-accessor" || !out.Auto[""].Expires.IsZero() {
			t.Fatalf("restored %+v, auto-auth token %v, %v", out, !out.Auto[""].Token.IsZero(), err)
		}
		for i := range keys {
			e := y.Get(&keys[i], now)
			if e == nil {
				t.Fatalf("entry %d is not back", i)
			}
			before, digits, _ := e.Answer().Split()
			if string(digits) != "600" || len(before) == 0 || e.Answer().Header.Fields[0].Values[0] != "application/json" || e.Remaining(now) != 10*time.Minute {
				t.Errorf("entry %d came back as %q, %v", i, e.Answer().Body, e.Remaining(now))
			}
		}
		if entries, bytes, tokens := y.Stats(); entries != 11 || tokens != 6 || bytes == 0 {
			t.Errorf("stats = %d %d %d", entries, bytes, tokens)
		}
		y.Hold("", vault.NewToken("auto"), "auto-accessor", "ns/", time.Time{})
		if y.Get(&keys[0], now) == nil {
			t.Error("holding the restored token again dropped its lease")
		}
	}
	y := journaled(m)
	if _, err := y.Restore(now); err != nil {
		t.Fatal(err)
	}
	y.Hold("", vault.NewToken("another"), "", "ns/", time.Time{})
	if entries, bytes, tokens := y.Stats(); entries != 0 || bytes == 0 || tokens != 1 || len(m.records) != 1 {
		t.Errorf("after another login: %d entries, %d bytes, %d tokens, %d records", entries, bytes, tokens, len(m.records))
	}
}

// What was evicted, by any way, never comes back; nor what a token hung on that is not there.
func TestRestoreLeavesOutWhatHasEnded(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		end  func(x *lease.Index, m *memory)
		at   time.Duration
		want int
	}{
		"nothing": {func(*lease.Index, *memory) {}, 0, 11},
		"a lease": {func(x *lease.Index, _ *memory) {
			x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "db/creds/a/0"})
		}, 0, 10},
		"a token":             {func(x *lease.Index, _ *memory) { x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "child1"}) }, 0, 1},
		"an orphaned child":   {func(x *lease.Index, _ *memory) { x.Evict(lease.Eviction{Scope: lease.ScopeOrphaning, Value: "child1"}) }, 0, 9},
		"the auto-auth token": {func(x *lease.Index, _ *memory) { x.Lose(vault.NewToken("auto")) }, 0, 0},
		"all":                 {func(x *lease.Index, _ *memory) { x.Evict(lease.Eviction{Scope: lease.ScopeAll, Clear: true}) }, 0, 0},
		"by time":             {func(*lease.Index, *memory) {}, 10 * time.Minute, 0},
		"while the disk was full": {func(x *lease.Index, m *memory) {
			m.fails = true
			x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "db/creds/a/0"})
			m.fails = false
			x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "db/creds/a/1"})
		}, 0, 9},
		"a lost token record": {func(_ *lease.Index, m *memory) { delete(m.records, vault.NewToken("child1").ID()) }, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			x := journaled(m)
			keys := grow(t, x, now)
			c.end(x, m)
			y := journaled(m)
			later := now.Add(c.at)
			out, err := y.Restore(later)
			if err != nil || out.Entries != c.want {
				t.Errorf("restored %d entries, %v; want %d", out.Entries, err, c.want)
			}
			alive := 0
			for i := range keys {
				if y.Get(&keys[i], later) != nil {
					alive++
				}
			}
			if alive != c.want {
				t.Errorf("%d entries answer, want %d", alive, c.want)
			}
			if z, err := journaled(m).Restore(later); err != nil || z.Expired+z.Orphaned+z.Unreadable != 0 {
				t.Errorf("what was dropped is still in the journal: %+v, %v", z, err)
			}
		})
	}
}

func TestRenewalIsInTheJournal(t *testing.T) {
	m := newMemory()
	now := time.Now()
	x := journaled(m)
	keys := grow(t, x, now)
	x.Renewed([]byte(`{"lease_id":"db/creds/a/0","renewable":true,"lease_duration":7200}`), now)
	y := journaled(m)
	if _, err := y.Restore(now); err != nil {
		t.Fatal(err)
	}
	if e := y.Get(&keys[0], now); e == nil || e.Remaining(now) != 2*time.Hour {
		t.Error("the renewal is not in the journal")
	}
}

// A restart knows what gave up its key, and the request that replaces a lease.
func TestARestartKnowsWhatIsReplaced(t *testing.T) {
	m := newMemory()
	options := lease.Options{
		Journal: m, Log: slog.New(slog.DiscardHandler), Rules: []lease.Rule{{RefreshAhead: true, ReplaceBefore: 0.1}},
	}
	x := lease.NewIndex(options)
	x.Hold("", app, "acc-app", "", time.Time{})
	for i := range 2 {
		o := offerOf(x, "aws/creds/a", app, leaseAnswer(fmt.Sprintf("aws/creds/a/%d", i), 3600), noon)
		o.Replace, o.Rule, o.Request = true, x.RuleOf("", "/v1/aws/creds/a"), &lease.Request{Method: "GET", Target: "/v1/aws/creds/a?n=1"}
		if _, v := x.Keep(o); !v.Kept() {
			t.Fatal(v)
		}
	}
	for i := range 20 { // in no order
		m.shuffle = rand.New(rand.NewPCG(uint64(i), 1)).Shuffle
		y := lease.NewIndex(options)
		if out, err := y.Restore(noon); err != nil || out.Entries != 2 {
			t.Fatalf("Restore() = %+v, %v", out, err)
		}
		key := keyOf("aws/creds/a hvs.app")
		e := y.Get(&key, noon)
		if e == nil || !strings.Contains(string(e.Answer().Body), "aws/creds/a/1") {
			t.Fatal("the key does not answer with what took it")
		}
		if q, token := e.Request(); q == nil || q.Target != "/v1/aws/creds/a?n=1" || !token.Equal(app) {
			t.Errorf("its request is %+v", q)
		}
		if err := y.Check(); err != nil {
			t.Error(err)
		}
	}
}
