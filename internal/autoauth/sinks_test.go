package autoauth_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth"
	"leasehold/internal/vault"
)

// fakeSink remembers what was written. It fails or hangs on demand.
type fakeSink struct {
	fail func(n int) bool // n counts attempts from 1
	hang bool             // until the context ends

	mu       sync.Mutex
	attempts []time.Time
	tokens   []string
}

func (s *fakeSink) Name() string { return "fake" }

func (s *fakeSink) Write(ctx context.Context, t vault.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts = append(s.attempts, time.Now())
	if s.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.fail != nil && s.fail(len(s.attempts)) {
		return errors.New("disk full")
	}
	s.tokens = append(s.tokens, t.Reveal())
	return nil
}

func (s *fakeSink) written() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens)
}

func TestASinkThatFailsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour}
		good, bad, slow := &fakeSink{}, &fakeSink{}, &fakeSink{hang: true}
		bad.fail = func(int) bool { return v.logins() < 3 }
		r := run(t, v, method{}, autoauth.Options{Sinks: []autoauth.Sink{bad, slow, good}})
		for want := range 3 {
			for v.logins() <= want {
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if got := good.written(); len(got) != want+1 {
				t.Errorf("good sink has %q after login %d", got, want+1)
			}
		}
		time.Sleep(2 * time.Minute)
		if got := bad.written(); !slices.Equal(got, []string{"hvs.3"}) {
			t.Errorf("bad sink has %q, want the newest token only", got)
		}
		r.stop()
		synctest.Wait()
	})
}

func TestSinkRetriesGrowToAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{fail: func(n int) bool { return n <= 20 }}
		r := run(t, &fakeVault{}, method{}, autoauth.Options{Sinks: []autoauth.Sink{sink}})
		time.Sleep(time.Hour)
		r.stop()
		synctest.Wait()
		if len(sink.attempts) != 21 || len(sink.tokens) != 1 {
			t.Fatalf("%d attempts, %d written, want 21 and 1", len(sink.attempts), len(sink.tokens))
		}
		base := 2 * time.Second
		for i := 1; i < len(sink.attempts); i++ {
			within(t, "retry", sink.attempts[i].Sub(sink.attempts[i-1]), base/2, min(base*3/2, time.Minute))
			base = min(2*base, time.Minute)
		}
	})
}

func TestExitAfterAuth(t *testing.T) {
	for name, tc := range map[string]struct {
		sinks []autoauth.Sink
		after time.Duration // at least
	}{
		"no sinks":          {after: 0},
		"all sinks at once": {sinks: []autoauth.Sink{&fakeSink{}, &fakeSink{}}, after: 0},
		"one sink late":     {sinks: []autoauth.Sink{&fakeSink{}, &fakeSink{fail: func(n int) bool { return n < 4 }}}, after: 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &fakeVault{ttl: time.Hour}
				r := run(t, v, method{}, autoauth.Options{ExitAfterAuth: true, Sinks: tc.sinks})
				if err := <-r.done; !errors.Is(err, autoauth.ErrDone) {
					t.Fatalf("Run = %v, want ErrDone", err)
				}
				if took := time.Since(v.start); took < tc.after || (tc.after == 0 && took > 0) {
					t.Errorf("done after %v, want %v", took, tc.after)
				}
				for _, s := range tc.sinks {
					if got := s.(*fakeSink).written(); len(got) != 1 {
						t.Errorf("sink has %q", got)
					}
				}
			})
		})
	}
}

func TestExitAfterAuthWaitsForALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{onLogin: func(int) *reply { return unreachable() }}
		r := run(t, v, method{}, autoauth.Options{ExitAfterAuth: true})
		time.Sleep(time.Hour)
		r.stop()
		if err := <-r.done; err != nil {
			t.Errorf("Run = %v, want nil: it was stopped before a login", err)
		}
	})
}
