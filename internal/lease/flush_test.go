package lease_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// watched is an index with a journal and a log that can be read.
func watched(m *memory) (*lease.Index, *bytes.Buffer) {
	var log bytes.Buffer
	return lease.NewIndex(lease.Options{Journal: m, MaxBytes: -1, Log: slog.New(slog.NewTextHandler(&log, nil))}), &log
}

func revoke(x *lease.Index, id string) { x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: id}) }

// wantJournal compares what an index says of its journal.
func wantJournal(t testing.TB, x *lease.Index, pending int, failing bool) {
	t.Helper()
	got, fails, since := x.JournalState()
	if got != pending || fails != failing || since.IsZero() == failing {
		t.Errorf("JournalState() = %d, %t since %v; want %d, %t", got, fails, since, pending, failing)
	}
	if _, err := x.JournalTrouble(); (err != nil) != failing {
		t.Errorf("JournalTrouble() = %v; failing: %t", err, failing)
	}
}

// A disk that refuses to write costs what is new, once it is asked to remove something all that it has, and never lets come back what was revoked.
func TestADiskThatRefuses(t *testing.T) {
	const (
		keptInMemory = "what changed is kept in memory and tried again"
		begunAnew    = "it is discarded so that nothing revoked comes back"
		mayComeBack  = "what was revoked may come back after a restart; move the file away before the next start"
	)
	for name, c := range map[string]struct {
		change   func(t testing.TB, x *lease.Index)
		keeps    bool // Discard fails too
		now      int  // entries that a crash would leave now
		discards int
		says     string
		healed   int // entries that a crash would leave when the disk is well again
	}{
		"a new lease": {change: func(t testing.TB, x *lease.Index) {
			mustKeep(t, x, "aws/creds/new", vault.NewToken("auto"), leaseAnswer("aws/creds/new/1", 3600), noon)
		},
			now: 11, says: keptInMemory, healed: 12},
		"a renewal": {change: func(t testing.TB, x *lease.Index) { x.Renewed([]byte(leaseAnswer("db/creds/a/0", 7200)), noon) },
			now: 11, says: keptInMemory, healed: 11},
		"a new auto-auth token that the old one outlives": {change: func(t testing.TB, x *lease.Index) { x.Hold("", app, "", "", noon.Add(time.Hour)) },
			now: 11, says: keptInMemory, healed: 11},
		"a revocation":        {change: func(t testing.TB, x *lease.Index) { revoke(x, "db/creds/a/0") }, discards: 1, says: begunAnew, healed: 10},
		"the loss of a token": {change: func(t testing.TB, x *lease.Index) { x.Lose(vault.NewToken("child1")) }, discards: 1, says: begunAnew, healed: 1},
		"an orphaned child": {change: func(t testing.TB, x *lease.Index) {
			x.Evict(lease.Eviction{Scope: lease.ScopeOrphaning, Value: "child1"})
		}, discards: 1, says: begunAnew, healed: 9},
		"what is cleared": {change: func(t testing.TB, x *lease.Index) {
			x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "child1", Clear: true})
		}, discards: 1, says: begunAnew, healed: 1},
		"a new login":          {change: func(t testing.TB, x *lease.Index) { x.Hold("", app, "", "", time.Time{}) }, discards: 1, says: begunAnew, healed: 0},
		"nothing is discarded": {change: func(t testing.TB, x *lease.Index) { revoke(x, "db/creds/a/0") }, keeps: true, now: 11, discards: 1, says: mayComeBack, healed: 10},
	} {
		for _, anyway := range []bool{false, true} {
			if anyway && c.keeps {
				continue
			}
			t.Run(fmt.Sprint(name, ", confirmed late: ", anyway), func(t *testing.T) {
				m := newMemory()
				x, log := watched(m)
				grow(t, x, noon)
				m.set(true, false, c.keeps)
				if anyway {
					m.set(true, true, false)
				}
				if c.change(t, x); m.discards != c.discards || strings.Count(log.String(), "level=ERROR") != 1 || !strings.Contains(log.String(), c.says) {
					t.Errorf("%d times discarded, and logged %s", m.discards, log)
				}
				if _, out := restarted(t, m, noon); !anyway && out.Entries != c.now {
					t.Errorf("a crash leaves %d entries, want %d", out.Entries, c.now)
				}
				if pending, failing, _ := x.JournalState(); !failing || (pending == 0 && c.healed != 0) {
					t.Errorf("%d pending, failing: %t", pending, failing)
				}
				m.set(false, false, false)
				x.HeldUntil(vault.NewToken("auto"), noon.Add(time.Hour))
				x.HeldUntil(app, noon.Add(time.Hour))
				wantJournal(t, x, 0, false)
				y, out := restarted(t, m, noon)
				if entries, _, tokens := x.Stats(); out.Entries != c.healed || out.Entries != entries || out.Tokens != tokens {
					t.Errorf("Restore() = %+v, want all %d entries and %d tokens", out, entries, tokens)
				}
				for id, d := range x.Dump(noon) {
					if got := y.Dump(noon)[id]; got.End < d.End || got.Ends != d.Ends || got.Owner != d.Owner {
						t.Errorf("%s came back as %+v, want %+v", id, got, d)
					}
				}
				if !strings.Contains(log.String(), "the state file is written again") {
					t.Error("nothing is said of its recovery")
				}
				if strings.Contains(log.String(), "hvs.") {
					t.Error("a token is in the log")
				}
			})
		}
	}
}

