package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/telemetry"
)

// said is what was written. Timers write to it, and nothing orders them behind the test for the race detector.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func (s *said) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Reset()
}

// folded is a logger behind a Folding, and what it has written.
func folded() (*slog.Logger, *telemetry.Folding, *said) {
	var out said
	f := telemetry.Fold(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return slog.New(f), f, &out
}

var errAway = errors.New("connection refused")

func TestRepeatedFailuresAreSummarised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, f, out := folded()
		written := func() string {
			synctest.Wait()
			text := out.String()
			out.Reset()
			return text
		}
		fail := func(lease string) {
			log.Warn("renewal failed", slog.String("lease", lease), slog.Duration("in", time.Second), slog.Any("error", errAway))
		}
		fail("a")
		if got := written(); got != "level=WARN msg=\"renewal failed\" lease=a in=1s error=\"connection refused\"\n" {
			t.Errorf("the first: %s", got)
		}
		time.Sleep(time.Second)
		for range 9999 {
			fail("b")
		}
		fail("c")
		if got := written(); got != "" {
			t.Errorf("at once: %s", got)
		}
		time.Sleep(9500 * time.Millisecond)
		if got := written(); got != "level=WARN msg=\"repeated: renewal failed\" times=10000 within=10s lease=c in=1s error=\"connection refused\"\n" {
			t.Errorf("ten seconds later: %s", got)
		}
		fail("d")
		time.Sleep(50 * time.Second)
		if got := written(); got != "" {
			t.Errorf("within the minute: %s", got)
		}
		time.Sleep(10 * time.Second)
		if got := written(); !strings.Contains(got, "times=1 within=1m0s lease=d ") {
			t.Errorf("a minute later: %s", got)
		}
		time.Sleep(time.Minute)
		fail("e")
		if got := written(); !strings.HasPrefix(got, "level=WARN msg=\"renewal failed\" lease=e ") {
			t.Errorf("after a quiet minute: %s", got)
		}
		fail("f")
		f.Close()
		if got := written(); !strings.Contains(got, "times=1 within=0s lease=f ") {
			t.Errorf("at the end: %s", got)
		}
		fail("g")
		fail("h")
		if got := written(); strings.Count(got, "msg=\"renewal failed\"") != 2 {
			t.Errorf("after the end: %s", got)
		}
		time.Sleep(time.Hour) // no timer is left to say anything
		if got := written(); got != "" {
			t.Errorf("long after the end: %s", got)
		}
	})
}

func TestWhatIsTheSameFailure(t *testing.T) {
	reset := func(port int) error {
		return fmt.Errorf("read tcp 10.0.0.1:%d->10.0.0.2:8200: connection reset by peer", port)
	}
	for name, tc := range map[string]struct {
		one, two func(*slog.Logger)
		same     bool
	}{
		"another lease, another wait": {
			func(l *slog.Logger) {
				l.Warn("m", slog.String("lease", "a"), slog.Any("error", errAway), slog.Duration("in", time.Second))
			},
			func(l *slog.Logger) {
				l.Warn("m", slog.String("lease", "b"), slog.Any("error", errAway), slog.Duration("in", time.Minute))
			},
			true,
		},
		"another local port": {
			func(l *slog.Logger) { l.Error("m", slog.Any("error", reset(4001))) },
			func(l *slog.Logger) { l.Error("m", slog.Any("error", reset(4002))) },
			true,
		},
		"another error": {
			func(l *slog.Logger) { l.Warn("m", slog.Any("error", errAway)) },
			func(l *slog.Logger) { l.Warn("m", slog.Any("error", errors.New("no route to host"))) },
			false,
		},
		"another message": {
			func(l *slog.Logger) { l.Warn("m", slog.Any("error", errAway)) },
			func(l *slog.Logger) { l.Warn("n", slog.Any("error", errAway)) },
			false,
		},
		"another level": {
			func(l *slog.Logger) { l.Warn("m", slog.Any("error", errAway)) },
			func(l *slog.Logger) { l.Error("m", slog.Any("error", errAway)) },
			false,
		},
		"another text": {
			func(l *slog.Logger) { l.Warn("m", slog.String("path", "/a"), slog.Any("error", errAway)) },
			func(l *slog.Logger) { l.Warn("m", slog.String("path", "/b"), slog.Any("error", errAway)) },
			false,
		},
		"another sink": {
			func(l *slog.Logger) { l.With(slog.String("sink", "/a")).Warn("m", slog.Any("error", errAway)) },
			func(l *slog.Logger) { l.With(slog.String("sink", "/b")).Warn("m", slog.Any("error", errAway)) },
			false,
		},
		"the same sink": {
			func(l *slog.Logger) { l.With(slog.String("sink", "/a")).Warn("m", slog.Any("error", errAway)) },
			func(l *slog.Logger) { l.With(slog.String("sink", "/a")).Warn("m", slog.Any("error", errAway)) },
			true,
		},
		"another group": {
			func(l *slog.Logger) { l.WithGroup("a").Warn("m", slog.Any("error", errAway)) },
			func(l *slog.Logger) { l.WithGroup("b").Warn("m", slog.Any("error", errAway)) },
			false,
		},
		"no error: a change of state": {
			func(l *slog.Logger) { l.Warn("Vault cannot be reached") },
			func(l *slog.Logger) { l.Warn("Vault cannot be reached") },
			false,
		},
		"not a warning": {
			func(l *slog.Logger) { l.Info("m", slog.Any("error", errAway)) },
			func(l *slog.Logger) { l.Info("m", slog.Any("error", errAway)) },
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			log, f, out := folded()
			defer f.Close()
			tc.one(log)
			tc.two(log)
			if got := strings.Count(out.String(), "\n") == 1; got != tc.same {
				t.Errorf("the same: %t, want %t\n%s", got, tc.same, out)
			}
		})
	}
}

// Memory is bounded: what is beyond is written as it comes.
func TestManyKindsOfFailures(t *testing.T) {
	log, f, out := folded()
	defer f.Close()
	for range 2 {
		for i := range 1000 {
			log.Warn("m", slog.Any("error", fmt.Errorf("number %d", i)))
		}
	}
	if got := strings.Count(out.String(), "\n"); got != 2000-256 {
		t.Errorf("%d lines, want all but the repetitions of the first 256", got)
	}
}

func TestFailuresSideBySide(t *testing.T) {
	log, f, out := folded()
	const workers, each = 8, 500
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				log.Warn("m", slog.Any("error", errAway))
			}
		})
	}
	wg.Wait()
	f.Close()
	if got := out.String(); strings.Count(got, "msg=m ") != 1 || !strings.Contains(got, fmt.Sprintf("times=%d ", workers*each-1)) {
		t.Errorf("written: %s", got)
	}
}
