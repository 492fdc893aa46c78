package lease_test

import (
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// Whatever is done in whatever order, and however time passes, the index is whole after each step: no entry without its token, no child without its
// parent, every map agrees, and every byte is counted. Beside it is a journal on a disk that may fail in every way, and a crash after each step brings
// nothing back that was removed; everything that is held, when the disk has not failed or is well again.
func TestTheIndexIsAlwaysWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon
		j := &journalModel{memory: newMemory()}
		options := lease.Options{MaxBytes: 20_000, Journal: j.memory, Log: slog.New(slog.DiscardHandler), Rules: []lease.Rule{{
			NonRenewable: true, RefreshAhead: true, ReplaceBefore: lease.DefaultReplaceBefore,
		}}}
		x := lease.NewIndex(options)
		var pending []*lease.Entry // renewals under way
		offer := func(path, body string) {
			o := offerOf(x, path, vault.NewToken(drawToken(t, "caller")), body, now)
			o.Key, o.Replace = drawKey(t), rapid.Bool().Draw(t, "replace")
			o.Request = &lease.Request{Method: "GET", Target: "/v1/" + path}
			x.Keep(o)
		}
		t.Repeat(map[string]func(*rapid.T){
			"keep a lease": func(t *rapid.T) {
				id, ns, path := drawLease(t)
				body := leaseAnswer(id, rapid.IntRange(1, 3600).Draw(t, "ttl"))
				offer(string(ns)+path, body)
			},
			"keep a token": func(t *rapid.T) {
				id := drawToken(t, "new token")
				offer("auth/approle/login", tokenAnswer(id, accessorOf(id), rapid.Bool().Draw(t, "orphan"), rapid.IntRange(1, 3600).Draw(t, "ttl")))
			},
			"hold": func(t *rapid.T) {
				id, ends := drawToken(t, "token"), time.Time{}
				if rapid.Bool().Draw(t, "the previous lives on") {
					ends = now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds")) * time.Second)
				}
				x.Hold(rapid.SampledFrom(poolNames).Draw(t, "name"), vault.NewToken(id), vault.Accessor(accessorOf(id)), "", ends)
			},
			"held until": func(t *rapid.T) {
				x.HeldUntil(vault.NewToken(drawToken(t, "token")), now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds"))*time.Second))
			},
			"release": func(t *rapid.T) {
				x.Release(rapid.SampledFrom(poolNames).Draw(t, "name"), vault.NewToken(drawToken(t, "token")))
			},
			"lose":  func(t *rapid.T) { x.Lose(vault.NewToken(drawToken(t, "token"))) },
			"evict": func(t *rapid.T) { x.Evict(drawEviction(t)) },
			"hit": func(t *rapid.T) {
				key := drawKey(t)
				if e := x.Get(&key, now); e != nil {
					e.Touch()
				}
			},
			"a client renews": func(t *rapid.T) {
				id, _, _ := drawLease(t)
				token := drawToken(t, "token")
				body := leaseAnswer(id, rapid.IntRange(1, 7200).Draw(t, "ttl"))
				if rapid.Bool().Draw(t, "a token") {
					body = tokenAnswer(token, accessorOf(token), false, rapid.IntRange(1, 7200).Draw(t, "ttl"))
				}
				x.Renewed([]byte(body), now)
			},
			"time passes": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 1200).Draw(t, "seconds")) * time.Second)
				for range rapid.IntRange(0, 8).Draw(t, "tasks") {
					if e, refresh := x.Next(now); e != nil && !refresh {
						pending = append(pending, e)
					}
				}
				x.CatchUp()
			},
			"a renewal ends": func(t *rapid.T) {
				if len(pending) == 0 {
					t.Skip()
				}
				e := pending[0]
				pending = pending[1:]
				x.Done(e, rapid.SampledFrom([]string{"granted", "cut", "refused", "failed"}).Draw(t, "how"), now)
			},
			"the clock is set back": func(t *rapid.T) {
				x.Shift(-time.Duration(rapid.IntRange(0, 600).Draw(t, "seconds")) * time.Second)
				x.CatchUp()
			},
			"the disk fails": func(t *rapid.T) {
				j.set(true, rapid.Bool().Draw(t, "though it has written"), rapid.IntRange(0, 2).Draw(t, "discards") == 0)
			},
			"the disk is well again": func(t *rapid.T) {
				j.set(false, false, false)
				x.CatchUp()
			},
			"": func(t *rapid.T) {
				if err := x.Check(); err != nil {
					t.Fatal(err)
				}
				if entries, bytes, _ := x.Stats(); bytes > 20_000+4000 { // the auto-auth tokens are held in any case
					t.Fatalf("%d entries of %d bytes", entries, bytes)
				}
				j.compare(t, x, options, now)
			},
		})
	})
}

// journalModel is a journal, and what can be said of it.
type journalModel struct {
	*memory
	failures int // up to when it last had everything
}

