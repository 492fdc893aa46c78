package daemon_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/daemon"
)

// numbered takes samples that say which they are.
func numbered(taken *atomic.Int64) func() api.Sample {
	return func() api.Sample { return api.Sample{Requests: taken.Add(1)} }
}

func numbers(all []api.Sample) (n []int64) {
	for _, s := range all {
		n = append(n, s.Requests)
	}
	return n
}

func TestHistoryIsAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h daemon.History
		var taken atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		go h.Run(ctx, func() bool { return true }, numbered(&taken))
		synctest.Wait()
		all, seen := h.Since(0)
		if got := numbers(all); !slices.Equal(got, []int64{1}) || seen != 1 {
			t.Fatalf("at the start: %v, %d seen", got, seen)
		}
		time.Sleep(25 * time.Second)
		all, seen = h.Since(seen)
		if got := numbers(all); !slices.Equal(got, []int64{2, 3}) || seen != 3 {
			t.Errorf("after 25 s: %v, %d seen", got, seen)
		}
		if all, _ = h.Since(seen); len(all) != 0 {
			t.Errorf("nothing new is %v", numbers(all))
		}
		time.Sleep(2 * time.Hour)
		all, seen = h.Since(0)
		got := numbers(all)
		if len(got) != 360 || seen != 723 || got[0] != 364 || got[359] != 723 || !slices.IsSorted(got) {
			t.Errorf("after two hours: %d samples from %d to %d, %d seen", len(got), got[0], got[len(got)-1], seen)
		}
		// Who saw so little that some are gone gets what there is.
		if all, _ = h.Since(3); len(all) != 360 {
			t.Errorf("since the third: %d", len(all))
		}
		stop()
		synctest.Wait()
		before := taken.Load()
		time.Sleep(time.Minute)
		if taken.Load() != before {
			t.Error("samples are taken after the end")
		}
	})
}

// A sample costs a look at all entries: none is taken while no listener shows them.
func TestNoHistoryThatNobodySees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h daemon.History
		var taken atomic.Int64
		var wanted atomic.Bool
		go h.Run(t.Context(), wanted.Load, numbered(&taken))
		time.Sleep(time.Minute + time.Second)
		if n := taken.Load(); n != 0 {
			t.Errorf("%d samples", n)
		}
		wanted.Store(true) // a reload has set enable_status
		time.Sleep(20 * time.Second)
		if all, _ := h.Since(0); len(all) != 2 {
			t.Errorf("then %v", numbers(all))
		}
	})
}
