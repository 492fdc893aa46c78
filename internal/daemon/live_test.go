package daemon_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/daemon"
)

// hanging is a look at the parts that returns when it is let go.
type hanging struct {
	looks atomic.Int64 // how many there were
	under atomic.Int64 // how many are under way
	free  atomic.Pointer[chan struct{}]
	err   error
}

func (h *hanging) works() error {
	h.looks.Add(1)
	h.under.Add(1)
	defer h.under.Add(-1)
	if free := h.free.Load(); free != nil {
		<-*free
	}
	return h.err
}

// hang has looks hang from now on, and returns what ends that.
func (h *hanging) hang() (release func()) {
	free := make(chan struct{})
	h.free.Store(&free)
	return func() { h.free.Store(nil); close(free) }
}

const hangs = "the process does not answer itself: a lock is not released, or it gets no CPU time"

// A look that hangs is told of after five seconds, and holds one goroutine however many ask and however often; when it is over, so is that.
func TestLivenessOfAProcessThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, h := time.Now(), &hanging{}
		tell := daemon.NewPulse(h.works, began)
		want := func(when string, want api.Liveness, took time.Duration) {
			t.Helper()
			asked := time.Now()
			if got := tell(t.Context()); got != want || time.Since(asked) != took {
				t.Errorf("%s: %+v after %v\nwant %+v after %v", when, got, time.Since(asked), want, took)
			}
		}
		want("at first", api.Liveness{Alive: true, Since: began}, 0)
		time.Sleep(time.Hour)
		want("an hour later", api.Liveness{Alive: true, Since: began}, 0)

		release, since := h.hang(), time.Now()
		before := h.looks.Load()
		dead := api.Liveness{Reason: hangs, Since: since}
		answers := make(chan api.Liveness)
		for range 100 {
			go func() { answers <- tell(t.Context()) }()
		}
		for range 100 {
			if got := <-answers; got != dead || time.Since(since) != 5*time.Second {
				t.Fatalf("hanging: %+v after %v, want %+v", got, time.Since(since), dead)
			}
		}
		time.Sleep(time.Minute)
		want("still hanging", dead, 0) // nobody has to wait for what is known
		want("and asked once more", dead, 0)
		if looks, under := h.looks.Load()-before, h.under.Load(); looks != 1 || under != 1 {
			t.Errorf("%d looks, %d of them under way; want one", looks, under)
		}

		release()
		synctest.Wait()
		over := time.Now()
		want("over", api.Liveness{Alive: true, Since: over}, 0)
		time.Sleep(time.Minute)
		want("a minute later", api.Liveness{Alive: true, Since: over}, 0)
		if h.under.Load() != 0 {
			t.Error("a look is still under way")
		}
	})
}

// What took its time and came back in time is no trouble.
func TestLivenessOfASlowProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, h := time.Now(), &hanging{}
		time.AfterFunc(4*time.Second, h.hang())
		if got := daemon.NewPulse(h.works, began)(t.Context()); got != (api.Liveness{Alive: true, Since: began}) || time.Since(began) != 4*time.Second {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
	})
}

// A part that says itself that it does not move is told of at once, since when that was noticed.
func TestLivenessOfAPartThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{}
		tell := daemon.NewPulse(h.works, time.Now())
		h.err = errors.New("it is stuck")
		time.Sleep(time.Hour)
		noticed := time.Now()
		for range 2 {
			if got, want := tell(t.Context()), (api.Liveness{Reason: "it is stuck", Since: noticed}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			time.Sleep(time.Minute)
		}
		h.err = nil
		if got, want := tell(t.Context()), (api.Liveness{Alive: true, Since: time.Now()}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// Who does not wait for the answer changes nothing.
func TestLivenessForOneWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, h := time.Now(), &hanging{}
		tell, release := daemon.NewPulse(h.works, began), h.hang()
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if got := tell(ctx); got != (api.Liveness{Alive: true, Since: began}) {
				t.Errorf("%+v", got)
			}
			cancel()
		}
		if time.Since(began) != 2*time.Second || h.looks.Load() != 1 {
			t.Errorf("%d looks in %v", h.looks.Load(), time.Since(began))
		}
		release()
	})
}
