package lease_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// counts are a survey's numbers of entries.
func counts(s lease.Survey) [4]int { return [4]int{s.Fresh, s.Due, s.Failing, s.Ending} }

func TestSurveyCountsEachEntryInItsState(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(context.Context, renewal) (vault.Grant, error)
		pass   time.Duration
		want   [4]int // fresh, due, failing, ending
	}{
		"just kept":   {nil, 0, [4]int{3, 0, 0, 0}},
		"renewed":     {nil, 50 * time.Minute, [4]int{3, 0, 0, 0}},
		"under way":   {nil, 44 * time.Minute, [4]int{0, 3, 0, 0}},
		"not renewed": {func(context.Context, renewal) (vault.Grant, error) { return vault.Grant{}, errors.New("away") }, 50 * time.Minute, [4]int{0, 0, 3, 0}},
		"near the max TTL": {func(context.Context, renewal) (vault.Grant, error) {
			return vault.Grant{TTL: 30 * time.Minute, Renewable: true}, nil
		}, 50 * time.Minute, [4]int{0, 0, 0, 3}},
		"ended": {func(context.Context, renewal) (vault.Grant, error) { return vault.Grant{}, errors.New("away") }, 2 * time.Hour, [4]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, f := lease.NewIndex(lease.Options{}), &fakeVault{answer: tc.answer} // which is asked after 37 to 44 minutes
				if name == "under way" {
					f.answer = func(context.Context, renewal) (vault.Grant, error) {
						<-t.Context().Done()
						return vault.Grant{}, t.Context().Err()
					}
				}
				x.Hold("", app, "acc-app", "", time.Time{})
				started(t, x, f, lease.ClockOptions{})
				for i := range 2 {
					path := fmt.Sprintf("aws/creds/%d", i)
					mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), time.Now())
				}
				mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc-login", true, 3600), time.Now())
				sleep(tc.pass)
				if got := counts(x.Survey(time.Now())); got != tc.want {
					t.Errorf("fresh, due, failing, ending = %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// A key that answers with another leaves an entry that lives on and that no hit finds.
func TestSurveyOfWhatWasReplaced(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "acc-app", "", time.Time{})
	mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 600), noon)
	o := offerOf(x, "aws/creds/a", app, leaseAnswer("aws/creds/a/2", 3600), noon)
	o.Replace = true
	if _, v := x.Keep(o); !v.Kept() {
		t.Fatal(v)
	}
	s := x.Survey(noon)
	if got, want := counts(s), [4]int{1, 0, 0, 1}; got != want {
		t.Errorf("fresh, due, failing, ending = %v, want %v", got, want)
	}
	if s.Runway[0] != time.Hour-time.Second || s.NearestExpiry.Sub(noon) != 10*time.Minute {
		t.Errorf("runway %v, nearest end in %v", s.Runway[0], s.NearestExpiry.Sub(noon))
	}
}

func TestRunway(t *testing.T) {
	for name, tc := range map[string]struct {
		fill func(x *lease.Index)
		want [2]time.Duration
	}{
		"nothing": {func(*lease.Index) {}, [2]time.Duration{}},
		"one to a hundred minutes": {func(x *lease.Index) {
			for i := range 100 {
				path := fmt.Sprintf("aws/creds/%d", i)
				mustKeep(t, x, path, app, leaseAnswer(path+"/x", 60*(i+1)), noon)
			}
		}, [2]time.Duration{51*time.Minute - time.Second, 6*time.Minute - time.Second}},
		"an auto-auth token that ends": {func(x *lease.Index) {
			x.HeldUntil(app, noon.Add(5*time.Minute))
			mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x", 3600), noon)
			mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc-login", true, 3600), noon)
		}, [2]time.Duration{time.Hour - time.Second, 5*time.Minute - time.Second}},
		"a cached token that ends": {func(x *lease.Index) {
			login := vault.NewToken("hvs.login")
			mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc-login", true, 60), noon)
			mustKeep(t, x, "aws/creds/a", login, leaseAnswer("aws/creds/a/x", 3600), noon)
			mustKeep(t, x, "aws/creds/b", login, leaseAnswer("aws/creds/b/x", 3600), noon)
		}, [2]time.Duration{time.Minute - time.Second, time.Minute - time.Second}},
		"half a second": {func(x *lease.Index) {
			mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x", 1), noon.Add(-500*time.Millisecond))
		}, [2]time.Duration{}},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			x.Hold("", app, "acc-app", "", time.Time{})
			tc.fill(x)
			if got := x.Survey(noon).Runway; got != tc.want {
				t.Errorf("runway = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSurveyTellsWhatComesNext(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	if s := x.Survey(noon); !s.NextRenewal.IsZero() || !s.NearestExpiry.IsZero() {
		t.Errorf("of nothing: %+v", s)
	}
	x.Hold("", app, "acc-app", "", time.Time{})
	mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x", 600), noon)
	mustKeep(t, x, "aws/creds/b", app, leaseAnswer("aws/creds/b/x", 6000), noon)
	s := x.Survey(noon)
	if counts(s) != [4]int{2} || s.NearestExpiry.Sub(noon) != 600*time.Second {
		t.Errorf("%v, nearest end in %v", counts(s), s.NearestExpiry.Sub(noon))
	}
	if in := s.NextRenewal.Sub(noon); in < 370*time.Second || in > 434*time.Second { // two thirds, and the jitter
		t.Errorf("the next renewal in %v", in)
	}
}

// Those who ask often do not have the index looked at often: the more it holds, the longer a survey is told again.
func TestSurveyIsToldAgain(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "acc-app", "", time.Time{})
	for i := range 200 {
		path := fmt.Sprintf("aws/creds/%d", i)
		mustKeep(t, x, path, app, leaseAnswer(path+"/x", 36000), noon)
	}
	for i, c := range []struct {
		at   time.Duration
		want int
	}{
		{0, 200}, {9 * time.Millisecond, 200}, {10 * time.Millisecond, 201}, {20 * time.Millisecond, 201}, {10 * time.Second, 201}, {0, 201}, // a clock that was set back
	} {
		if got := counts(x.Survey(noon.Add(c.at)))[0]; got != c.want {
			t.Errorf("after %v: %d, want %d", c.at, got, c.want)
		}
		if i == 0 {
			mustKeep(t, x, "aws/creds/more", app, leaseAnswer("aws/creds/more/x", 36000), noon)
		}
	}
}

// Hits go on while the index is locked for a look at what it holds: a hundred for each entry that is looked at.
func TestHitsGoOnDuringALook(t *testing.T) {
	x, all := filled(t, 1000, noon)
	hits := 0
	q := ask(lease.Query{Sort: lease.ByPath})
	q.Show = func(path string) string { // called under the lock
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 100 {
				if x.Get(&all[i].Key, noon) == nil {
					t.Error("no hit")
				}
			}
		}()
		select {
		case <-done:
			hits += 100
		case <-time.After(time.Minute):
			t.Fatal("a hit waits for who looks at the index")
		}
		return path
	}
	if _, err := x.List(q); err != nil || hits < 100*1000 {
		t.Errorf("%d hits during a look at 1000 entries, %v", hits, err)
	}
}

