package lease_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// Two logins side by side: what becomes of the token of one leaves the other's leases alone.
func TestLoginsAreApart(t *testing.T) {
	next := vault.NewToken("hvs.next")
	for name, c := range map[string]struct {
		change func(x *lease.Index)
		gone   bool // of the first login's lease
	}{
		"nothing":            {change: func(*lease.Index) {}},
		"another token":      {change: func(x *lease.Index) { x.Hold("one", next, "", "", time.Time{}) }, gone: true},
		"lost":               {change: func(x *lease.Index) { x.Lose(app) }, gone: true},
		"given up":           {change: func(x *lease.Index) { x.Release("one", app) }, gone: true},
		"given up by others": {change: func(x *lease.Index) { x.Release("two", app) }},
		"revoked":            {change: func(x *lease.Index) { x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.app"}) }, gone: true},
		"set aside":          {change: func(x *lease.Index) { x.Hold("one", next, "", "", noon.Add(time.Hour)) }},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			other := vault.NewToken("hvs.other")
			x.Hold("one", app, "acc-app", "", time.Time{})
			x.Hold("two", other, "acc-other", "", time.Time{})
			first := mustKeep(t, x, "db/creds/a", app, leaseAnswer("db/creds/a/1", 3600), noon)
			second := mustKeep(t, x, "db/creds/a", other, leaseAnswer("db/creds/a/2", 3600), noon)
			c.change(x)
			if gone := x.Get(&first, noon) == nil; gone != c.gone {
				t.Errorf("the first login's lease has left: %t, want %t", gone, c.gone)
			}
			if x.Get(&second, noon) == nil {
				t.Error("the second login's lease has left")
			}
			if err := x.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Two logins may hold the very same token, as with one token file: it goes with the last of them.
func TestATokenOfTwoLogins(t *testing.T) {
	next := vault.NewToken("hvs.next")
	for name, c := range map[string]struct {
		one, two func(x *lease.Index)
	}{
		"replaced": {
			func(x *lease.Index) { x.Hold("one", next, "", "", time.Time{}) },
			func(x *lease.Index) { x.Hold("two", next, "", "", time.Time{}) },
		},
		"given up": {
			func(x *lease.Index) { x.Release("one", app) },
			func(x *lease.Index) { x.Release("two", app) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			x := journaled(m)
			x.Hold("one", app, "acc-app", "", time.Time{})
			x.Hold("two", app, "acc-app", "", time.Time{})
			key := mustKeep(t, x, "db/creds/a", app, leaseAnswer("db/creds/a/1", 3600), noon)
			c.one(x)
			if x.Get(&key, noon) == nil {
				t.Fatal("the lease went, though a login still holds the token")
			}
			if _, out := restarted(t, m, noon); !out.Auto["two"].Token.Equal(app) || out.Auto["one"].Token.Equal(app) || out.Entries != 1 {
				t.Fatalf("after a restart: %+v", out)
			}
			c.two(x)
			if x.Get(&key, noon) != nil {
				t.Error("the lease stayed, though no login holds the token")
			}
		})
	}
	x := lease.NewIndex(lease.Options{})
	x.Hold("one", app, "", "", time.Time{})
	x.Hold("two", app, "", "", time.Time{})
	key := mustKeep(t, x, "db/creds/a", app, leaseAnswer("db/creds/a/1", 3600), noon)
	if _, lost := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.app"}); len(lost) != 1 || !lost[0].Equal(app) || x.Get(&key, noon) != nil {
		t.Errorf("a revocation lost %d tokens; the lease is there: %t", len(lost), x.Get(&key, noon) != nil)
	}
}

// Each login's token comes back under its name, in whatever order the records come.
func TestTheTokensOfSeveralLoginsComeBack(t *testing.T) {
	m := newMemory()
	x := journaled(m)
	want := map[vault.AutoAuthName]string{"": "hvs.app", "one": "hvs.one", "two": "hvs.one"}
	for name, token := range want {
		x.Hold(name, vault.NewToken(token), "acc-"+vault.Accessor(token), "", time.Time{})
	}
	child(t, x, "hvs.app", "hvs.child", 3600)
	child(t, x, "hvs.one", "hvs.below", 3600)
	x.HeldUntil(vault.NewToken("hvs.one"), noon.Add(time.Hour))
	shuffles(m, func() {
		y, out := restarted(t, m, noon)
		wantRestored(t, out, 4, 4, 0, 0, 0)
		if len(out.Auto) != len(want) || !out.Auto["two"].Expires.Equal(noon.Add(time.Hour)) || !out.Auto[""].Expires.IsZero() {
			t.Fatalf("Restore() = %+v", out)
		}
		for name, token := range want {
			if last := out.Auto[name]; last.Token.Reveal() != token || last.Accessor != "acc-"+vault.Accessor(token) {
				t.Fatalf("%q has the token %s, with accessor %q", name, last.Token.Reveal(), last.Accessor)
			}
		}
		y.Release("", app)
		wantStats(t, y, 2, 2)
	})
}

// Records that contradict each other, as only a damaged file has them: of each login the token counts that was held last, and one that is left with another
// login stays.
func TestTwoTokensOfOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newMemory(), newMemory()
		x, y := journaled(first), journaled(second)
		x.Hold("one", vault.NewToken("hvs.old"), "", "", time.Time{})
		x.Hold("two", vault.NewToken("hvs.old"), "", "", time.Time{})
		child(t, x, "hvs.old", "hvs.child", 3600)
		time.Sleep(time.Second)
		y.Hold("two", vault.NewToken("hvs.new"), "", "", time.Time{})
		m := merged(first, second)
		shuffles(m, func() {
			n := m.copied()
			z := journaled(n)
			out, err := z.Restore(noon)
			if err != nil || z.Check() != nil {
				t.Fatal(err, z.Check())
			}
			wantRestored(t, out, 2, 3, 0, 0, 0)
			if out.Auto["one"].Token.Reveal() != "hvs.old" || out.Auto["two"].Token.Reveal() != "hvs.new" {
				t.Fatalf("Restore() = %+v", out)
			}
			old := vault.NewToken("hvs.old").ID()
			if bytes.Equal(n.records[old], m.records[old]) {
				t.Fatal("the record still says that both logins hold the old token")
			}
			if again, err := lease.Recode(n.records[old]); err != nil || !bytes.Equal(again, n.records[old]) {
				t.Fatalf("%x became %x, %v", n.records[old], again, err)
			}
		})
	})
}