// What ends by itself is no reason to give up a file that would not bring it back either; what the file knows to end later, is.
func TestAnEndIsNoRevocation(t *testing.T) {
	for name, c := range map[string]struct {
		before   func(x *lease.Index, m *memory)
		after    time.Duration
		discards int
	}{
		"as written":           {func(*lease.Index, *memory) {}, time.Hour, 0},
		"below a token":        {func(x *lease.Index, _ *memory) { child(t, x, "hvs.app", "hvs.child", 1800) }, time.Hour, 0},
		"renewed to end later": {func(x *lease.Index, _ *memory) { x.Renewed([]byte(leaseAnswer("aws/creds/a/1", 5400)), noon) }, 90 * time.Minute, 0},
		"renewed to end sooner": {func(x *lease.Index, m *memory) {
			m.set(true, false, false)
			x.Renewed([]byte(leaseAnswer("aws/creds/a/1", 60)), noon)
		}, time.Minute, 1},
		"renewed to end sooner, and written": {func(x *lease.Index, m *memory) { x.Renewed([]byte(leaseAnswer("aws/creds/a/1", 60)), noon) }, time.Minute, 0},
		"the clock was set back": {func(x *lease.Index, m *memory) {
			m.set(true, false, false)
			x.Shift(-30 * time.Minute)
		}, 30 * time.Minute, 1},
		"the clock was set back, and all written anew": {func(x *lease.Index, m *memory) {
			x.Shift(-30 * time.Minute)
			x.CatchUp()
		}, 30 * time.Minute, 0},
		"its token was set aside": {func(x *lease.Index, m *memory) {
			m.set(true, false, false)
			x.Hold("", vault.NewToken("hvs.next"), "", "", noon.Add(time.Minute))
		}, time.Minute, 1},
		"its token was set aside, and that written": {func(x *lease.Index, m *memory) {
			x.Hold("", vault.NewToken("hvs.next"), "", "", noon.Add(time.Minute))
		}, time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			x, _ := watched(m)
			x.Hold("", app, "acc-app", "", time.Time{})
			mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 3600), noon)
			c.before(x, m)
			m.set(true, false, false)
			later := noon.Add(c.after)
			for range 10 {
				x.Next(later) // a renewal that is due is under way then, and ends with the lease
			}
			x.CatchUp()
			if m.discards != c.discards {
				t.Errorf("the file was discarded %d times, want %d", m.discards, c.discards)
			}
			if y, _ := restarted(t, m, later); y.Dump(later)["aws/creds/a/1"].Entry {
				t.Error("the lease came back after its end")
			}
		})
	}
}

