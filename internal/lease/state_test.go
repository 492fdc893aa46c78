package lease_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// stateOf is that of the only entry.
func stateOf(t *testing.T, x *lease.Index) lease.View {
	t.Helper()
	sleep(time.Millisecond) // what a survey found is told again for a moment
	p := list(t, x, lease.Query{})
	if len(p.Views) != 1 {
		t.Fatalf("%d entries are held", len(p.Views))
	}
	if got := counts(x.Survey(time.Now())); got[slices.Index(lease.States(), p.Views[0].State)] != 1 || got[0]+got[1]+got[2]+got[3] != 1 {
		t.Errorf("fresh, due, failing, ending = %v, want one %s", got, p.Views[0].State)
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
