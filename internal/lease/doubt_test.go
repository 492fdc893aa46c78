package lease_test

import (
	"maps"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// after is an index that was restored from what a kill of this moment would leave.
func after(t *testing.T, m *memory, now time.Time) (*lease.Index, lease.Restored) {
	t.Helper()
	left := newMemory()
	left.records = maps.Clone(m.records)
	y := journaled(left)
	out, err := y.Restore(now)
	if err != nil {
		t.Fatal(err)
	}
	if err := y.Check(); err != nil {
		t.Error(err)
	}
	if again, err := journaled(left).Restore(now); err != nil || again.Entries != out.Entries || again.Revoked != 0 {
		t.Errorf("the restart after that brings back %+v instead of %+v, %v", again, out, err)
	}
	return y, out
}

// Between Vault's carrying out a revocation and our hearing of it there is a moment in which this process may be killed.
func TestARestartTakesARevocationUnderWayToHaveHappened(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		e    lease.Eviction
		left int // of the 11 entries that grow makes
		auto bool
	}{
		"a lease":             {lease.Eviction{Scope: lease.ScopeLease, Value: "db/creds/a/0"}, 10, true},
		"a token":             {lease.Eviction{Scope: lease.ScopeToken, Value: "child1"}, 1, true},
		"a token by accessor": {lease.Eviction{Scope: lease.ScopeAccessor, Value: "acc5"}, 9, true},
		"an orphaned child":   {lease.Eviction{Scope: lease.ScopeOrphaning, Value: "child1"}, 9, true},
		"the auto-auth token": {lease.Eviction{Scope: lease.ScopeToken, Value: "auto"}, 0, false},
		"a prefix":            {lease.Eviction{Scope: lease.ScopePrefix, Namespace: "ns/", Value: "db/creds"}, 5, true},
		"a namespace":         {lease.Eviction{Scope: lease.ScopeNamespace, Namespace: "ns/"}, 0, false},
		"all, and cleared":    {lease.Eviction{Scope: lease.ScopeAll, Clear: true}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			x := journaled(m)
			keys := grow(t, x, now)
			before := len(m.records)
			settle := x.Announce(c.e)
			for i := range keys {
				if x.Get(&keys[i], now) == nil {
					t.Errorf("entry %d is gone before Vault has answered", i)
				}
			}
			_, out := after(t, m, now)
			if out.Entries != c.left || out.Revoked != 11-c.left || out.Auto[""].Token.IsZero() == c.auto {
				t.Errorf("after a kill on the way: %+v, want %d entries", out, c.left)
			}
			renewed := x.Get(&keys[0], now)
			x.Renewed([]byte(`{"lease_id":"db/creds/a/0","renewable":true,"lease_duration":900}`), now) // writes the record anew
			if _, out := after(t, m, now); renewed == nil || out.Entries != c.left {
				t.Errorf("after a renewal and a kill: %+v", out)
			}

			settle(false)
			x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "none"}) // writes what waits
			if _, out := after(t, m, now); out.Entries != 11 || out.Revoked != 0 || len(m.records) != before {
				t.Errorf("after Vault's refusal: %+v, %d records, %d before", out, len(m.records), before)
			}

			gone, lost := x.Announce(c.e)(true)
			if gone != 11-c.left || (len(lost) == 1) == c.auto {
				t.Errorf("%d entries have left, auto-auth token among them: %v", gone, len(lost) == 1)
			}
			if _, out := after(t, m, now); out.Entries != c.left || out.Revoked != 0 {
				t.Errorf("after Vault's answer: %+v", out)
			}
		})
	}
}