// compare restarts from what a crash would leave.
func (j *journalModel) compare(t *rapid.T, x *lease.Index, o lease.Options, now time.Time) {
	pending, failing, _ := x.JournalState()
	if pending == 0 && !failing && !j.fails {
		j.failures = j.memory.failures
	}
	crashed := j.copied()
	o.Journal = crashed
	y := lease.NewIndex(o)
	out, err := y.Restore(now)
	if err != nil {
		t.Fatal(err)
	}
	if err := y.Check(); err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	back, held := y.Dump(now), x.Dump(now)
	whole := j.failures == j.memory.failures // nothing was refused since
	for id, d := range back {
		was, is := held[id]
		switch {
		case j.mayHaveMore:
		case !is, d.Entry && !was.Entry:
			t.Fatalf("%s was removed, and comes back", id)
		case whole && d.End < was.End: // it may be later: what was cut short with a token that is gone or held again
			t.Fatalf("%s comes back with an end of %d, not %d", id, d.End, was.End)
		}
	}
	for id, d := range held {
		if !whole || !d.Alive {
			continue
		}
		got := back[id]
		got.End = d.End // as above
		if !sameThing(got, d) {
			t.Fatalf("%s comes back as %+v, not %+v", id, got, d)
		}
		for _, name := range d.Auto {
			if !out.Auto[name].Token.Equal(vault.NewToken(id)) {
				t.Fatalf("%s is not the auto-auth token of %q after a restart", id, name)
			}
		}
	}
	again := lease.NewIndex(o)
	if out, err := again.Restore(now); err != nil || out.Expired+out.Orphaned+out.Unreadable != 0 || !maps.EqualFunc(again.Dump(now), back, sameThing) {
		t.Fatalf("a second restart finds %+v, %v", out, err)
	}
}

// sameThing leaves out what is planned: that has jitter.
func sameThing(a, b lease.Thing) bool {
	a.Planned = b.Planned
	return reflect.DeepEqual(normal(a), normal(b))
}

func drawEviction(t *rapid.T) lease.Eviction {
	e := lease.Eviction{
		Scope: rapid.SampledFrom(poolScopes).Draw(t, "scope"), Clear: rapid.Bool().Draw(t, "clear"), Value: drawToken(t, "value"),
	}
	switch e.Scope {
	case lease.ScopeAccessor:
		e.Value = accessorOf(e.Value)
	case lease.ScopeLease:
		e.Value, _, _ = drawLease(t)
	case lease.ScopePrefix, lease.ScopeMount, lease.ScopePath:
		e.Value = rapid.SampledFrom([]string{"aws", "aws/creds", "aws/creds/", "db", "auth/approle"}).Draw(t, "prefix")
	}
	return e
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"", "aws/creds/a", true},
		{"*", "aws/creds/a", true},
		{"aws/creds/a", "aws/creds/a", true},
		{"aws/creds/a", "aws/creds/a/", true},
		{"aws/creds/a", "aws/creds/ab", false},
		{"aws/creds/a", "aws/creds", false},
		{"aws/creds/*", "aws/creds/a/b", true},
		{"aws/creds/*", "aws/creds/", true},
		{"aws/creds/*", "aws/creds", false},
		{"aws/cr*", "aws/creds/a", true},
		{"+/creds/a", "aws/creds/a", true},
		{"+/creds/a", "aws/x/creds/a", false},
		{"+/creds/a", "/creds/a", false},
		{"aws/+/a", "aws/creds/a", true},
		{"aws/+/a", "aws/creds/b", false},
		{"aws/+/+", "aws/creds/b", true},
		{"aws/+/+", "aws/creds/b/c", false},
		{"aws/+", "aws/", false},
		{"aws/+/*", "aws/creds/b/c", true},
		{"ns1/+/creds/*", "ns1/aws/creds/b", true},
	} {
		x := lease.NewIndex(lease.Options{Rules: []lease.Rule{{Path: c.pattern, Pass: true}}})
		if got := x.RuleOf("", "/v1/"+c.path).Pass; got != c.want {
			t.Errorf("rule %q for %q: %t, want %t", c.pattern, c.path, got, c.want)
		}
	}
	x := lease.NewIndex(lease.Options{Rules: []lease.Rule{{Path: "ns1/aws/*", Pass: true}, {Path: "ns1/*", RefreshAhead: true}, {Path: "+/aws/*", NonRenewable: true}}})
	for path, want := range map[string]string{"/v1/aws/creds": "first", "/v1/db/creds": "second"} {
		r := x.RuleOf("ns1/", path)
		if got := fmt.Sprint(r.Pass, r.RefreshAhead); got != map[string]string{"first": "true false", "second": "false true"}[want] {
			t.Errorf("%s in ns1/: %s, want the %s rule", path, got, want)
		}
	}
	if r := x.RuleOf("", "/v1/other"); r.Pass || r.RefreshAhead || r.NonRenewable || r.ReplaceBefore != lease.DefaultReplaceBefore {
		t.Errorf("without a match: %+v, want the defaults", r)
	}
}
