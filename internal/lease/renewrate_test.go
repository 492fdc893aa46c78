package lease_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
)

// A rate that a reload changes counts from the next renewal on, for what is due already as well.
func TestTheRateChangesWhileRenewalsAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, f := lease.NewIndex(lease.Options{}), &fakeVault{}
		x.Hold("", app, "", "", time.Time{})
		now := time.Now()
		for i := range 3000 { // ten hours, long due, with an hour left
			path := fmt.Sprintf("aws/creds/%d", i)
			mustKeep(t, x, path, app, leaseAnswer(path+"/x", 36_000), now.Add(-9*time.Hour))
		}
		c := lease.NewClock(x, f, slog.New(slog.DiscardHandler), lease.ClockOptions{RenewRate: 1})
		go func() {
			if err := c.Run(t.Context()); err != nil {
				t.Errorf("Run() = %v", err)
			}
		}()
		before := 0
		for _, tc := range []struct { // the wait under way at a change, of a second at most, keeps its length
			rate     float64
			min, max int // renewals in 10 s
		}{{1, 9, 12}, {50, 440, 510}, {2, 19, 22}, {0, 2400, 2600}} {
			c.SetRenewRate(tc.rate)
			sleep(10 * time.Second)
			all := len(f.renewals())
			if n := all - before; n < tc.min || n > tc.max {
				t.Errorf("at %v a second: %d renewals in 10 s, want %d to %d", tc.rate, n, tc.min, tc.max)
			}
			before = all
		}
	})
}