// After an outage of the disk all is written anew, in batches, by the clock alone; who keeps something meanwhile waits for no more than a batch.
func TestAllIsWrittenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const leases = 3500
		m := newMemory()
		x, _ := watched(m)
		x.Hold("", app, "acc-app", "", time.Time{})
		now := time.Now()
		for i := range leases {
			path := fmt.Sprint("aws/creds/", i)
			mustKeep(t, x, path, app, leaseAnswer(path+"/x", 36_000), now)
		}
		m.set(true, false, false)
		revoke(x, "aws/creds/7/x")
		wantJournal(t, x, leases, true)
		if len(m.records) != 0 {
			t.Errorf("%d records are left", len(m.records))
		}
		started(t, x, &fakeVault{}, lease.ClockOptions{})
		sleep(time.Hour)
		wantJournal(t, x, leases, true)
		if m.tries < 3500+100 || m.tries > 3500+140 {
			t.Errorf("%d tries in an hour by the clock, want one in half a minute", m.tries-3500)
		}
		m.slow(time.Second)
		m.set(false, false, false)
		sleep(31 * time.Second) // the next try has begun
		begun := time.Now()
		mustKeep(t, x, "aws/creds/new", app, leaseAnswer("aws/creds/new/x", 36_000), now)
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("a new lease was kept after %v", took)
		}
		sleep(10 * time.Second)
		wantJournal(t, x, 0, false)
		if m.largest > 1002 {
			t.Errorf("%d changes in one Write", m.largest)
		}
		_, out := restarted(t, m, time.Now())
		wantRestored(t, out, leases, 1, 0, 0, 0)
	})
}

// A disk that fails slowly holds up whoever has something written for the Write under way and the one after it, and hits not at all.
func TestASlowFailureIsSharedByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		x, _ := watched(m)
		x.Hold("", app, "acc-app", "", time.Time{})
		hit := mustKeep(t, x, "aws/creds/hit", app, leaseAnswer("aws/creds/hit/x", 3600), time.Now())
		m.slow(time.Second)
		m.set(true, false, false)
		begun := time.Now()
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				path := fmt.Sprint("aws/creds/", i)
				mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), begun)
				if took := time.Since(begun); took > 2*time.Second {
					t.Errorf("kept after %v", took)
				}
			})
		}
		synctest.Wait()
		if !has(x, hit) || time.Since(begun) != 0 {
			t.Error("no hit meanwhile")
		}
		all.Wait()
		if m.failures > 2 {
			t.Errorf("%d Writes that fail for 64 leases", m.failures)
		}
		wantJournal(t, x, 64, true)
	})
}

// Failures are logged when they begin, when they get worse, and once a minute.
func TestFailuresAreSummarised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		x, log := watched(m)
		x.Hold("", app, "acc-app", "", time.Time{})
		mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 36_000), time.Now())
		mustKeep(t, x, "aws/creds/b", app, leaseAnswer("aws/creds/b/1", 36_000), time.Now())
		begun := time.Now()
		renew := func(times int) {
			for range times {
				x.Renewed([]byte(leaseAnswer("aws/creds/a/1", 36_000)), time.Now())
				time.Sleep(time.Second)
			}
		}
		m.set(true, false, true)
		renew(150)
		if n := strings.Count(log.String(), "level=ERROR"); n != 3 || strings.Count(log.String(), "failures=60") != 2 {
			t.Errorf("%d errors logged in 150 s:\n%s", n, log)
		}
		log.Reset()
		revoke(x, "aws/creds/b/1")
		renew(29)
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "may come back") {
			t.Errorf("%d errors logged when it gets worse:\n%s", n, log)
		}
		if _, failing, since := x.JournalState(); !failing || !since.Equal(begun) {
			t.Errorf("failing: %t, since %v", failing, since)
		}
		log.Reset()
		m.set(true, false, false)
		renew(1)
		if !strings.Contains(log.String(), "nothing revoked comes back from it") || len(m.records) != 0 {
			t.Errorf("%d records are left, and logged is %s", len(m.records), log)
		}
		log.Reset()
		m.set(false, false, false)
		healed := time.Now()
		renew(10)
		if over, err := x.JournalTrouble(); err != nil || !over.Equal(healed) {
			t.Errorf("JournalTrouble() = %v, %v; it was over at %v", err, over, healed)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "level=INFO") || !strings.Contains(log.String(), "failures=181") {
			t.Errorf("%d lines after the recovery:\n%s", n, log)
		}
		wantJournal(t, x, 0, false)
	})
}

