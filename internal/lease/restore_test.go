package lease_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// merged is a journal with the records of several, as only a damaged file could have them.
func merged(all ...*memory) *memory {
	m := newMemory()
	for _, one := range all {
		maps.Copy(m.records, one.records)
	}
	return m
}

// child keeps a token below another, and a lease of its own.
func child(t testing.TB, x *lease.Index, parent, name string, seconds int) {
	t.Helper()
	mustKeep(t, x, "auth/token/create/"+name, vault.NewToken(parent), tokenAnswer(name, "acc-"+name, false, seconds), noon)
	mustKeep(t, x, "aws/creds/"+name, vault.NewToken(name), leaseAnswer("aws/creds/"+name+"/1", 3600), noon)
}

// shuffles calls test with the records of m in many orders.
func shuffles(m *memory, test func()) {
	for i := range uint64(30) {
		m.shuffle = rand.New(rand.NewPCG(i, 7)).Shuffle
		test()
	}
}

// wantRestored compares counts.
func wantRestored(t testing.TB, got lease.Restored, entries, tokens, expired, orphaned, unreadable int) {
	t.Helper()
	if got.Entries != entries || got.Tokens != tokens || got.Expired != expired || got.Orphaned != orphaned || got.Unreadable != unreadable {
		t.Fatalf("Restore() = %+v; want %d entries, %d tokens, %d expired, %d orphaned, %d unreadable", got, entries, tokens, expired, orphaned, unreadable)
	}
}

func TestAnExpiredTokenTakesItsChildrenAlong(t *testing.T) {
	m := newMemory()
	x := journaled(m)
	x.Hold("", app, "acc-app", "", time.Time{})
	child(t, x, "hvs.app", "hvs.short", 60)
	child(t, x, "hvs.short", "hvs.below", 3600)
	child(t, x, "hvs.app", "hvs.long", 3600)
	shuffles(m, func() {
		y, out := restarted(t, m, noon.Add(time.Minute))
		wantRestored(t, out, 2, 2, 1, 3, 0)
		wantStats(t, y, 2, 2)
	})
}

func TestAnAutoAuthTokenThatHasExpired(t *testing.T) {
	m := newMemory()
	x := journaled(m)
	x.Hold("", app, "acc-app", "", time.Time{})
	child(t, x, "hvs.app", "hvs.child", 3600)
	login := mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "", true, 3600), noon)
	x.HeldUntil(vault.NewToken("hvs.login"), noon.Add(time.Second)) // is not the current one
	for name, c := range map[string]struct {
		until time.Time
		lives bool
	}{
		"an end that is not known": {lives: true},
		"an end to come":           {until: noon.Add(31 * time.Minute), lives: true},
		"an end that has come":     {until: noon.Add(30 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			x.HeldUntil(app, c.until)
			written := m.writes
			x.HeldUntil(app, c.until)
			if m.writes != written {
				t.Error("what is known already is written again")
			}
			shuffles(m, func() {
				y, out := restarted(t, m, noon.Add(30*time.Minute))
				if y.Get(&login, noon) == nil {
					t.Fatal("a login went with the auto-auth token")
				}
				if !c.lives {
					wantRestored(t, out, 1, 1, 1, 2, 0)
					if !out.Auto[""].Token.IsZero() || out.Auto[""].Accessor != "" || !out.Auto[""].Expires.IsZero() {
						t.Fatalf("Restore() = %+v, a token that has ended", out)
					}
					return
				}
				wantRestored(t, out, 3, 3, 0, 0, 0)
				if !out.Auto[""].Token.Equal(app) || out.Auto[""].Accessor != "acc-app" || !out.Auto[""].Expires.Equal(c.until) {
					t.Fatalf("Restore() = %+v, want the token that was held until %v", out, c.until)
				}
			})
		})
	}
}

// The end of the auto-auth token is for the restart alone.
func TestHeldUntilCutsNothingShort(t *testing.T) {
	f := &fakeVault{}
	running(t, f, func(t *testing.T, x *lease.Index) {
		now := time.Now()
		first := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 3600), now)
		x.HeldUntil(app, now.Add(time.Minute))
		second := mustKeep(t, x, "aws/creds/b", app, leaseAnswer("aws/creds/b/1", 3600), now)
		sleep(30 * time.Minute)
		if !has(x, first) || !has(x, second) || len(f.renewals()) != 0 {
			t.Error("the token's end moved that of a lease")
		}
	})
}

