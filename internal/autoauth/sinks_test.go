package autoauth_test

import (
	"context"
	"errors"
	"slices"
	"strings"
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

// failAgain changes which attempts fail.
func (s *fakeSink) failAgain(fail func(n int) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *fakeSink) tries() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.attempts)
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
			}
			synctest.Wait()
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

func TestAwaitStored(t *testing.T) {
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
				r := run(t, v, method{}, autoauth.Options{Sinks: tc.sinks})
				if !r.AwaitStored(t.Context()) {
					t.Fatal("AwaitStored = false")
				}
				if took := time.Since(v.start); took < tc.after || (tc.after == 0 && took > 0) {
					t.Errorf("done after %v, want %v", took, tc.after)
				}
				for _, s := range tc.sinks {
					if got := s.(*fakeSink).written(); len(got) != 1 {
						t.Errorf("sink has %q", got)
					}
				}
				r.stop()
				synctest.Wait()
			})
		})
	}
}

func TestAwaitStoredWaitsForALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{onLogin: func(int) *reply { return unreachable() }}
		r := run(t, v, method{}, autoauth.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if r.AwaitStored(ctx) || time.Since(v.start) != time.Hour {
			t.Errorf("AwaitStored ended after %v, want false after an hour without a login", time.Since(v.start))
		}
		r.stop()
		synctest.Wait()
	})
}

// A write that failed may have changed the content all the same.
func TestATokenThatComesBackIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Hour, renewable: true, onLogin: func(n int) *reply {
			return granted([]string{"", "hvs.1", "hvs.2", "hvs.1"}[n], time.Hour, true)
		}}
		sink := &fakeSink{fail: func(n int) bool { return n == 2 }}
		r := run(t, v, method{}, autoauth.Options{Sinks: []autoauth.Sink{sink}, MinBackoff: time.Millisecond})
		time.Sleep(time.Minute)
		for range 2 { // the second before the sink tries again
			if err := r.Reauth(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		r.stop()
		synctest.Wait()
		if got := sink.written(); len(got) != 2 || got[1] != "hvs.1" {
			t.Errorf("written: %q, want hvs.1 twice", got)
		}
	})
}

func TestSinkStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		v := &fakeVault{ttl: time.Hour, onLogin: func(n int) *reply {
			if n == 1 {
				return &reply{status: 200, body: granted("hvs.1", time.Hour, false).body, delay: 30 * time.Second}
			}
			return nil
		}}
		late := &fakeSink{fail: func(n int) bool { return n <= 3 }}
		never := &fakeSink{hang: true}
		r := run(t, v, method{}, autoauth.Options{Sinks: []autoauth.Sink{late, never}})
		look := func(when string, want ...autoauth.SinkState) {
			t.Helper()
			synctest.Wait()
			for i, got := range r.SinkStates() {
				w := want[i]
				if got.Name != "fake" || got.Stored != w.Stored || got.Behind != w.Behind || !got.Since.Equal(w.Since) || (got.Err != nil) != (w.Err != nil) ||
					got.Writes != w.Writes || w.Failures >= 0 && got.Failures != w.Failures {
					t.Errorf("%s: sink %d is %+v, want %+v", when, i, got, w)
				}
			}
		}
		time.Sleep(time.Second)
		look("before a token", autoauth.SinkState{Since: start}, autoauth.SinkState{Since: start})

		offered := start.Add(30 * time.Second)
		time.Sleep(time.Until(offered))
		full := errors.New("disk full")
		look("at the first failure", autoauth.SinkState{Since: offered, Behind: true, Err: full, Failures: 1}, autoauth.SinkState{Since: offered, Behind: true})
		for len(late.written()) == 0 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		stored := late.tries()[3]
		look("stored", autoauth.SinkState{Since: stored, Stored: true, Writes: 1, Failures: 3}, autoauth.SinkState{Since: offered, Behind: true})

		late.failAgain(func(int) bool { return true })
		for len(late.tries()) == 4 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		again := late.tries()[4] // hvs.1 cannot be renewed, so that another login brought hvs.2
		time.Sleep(5 * time.Minute)
		look("behind again", autoauth.SinkState{Since: again, Stored: true, Behind: true, Err: full, Writes: 1, Failures: -1}, autoauth.SinkState{Since: offered, Behind: true})
		r.stop()
		if err := <-r.done; err != nil {
			t.Errorf("Run = %v: a sink that fails ended it", err)
		}
	})
}

// A token file gives the same token at every login.
func TestTheSameTokenIsWrittenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{onLogin: func(int) *reply { return granted("hvs.1", time.Hour, false) }}
		sink := &fakeSink{}
		r := run(t, v, method{}, autoauth.Options{Sinks: []autoauth.Sink{sink}})
		time.Sleep(5 * time.Hour)
		if got := sink.written(); v.logins() < 3 || len(got) != 1 {
			t.Errorf("written %q after %d logins, want it once", got, v.logins())
		}
		if state := r.SinkStates()[0]; !state.Stored || state.Behind || state.Err != nil {
			t.Errorf("state = %+v", state)
		}
		r.stop()
		synctest.Wait()
	})
}

// While nobody is logged in, and when all ends, there is no token; the sink keeps what it has (AUT-10).
func TestNoTokenIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{ttl: time.Minute, onLogin: func(n int) *reply {
			if n > 1 {
				return unreachable()
			}
			return nil
		}}
		sink := &fakeSink{}
		r := run(t, v, method{}, autoauth.Options{Sinks: []autoauth.Sink{sink}})
		time.Sleep(time.Hour) // the token ends, and no other is to be had
		r.stop()
		synctest.Wait()
		if got := sink.written(); !slices.Equal(got, []string{"hvs.1"}) {
			t.Errorf("written %q, want only the token there was", got)
		}
	})
}

func TestAStopInTheMiddleOfAWriteIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, &fakeVault{ttl: time.Hour}, method{}, autoauth.Options{Sinks: []autoauth.Sink{&fakeSink{hang: true}}})
		time.Sleep(time.Second)
		r.stop()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		if log := r.log.String(); strings.Contains(log, "not stored") {
			t.Errorf("the log blames the sink:\n%s", log)
		}
	})
}