// While the file cannot even be discarded, nothing is written to it: it would keep what must not come back.
func TestWhatIsDoomedIsDiscardedFirst(t *testing.T) {
	m := newMemory()
	x, _ := watched(m)
	x.Hold("", app, "acc-app", "", time.Time{})
	mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 3600), noon)
	m.set(true, false, true)
	x.Lose(app)
	wantJournal(t, x, 1, true)
	m.set(false, false, true)
	tries := m.tries
	x.CatchUp()
	wantJournal(t, x, 1, true)
	if m.tries != tries || m.discards != 2 {
		t.Errorf("%d more Writes, discarded %d times", m.tries-tries, m.discards)
	}
	m.set(false, false, false)
	x.CatchUp()
	if pending, _, _ := x.JournalState(); pending != 0 || len(m.records) != 0 {
		t.Errorf("%d pending, %d records", pending, len(m.records))
	}
	x.Hold("", app, "acc-app", "", time.Time{})
	wantJournal(t, x, 0, false)
}

// A disk that takes a little and refuses more is not well yet; what somebody waits for gets onto it.
func TestADiskThatIsNearlyFull(t *testing.T) {
	m := newMemory()
	x, log := watched(m)
	x.Hold("", app, "acc-app", "", time.Time{})
	for i := range 2000 {
		path := fmt.Sprint("aws/creds/", i)
		mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), noon)
	}
	m.set(true, false, false)
	revoke(x, "aws/creds/0/x")
	m.set(false, false, false)
	m.room = 10
	for i := range 20 {
		path := fmt.Sprint("aws/creds/new", i)
		mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), noon)
		x.CatchUp()
	}
	wantJournal(t, x, 2001-20, true) // each try has taken one record along, of 2000 and the first new one
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || strings.Contains(log.String(), "written again") {
		t.Errorf("%d errors logged:\n%s", n, log)
	}
	if n := len(m.records); n != 40 && n != 39 {
		t.Errorf("%d records, want the 20 new ones and as many of the others", n)
	}
	m.room = 0
	x.CatchUp()
	wantJournal(t, x, 0, false)
	_, out := restarted(t, m, noon)
	wantRestored(t, out, 2019, 1, 0, 0, 0)
	if !strings.Contains(log.String(), "written again") {
		t.Error("nothing is said of its recovery")
	}
}

// A failure of hours costs no more memory than the changes of one batch.
func TestALongFailureIsBounded(t *testing.T) {
	m := newMemory()
	x, _ := watched(m)
	x.Hold("", app, "acc-app", "", time.Time{})
	m.set(true, false, false)
	for i := range 2500 {
		path := fmt.Sprint("aws/creds/", i)
		mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), noon)
	}
	wantJournal(t, x, 2501, true) // of which most are found by looking what lives
	m.set(false, false, false)
	x.CatchUp()
	wantJournal(t, x, 0, false)
	if _, out := restarted(t, m, noon); out.Entries != 2500 || m.largest > 1001 {
		t.Errorf("%d entries came back, of Writes of up to %d changes", out.Entries, m.largest)
	}
}

// The clock has written what nobody waits for: what has ended.
func TestTheClockTendsTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		x, _ := watched(m)
		x.Hold("", app, "acc-app", "", time.Time{})
		mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 60), time.Now())
		started(t, x, &fakeVault{answer: grant(time.Second)}, lease.ClockOptions{})
		sleep(2 * time.Minute)
		wantStats(t, x, 0, 1)
		if len(m.records) != 1 {
			t.Errorf("%d records, want that of the auto-auth token", len(m.records))
		}
		wantJournal(t, x, 0, false)
	})
}

// A journal that was given up is not used any more, whatever is under way.
func TestDetach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		x, _ := watched(m)
		m.slow(time.Second)
		started(t, x, &fakeVault{}, lease.ClockOptions{})
		go x.Hold("", app, "acc-app", "", time.Time{})
		synctest.Wait()
		begun := time.Now()
		x.Detach()
		if took := time.Since(begun); took != time.Second || m.writes != 1 {
			t.Errorf("it returned after %v, with %d Writes done", took, m.writes)
		}
		key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 3600), time.Now())
		x.HeldUntil(app, time.Now().Add(time.Hour))
		x.Shift(-time.Second)
		if !has(x, key) {
			t.Error("what was kept afterwards is no hit")
		}
		revoke(x, "aws/creds/a/1")
		sleep(time.Hour)
		if m.tries != 1 || m.discards != 0 {
			t.Errorf("%d Writes", m.tries)
		}
		wantJournal(t, x, 0, false)
	})
}