// A login that is served and became the auto-auth token is both after a restart, and so is one that another has followed.
func TestALoginThatIsTheAutoAuthToken(t *testing.T) {
	m := newMemory()
	x := journaled(m)
	login := vault.NewToken("hvs.login")
	key := mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc-login", true, 3600), noon)
	x.Hold("", login, "acc-login", "", time.Time{})
	mustKeep(t, x, "aws/creds/a", login, leaseAnswer("aws/creds/a/1", 3600), noon)
	y, out := restarted(t, m, noon)
	wantRestored(t, out, 2, 1, 0, 0, 0)
	if !out.Auto[""].Token.Equal(login) || y.Get(&key, noon) == nil {
		t.Errorf("Restore() = %+v", out)
	}
	x.Hold("", app, "acc-app", "", noon.Add(time.Minute))
	shuffles(m, func() {
		y, out = restarted(t, m, noon)
		wantRestored(t, out, 2, 2, 0, 0, 0)
		if !out.Auto[""].Token.Equal(app) || y.Dump(noon)["aws/creds/a/1"].End != noon.Add(time.Minute).UnixNano() {
			t.Fatalf("Restore() = %+v, and a lease that ends at %v", out, y.Dump(noon)["aws/creds/a/1"].End)
		}
		_, out = restarted(t, m, noon.Add(time.Minute))
		wantRestored(t, out, 0, 1, 1, 1, 0)
	})
}

// Two records say that they are the current auto-auth token: the one held last is, in whatever order they come.
func TestTwoAutoAuthTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var journals []*memory
		for _, name := range []string{"hvs.1", "hvs.2", "hvs.3"} {
			m := newMemory()
			x := journaled(m)
			x.Hold("", vault.NewToken(name), "acc-"+vault.Accessor(name), "", time.Time{})
			child(t, x, name, name+".child", 3600)
			journals = append(journals, m)
			time.Sleep(time.Second)
		}
		m := merged(journals...)
		shuffles(m, func() {
			n := m.copied()
			x := journaled(n)
			out, err := x.Restore(noon)
			if err != nil || x.Check() != nil {
				t.Fatal(err, x.Check())
			}
			wantRestored(t, out, 2, 2, 0, 6, 0)
			if out.Auto[""].Token.Reveal() != "hvs.3" || len(n.records) != 3 {
				t.Fatalf("%d records, and %v", len(n.records), out)
			}
		})
	})
}

// The auto-auth token that was held last hangs on one that claims to be it as well: both go, and nothing hangs on what is not there.
func TestAnAutoAuthTokenBelowAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newMemory(), newMemory()
		x := journaled(first)
		x.Hold("", app, "acc-app", "", time.Time{})
		stale := maps.Clone(first.records)
		child(t, x, "hvs.app", "hvs.child", 3600)
		time.Sleep(time.Second)
		x.Hold("", vault.NewToken("hvs.child"), "acc-child", "", time.Now().Add(1e6*time.Hour))
		maps.Copy(second.records, first.records)
		maps.Copy(second.records, stale)
		shuffles(second, func() {
			x, out := restarted(t, second, noon)
			wantRestored(t, out, 0, 0, 0, 3, 0)
			wantStats(t, x, 0, 0)
		})
	})
}

// Damage that a key does not show: the same lease, or token, under two names.
func TestARecordThatIsThereTwice(t *testing.T) {
	m := newMemory()
	x := journaled(m)
	x.Hold("", app, "acc-app", "", time.Time{})
	child(t, x, "hvs.app", "hvs.child", 3600)
	for id, r := range maps.Clone(m.records) {
		id[0] ^= 0xff
		m.records[id] = r
	}
	shuffles(m, func() {
		n := m.copied()
		x := journaled(n)
		out, err := x.Restore(noon)
		if err != nil {
			t.Fatal(err)
		}
		wantRestored(t, out, 2, 2, 0, 0, 3)
		if len(n.records) != 3 {
			t.Fatalf("%d records are left", len(n.records))
		}
	})
}

// Tokens that hang on each other hang on nothing.
func TestACircleOfTokens(t *testing.T) {
	one, other := newMemory(), newMemory()
	x, y := journaled(one), journaled(other)
	x.Hold("", vault.NewToken("hvs.a"), "", "", time.Time{})
	y.Hold("", vault.NewToken("hvs.b"), "", "", time.Time{})
	child(t, x, "hvs.a", "hvs.b", 3600)
	child(t, y, "hvs.b", "hvs.a", 3600)
	delete(one.records, vault.NewToken("hvs.a").ID())
	delete(other.records, vault.NewToken("hvs.b").ID())
	m := merged(one, other)
	shuffles(m, func() {
		n := m.copied()
		z := journaled(n)
		out, err := z.Restore(noon)
		if err != nil {
			t.Fatal(err)
		}
		wantRestored(t, out, 0, 0, 0, 4, 0)
		wantStats(t, z, 0, 0)
		if len(n.records) != 0 {
			t.Fatalf("%d records are left", len(n.records))
		}
	})
}

