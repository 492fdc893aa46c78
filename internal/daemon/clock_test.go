package daemon_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/daemon"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// renewing renews for an hour, once it is free to.
type renewing struct {
	free chan struct{}
	deaf bool // it does not end with its context
}

func (r *renewing) RenewLease(ctx context.Context, _ vault.Namespace, _ vault.Token, _ vault.LeaseID) (vault.Grant, error) {
	ended := ctx.Done()
	if r.deaf {
		ended = nil
	}
	select {
	case <-r.free:
		return vault.Grant{TTL: time.Hour, Renewable: true}, nil
	case <-ended:
		return vault.Grant{}, ctx.Err()
	}
}

func (r *renewing) RenewSelf(ctx context.Context, ns vault.Namespace, t vault.Token) (vault.Grant, error) {
	return r.RenewLease(ctx, ns, t, "")
}

// clockFor is a clock with a hundred leases of an hour.
func clockFor(t *testing.T, r *renewing) *lease.Clock {
	t.Helper()
	x, app := lease.NewIndex(lease.Options{}), vault.NewToken("hvs.app")
	x.Hold("", app, "acc-app", "", time.Time{})
	for i := range 100 {
		path := fmt.Sprintf("aws/creds/%d", i)
		body := fmt.Sprintf(`{"lease_id":"%s/x","renewable":true,"lease_duration":3600,"data":{"password":"A1a-x"}}`, path)
		_, v := x.Keep(lease.Offer{
			Key: sha256.Sum256([]byte(path)), Caller: app, Path: path, Epoch: x.Epoch(), Sent: time.Now(),
			Answer: lease.Answer{Status: http.StatusOK, Body: []byte(body), Received: time.Now()}, RawHeader: http.Header{},
		})
		if !v.Kept() {
			t.Fatal(v)
		}
	}
	c := lease.NewClock(x, r, slog.New(slog.DiscardHandler), lease.ClockOptions{})
	go func() { _ = c.Run(t.Context()) }()
	return c
}

// A clock that is late degrades, one that is stuck fails, each with the reason and since when; and both are over when it goes on.
func TestTheClockAsAPart(t *testing.T) {
	for name, deaf := range map[string]bool{"behind": false, "stuck": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, r := time.Now(), &renewing{free: make(chan struct{}), deaf: deaf}
				c := clockFor(t, r)
				well := api.PartState{Name: "clock", Ready: true, State: "on time", Since: start}
				for _, pass := range []time.Duration{time.Second, 30 * time.Minute} { // leases are due after two thirds of an hour, less jitter
					time.Sleep(pass)
					if got := daemon.ClockState(c, start); got != well {
						t.Errorf("after %v: %+v, want %+v", time.Since(start), got, well)
					}
				}
				time.Sleep(15*time.Minute + time.Second/3)
				got := daemon.ClockState(c, start)
				since, reason := got.Since, got.Reason
				want := api.PartState{Name: "clock", Ready: true, Degraded: true, State: "behind", Since: since, Reason: reason}
				says := "%d renewals wait for Vault's answers to others, or for renew_rate"
				if deaf {
					want = api.PartState{Name: "clock", State: "stuck", Since: since, Reason: reason}
					says = "the renewal clock has not moved for %dm"
				}
				var n int
				if _, err := fmt.Sscanf(reason, says, &n); got != want || err != nil || n < 2 || since.Sub(start) < 35*time.Minute || since.Sub(start) > 43*time.Minute {
					t.Errorf("%+v after %v, since %v", got, time.Since(start), since.Sub(start))
				}
				time.Sleep(time.Second)
				if again := daemon.ClockState(c, start); !again.Since.Equal(since) {
					t.Errorf("since %v, and then since %v", since, again.Since)
				}
				close(r.free)
				time.Sleep(time.Minute + time.Second/3)
				over := daemon.ClockState(c, start)
				if want := (api.PartState{Name: "clock", Ready: true, State: "on time", Since: over.Since}); over != want || !over.Since.After(since) {
					t.Errorf("over: %+v", over)
				}
			})
		})
	}
}

// Before there is a cache nothing is renewed.
func TestNoClockYet(t *testing.T) {
	start := time.Now()
	if got, want := daemon.ClockState(nil, start), (api.PartState{Name: "clock", State: "not running", Since: start}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
