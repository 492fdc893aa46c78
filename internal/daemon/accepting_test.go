package daemon_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/daemon"
)

// halting accepts from a moment on.
type halting struct{ from time.Time }

func (h halting) Accepts(context.Context) bool { return !time.Now().Before(h.from) }
func (halting) Addr() net.Addr                 { return &net.UnixAddr{Name: "/run/l.sock", Net: "unix"} }

// The watchdog is not fed while a listener stands still; that is said once, and over when it goes on.
func TestAListenerThatStandsStill(t *testing.T) {
	for title, tc := range map[string]struct{ halt, stop, want time.Duration }{
		"goes on":               {0, time.Hour, 0},
		"stands and goes on":    {90500 * time.Millisecond, time.Hour, 91 * time.Second},
		"stands until the stop": {time.Hour, 30500 * time.Millisecond, 30500 * time.Millisecond},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), tc.stop)
				defer cancel()
				daemon.AwaitAccepting(ctx, halting{began.Add(tc.halt)}, slog.New(slog.NewTextHandler(&log, nil)))
				if got := time.Since(began); got != tc.want {
					t.Errorf("returned after %v, want %v", got, tc.want)
				}
				said := strings.Count(log.String(), `msg="a listener does not accept connections" address=/run/l.sock`)
				if want := min(int(tc.want), 1); said != want {
					t.Errorf("said %d times, want %d:\n%s", said, want, &log)
				}
			})
		})
	}
}