func TestAChainOfManyTokens(t *testing.T) {
	const length = 5000
	m := newMemory()
	x := lease.NewIndex(lease.Options{Journal: m, Log: slog.New(slog.DiscardHandler), MaxBytes: -1})
	x.Hold("", app, "acc-app", "", time.Time{})
	parent := app
	for i := range length {
		name := fmt.Sprint("hvs.", i)
		mustKeep(t, x, "auth/token/create", parent, tokenAnswer(name, "", false, 3600), noon)
		parent = vault.NewToken(name)
	}
	_, out := restarted(t, m, noon)
	wantRestored(t, out, length, length+1, 0, 0, 0)
	delete(m.records, app.ID())
	n := m.copied()
	out, err := journaled(n).Restore(noon)
	if err != nil || len(n.records) != 0 {
		t.Errorf("%d records are left, %v", len(n.records), err)
	}
	wantRestored(t, out, 0, 0, 0, length, 0)
}

func TestUnreadableRecordsAreCounted(t *testing.T) {
	m := newMemory()
	grow(t, journaled(m), noon)
	m.unreadable, m.records[[32]byte{1}] = 3, []byte("{}")
	out, err := journaled(m).Restore(noon)
	if err != nil {
		t.Fatal(err)
	}
	wantRestored(t, out, 11, 6, 0, 0, 4)
}

// broken ends its pass with an error.
type broken struct{ memory }

func (b *broken) Each(f func([]byte) (bool, error)) (int, error) {
	_, _ = b.memory.Each(f)
	return 0, errors.New("page 3 is used twice")
}

func TestAFileThatCannotBeReadLeavesTheIndexEmpty(t *testing.T) {
	b := &broken{memory{records: map[[32]byte][]byte{}}}
	grow(t, journaled(&b.memory), noon)
	records := len(b.records)
	b.records[[32]byte{}] = nil
	x := lease.NewIndex(lease.Options{Journal: b, Log: slog.New(slog.DiscardHandler)})
	if out, err := x.Restore(noon); err == nil || out.Entries != 0 || !out.Auto[""].Token.IsZero() {
		t.Errorf("Restore() = %+v, %v", out, err)
	}
	wantStats(t, x, 0, 0)
	if err := x.Check(); err != nil {
		t.Error(err)
	}
	x.CatchUp()
	if pending, _, _ := x.JournalState(); pending != 0 || len(b.records) != records {
		t.Errorf("%d changes are noted, %d of %d records are there", pending, len(b.records), records)
	}
}

func TestWithoutAJournalNothingIsRestored(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	out, err := x.Restore(noon)
	if pending, failing, _ := x.JournalState(); err != nil || pending != 0 || failing {
		t.Errorf("%d pending, %t, %v", pending, failing, err)
	}
	wantRestored(t, out, 0, 0, 0, 0, 0)
}

// What was planned before a restart is done after it at the same time, and nothing before.
func TestARestartRenewsNothingThatIsNotDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, now := newMemory(), time.Now()
		x := journaled(m)
		x.Hold("", app, "acc-app", "", time.Time{})
		for i := range 200 {
			path := fmt.Sprint("aws/creds/", i)
			mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), now)
			if i%2 == 0 { // a client asked for less than the first time
				x.Renewed([]byte(leaseAnswer(path+"/x", 1200)), now)
			}
		}
		y, f := journaled(m), &fakeVault{}
		out, err := y.Restore(now)
		if err != nil {
			t.Fatal(err)
		}
		before := x.Dump(now)
		for id, d := range y.Dump(now) {
			if d.Planned != before[id].Planned || d.End != before[id].End {
				t.Errorf("%s is renewed at %d and ends at %d, want %d and %d", id, d.Planned, d.End, before[id].Planned, before[id].End)
			}
		}
		started(t, y, f, lease.ClockOptions{})
		time.Sleep(out.NextDue.Sub(now) - 1)
		synctest.Wait()
		if len(f.renewals()) != 0 {
			t.Error("renewed before anything was due")
		}
		sleep(1)
		if len(f.renewals()) != 1 {
			t.Errorf("%d renewals when the first was due", len(f.renewals()))
		}
		if wait := out.NextDue.Sub(now); wait < 12*time.Minute || wait > 14*time.Minute {
			t.Errorf("the first is due after %v", wait)
		}
	})
}
