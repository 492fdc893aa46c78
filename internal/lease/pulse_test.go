package lease_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// beating is running with the clock itself, and so many leases that are due within 44 minutes.
func beating(t *testing.T, f *fakeVault, o lease.ClockOptions, leases int, test func(c *lease.Clock)) {
	synctest.Test(t, func(t *testing.T) {
		x := lease.NewIndex(lease.Options{})
		x.Hold("", app, "acc-app", "", time.Time{})
		c := lease.NewClock(x, f, slog.New(slog.DiscardHandler), o)
		go func() {
			if err := c.Run(t.Context()); err != nil {
				t.Errorf("Run() = %v", err)
			}
		}()
		for i := range leases {
			path := fmt.Sprintf("aws/creds/%d", i)
			mustKeep(t, x, path, app, leaseAnswer(path+"/x", 3600), time.Now())
		}
		test(c)
	})
}

// A clock that has nothing to do, or enough, is neither still nor late, however long.
func TestPulseOfAClockThatWorks(t *testing.T) {
	for leases, f := range map[int]*fakeVault{0: {}, 1000: {}} {
		t.Run(fmt.Sprint(leases), func(t *testing.T) {
			beating(t, f, lease.ClockOptions{}, leases, func(c *lease.Clock) {
				start := time.Now()
				for range 300 {
					sleep(time.Minute + time.Second/3)
					if p := c.Pulse(); p.Still > lease.StuckAfter/3 || p.Late || !p.Since.Equal(start) || p.Waiting > 0 {
						t.Fatalf("%+v after %v", p, time.Since(start))
					}
				}
			})
		})
	}
}

// While Vault hangs renewals wait, and the clock is late; it moves on with every one that is given up, and is not late when nothing waits any more.
func TestPulseWhileVaultHangs(t *testing.T) {
	var hangs atomic.Bool
	hangs.Store(true)
	f := &fakeVault{answer: func(ctx context.Context, r renewal) (vault.Grant, error) {
		if hangs.Load() {
			<-ctx.Done()
			return vault.Grant{}, ctx.Err()
		}
		return vault.Grant{TTL: time.Hour, Renewable: true}, nil
	}}
	beating(t, f, lease.ClockOptions{}, 1000, func(c *lease.Clock) {
		start := time.Now()
		sleep(46*time.Minute + time.Second/3)
		p := c.Pulse()
		if !p.Late || p.Since.Sub(start) < 37*time.Minute || p.Since.Sub(start) > 39*time.Minute || p.Waiting < 500 || p.Still > lease.StuckAfter/2 {
			t.Errorf("hanging: %+v after %v", p, time.Since(start))
		}
		hangs.Store(false)
		sleep(2 * time.Minute)
		p = c.Pulse()
		if p.Late || p.Waiting > 0 || p.Since.Sub(start) < 46*time.Minute || p.Since.Sub(start) > 48*time.Minute {
			t.Errorf("over: %+v after %v", p, time.Since(start))
		}
	})
}

// A rate that is too low makes the clock late. That is not being stuck, however long it waits for the next.
func TestPulseOfASlowRate(t *testing.T) {
	beating(t, &fakeVault{}, lease.ClockOptions{RenewRate: 0.002}, 3, func(c *lease.Clock) {
		sleep(50*time.Minute + time.Second/3)
		if p := c.Pulse(); !p.Late || p.Still > 0 || p.Waiting == 0 {
			t.Errorf("%+v", p)
		}
	})
}

// Workers that never come back, as when a lock is never released, are noticed.
func TestPulseOfAClockThatIsStuck(t *testing.T) {
	var free atomic.Pointer[chan struct{}]
	f := &fakeVault{answer: func(context.Context, renewal) (vault.Grant, error) {
		<-*free.Load()
		return vault.Grant{TTL: time.Hour, Renewable: true}, nil
	}}
	beating(t, f, lease.ClockOptions{}, 1000, func(c *lease.Clock) {
		until := make(chan struct{}) // of the bubble, whose time stands still for others
		free.Store(&until)
		defer func() { close(until); synctest.Wait() }()
		sleep(45 * time.Minute)
		if p := c.Pulse(); !p.Late || p.Still < lease.StuckAfter {
			t.Errorf("%+v", p)
		}
	})
}
