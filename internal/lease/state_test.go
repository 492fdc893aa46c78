package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// stateOf is that of the only entry.
func stateOf(t *testing.T, x *lease.Index) lease.View {
	t.Helper()
	p := list(t, x, lease.Query{})
	if len(p.Views) != 1 {
		t.Fatalf("%d entries are held", len(p.Views))
	}
	if o := x.Overview(time.Now()); o.States[p.Views[0].State] != 1 || len(o.States) != len(lease.States()) {
		t.Errorf("the states are %v, want one %s", o.States, p.Views[0].State)
	}
	return p.Views[0]
}

func TestStatesOfALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail error
		grant := vault.Grant{TTL: 10 * time.Hour, Renewable: true}
		asked, goOn := make(chan struct{}), make(chan struct{})
		f := &fakeVault{answer: func(context.Context, renewal) (vault.Grant, error) {
			asked <- struct{}{}
			<-goOn
			return grant, fail
		}}
		x := lease.NewIndex(lease.Options{})
		x.Hold("", app, "", "", time.Time{})
		mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x", 36_000), time.Now())
		if v := stateOf(t, x); v.State != lease.Fresh || v.Renewal.IsZero() || !v.Renewable {
			t.Errorf("new: %+v", v)
		}
		started(t, x, f, lease.ClockOptions{})
		<-asked
		if v := stateOf(t, x); v.State != lease.Due || !v.Renewal.IsZero() {
			t.Errorf("its renewal under way: %+v", v)
		}
		fail = errors.New("connection refused")
		goOn <- struct{}{}
		synctest.Wait()
		if v := stateOf(t, x); v.State != lease.Failing || v.Renewal.IsZero() {
			t.Errorf("its renewal failed: %+v", v)
		}
		fail = nil
		<-asked
		goOn <- struct{}{}
		synctest.Wait()
		if v := stateOf(t, x); v.State != lease.Fresh {
			t.Errorf("renewed: %+v", v)
		}
		grant.TTL = 2 * time.Hour // less than the first life: it cannot be prolonged any more
		<-asked
		goOn <- struct{}{}
		synctest.Wait()
		if v := stateOf(t, x); v.State != lease.Ending || !v.Renewal.IsZero() || v.Renewable {
			t.Errorf("near its max TTL: %+v", v)
		}
		sleep(time.Hour + time.Minute) // a tenth of its first life is left
		if v := stateOf(t, x); v.State != lease.Due {
			t.Errorf("to be replaced: %+v", v)
		}
		sleep(time.Hour)
		if p := list(t, x, lease.Query{}); p.Total != 0 {
			t.Errorf("ended: %+v", p)
		}
	})
}

func TestOverview(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	if o := x.Overview(noon); !o.NextDue.IsZero() || o.Lag != 0 || !o.Nearest.IsZero() || len(o.States) != 4 {
		t.Errorf("of nothing: %+v", o)
	}
	x.Hold("", app, "", "", time.Time{})
	mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x", 3600), noon)
	mustKeep(t, x, "aws/creds/b", app, leaseAnswer("aws/creds/b/x", 7200), noon)
	o := x.Overview(noon)
	if due := o.NextDue.Sub(noon); due < 36*time.Minute || due > 44*time.Minute || o.Lag != 0 || !o.Nearest.Equal(noon.Add(time.Hour)) || o.States[lease.Fresh] != 2 {
		t.Errorf("of two: %+v", o)
	}
	// Nobody renews: the lag grows, wherever the alarm of what is due waits.
	later := o.NextDue.Add(5 * time.Minute)
	if got := x.Overview(later); got.Lag != 5*time.Minute {
		t.Errorf("the lag is %v", got.Lag)
	}
	if e, _ := x.Next(later); e == nil { // takes it: it is under way now
		t.Fatal("nothing is due")
	}
	if got := x.Overview(later); got.Lag != 0 || got.States[lease.Due] != 1 {
		t.Errorf("with the renewal under way: %+v", got)
	}
}