// A rate that is too low for what is due leaves renewals waiting, and that can be seen.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, f := lease.NewIndex(lease.Options{}), &fakeVault{}
		x.Hold("", app, "acc-app", "", time.Time{})
		for i := range 100 {
			path := fmt.Sprintf("aws/creds/%d", i)
			mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), time.Now().Add(-50*time.Minute))
		}
		before := x.Survey(time.Now()).Backlog // nobody renews
		if before < 7*time.Minute || before > 14*time.Minute {
			t.Errorf("without a clock %v, want since the first was due", before)
		}
		started(t, x, f, lease.ClockOptions{RenewRate: 1})
		sleep(20 * time.Second)
		if got := x.Survey(time.Now()).Backlog; got < 18*time.Second || got > 20*time.Second {
			t.Errorf("after 20 s at one a second: %v", got)
		}
		sleep(2 * time.Minute)
		if got := x.Survey(time.Now()).Backlog; got != 0 {
			t.Errorf("when all are renewed: %v", got)
		}
	})
}

// The numbers of a survey are those of the index, whatever happens meanwhile.
func TestSurveyWhileAllChanges(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "acc-app", "", time.Time{})
	const stay = 2000
	for i := range stay {
		path := fmt.Sprintf("aws/creds/%d", i)
		mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), time.Now())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 500 {
			path := fmt.Sprintf("db/creds/%d", i)
			x.Keep(offerOf(x, path, app, leaseAnswer(path+"/x", 3600), time.Now()))
			x.Hold("other", vault.NewToken(fmt.Sprint("hvs.", i)), "", "", time.Time{})
		}
	}()
	for at := time.Now(); ; at = at.Add(time.Minute / 100) {
		if n := x.Survey(at).Fresh; n < stay || n > stay+500 {
			t.Fatalf("%d entries, want at least %d", n, stay)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// BenchmarkSurvey looks at 100,000 entries each time.
func BenchmarkSurvey(b *testing.B) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "acc-app", "", time.Time{})
	for i := range 100_000 {
		path := fmt.Sprintf("aws/creds/%d", i)
		mustKeep(b, x, path, app, leaseAnswer(path+"/x", 36000), noon)
	}
	at := noon
	for b.Loop() {
		at = at.Add(5 * time.Second)
		x.Survey(noon.Add(at.Sub(noon) % time.Hour))
	}
}

// BenchmarkHitDuringSurveys is a hit while somebody looks at all of 100,000 entries, over and over; beside it, without.
func BenchmarkHitDuringSurveys(b *testing.B) {
	x, all := filled(b, 100_000, noon)
	hit := func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if x.Get(&all[i%len(all)].Key, noon) == nil {
				b.Fatal("no hit")
			}
		}
	}
	b.Run("without", hit)
	b.Run("with", func(b *testing.B) {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for at := noon; ; at = at.Add(5 * time.Second) {
				select {
				case <-stop:
					return
				default:
					x.Survey(noon.Add(at.Sub(noon) % time.Minute))
				}
			}
		}()
		hit(b)
		close(stop)
		<-stopped
	})
}