// What came under a prefix while it was being revoked may have been revoked as well.
func TestWhatIsKeptDuringARevocationIsInDoubtAsWell(t *testing.T) {
	m, now := newMemory(), noon
	x := journaled(m)
	x.Hold("", app, "acc-app", "", time.Time{})
	if _, v := x.Keep(offerOf(x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 3600), now)); !v.Kept() {
		t.Fatal(v)
	}
	settle := x.Announce(lease.Eviction{Scope: lease.ScopePrefix, Value: "aws/creds"})
	for _, path := range []string{"aws/creds/b", "db/creds/b"} {
		if _, v := x.Keep(offerOf(x, path, app, leaseAnswer(path+"/1", 3600), now)); !v.Kept() {
			t.Fatal(v)
		}
	}
	if _, out := after(t, m, now); out.Entries != 1 || out.Revoked != 2 {
		t.Errorf("after a kill on the way: %+v", out)
	}
	settle(true)
	if _, out := after(t, m, now); out.Entries != 1 || out.Revoked != 0 {
		t.Errorf("after the answer: %+v", out)
	}
}

// A request that can take nothing costs the disk nothing.
func TestWhatIsNotHeldIsNotAnnounced(t *testing.T) {
	m, now := newMemory(), time.Now()
	x := journaled(m)
	grow(t, x, now)
	writes := m.writes
	for _, e := range []lease.Eviction{
		{Scope: lease.ScopeLease, Value: "db/creds/a/none"}, {Scope: lease.ScopeToken, Value: "none"}, {Scope: lease.ScopeAccessor, Value: "none"},
		{Scope: lease.ScopeOrphaning, Value: "none"}, {Scope: lease.ScopePrefix, Namespace: "kv/", InPath: true, Value: "db"},
	} {
		if gone, lost := x.Announce(e)(true); gone != 0 || lost != nil {
			t.Errorf("%+v took %d", e, gone)
		}
	}
	if m.writes != writes {
		t.Errorf("%d writes", m.writes-writes)
	}
	if gone, _ := lease.NewIndex(lease.Options{}).Announce(lease.Eviction{Scope: lease.ScopeAll})(true); gone != 0 {
		t.Error("an index without a journal has lost something")
	}
}

// A disk that refuses the announcement must not bring back what is then revoked.
func TestAnAnnouncementThatCannotBeWrittenDiscardsTheJournal(t *testing.T) {
	m, now := newMemory(), time.Now()
	x := journaled(m)
	keys := grow(t, x, now)
	m.fails = true
	settle := x.Announce(lease.Eviction{Scope: lease.ScopeLease, Value: "db/creds/a/0"})
	if _, out := after(t, m, now); out.Entries != 0 {
		t.Errorf("after a kill on the way: %+v", out)
	}
	m.fails = false
	settle(true)
	x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "none"})
	if _, out := after(t, m, now); out.Entries != 10 {
		t.Errorf("with the disk again: %+v", out)
	}
	if x.Get(&keys[0], now) != nil {
		t.Error("it is still there")
	}
}

func TestARevocationUnderWayIsShownAsOne(t *testing.T) {
	m := newMemory()
	x := journaled(m)
	grow(t, x, time.Now())
	x.Announce(lease.Eviction{Scope: lease.ScopeToken, Value: "child1"})
	n := 0
	for _, r := range m.records {
		if info, err := lease.InspectRecord(r); err != nil {
			t.Error(err)
		} else if info == (lease.RecordInfo{Kind: "revocation"}) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d revocations among the records", n)
	}
}

// Whatever a record of a revocation holds, reading it back gives the same.
func FuzzRevocation(f *testing.F) {
	f.Add([]byte{2, 1 << 7}, byte(1), "ns/", "hvs.token", true, false)
	f.Add([]byte{}, byte(11), "", "", false, true)
	f.Fuzz(func(t *testing.T, bytes []byte, scope byte, ns, value string, inPath, clear bool) {
		lease.ParseRevocation(bytes)
		e := lease.Eviction{Scope: lease.Scope(scope), Namespace: vault.Namespace(ns), Value: value, InPath: inPath, Clear: clear}
		got, ok := lease.ParseRevocation(lease.RevocationRecord(e))
		if valid := e.Scope <= lease.ScopeAll; ok != valid || valid && got != e {
			t.Errorf("%+v came back as %+v, %v", e, got, ok)
		}
	})
}
