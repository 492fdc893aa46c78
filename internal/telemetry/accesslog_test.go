package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/telemetry"
)

// accessRig is an access log that runs until end is called.
type accessRig struct {
	*telemetry.AccessLog
	dropped atomic.Int64
	said    bytes.Buffer // by the log, and about files
	out     bytes.Buffer
	end     func()
}

func newAccessRig() *accessRig {
	r := &accessRig{}
	r.AccessLog = telemetry.NewAccessLog(&r.dropped, slog.New(slog.NewTextHandler(&r.said, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	r.end = func() {
		cancel()
		wg.Wait()
	}
	return r
}

func (r *accessRig) open(t *testing.T, s telemetry.AccessSettings) *telemetry.AccessOutput {
	t.Helper()
	if s.Stdout == nil {
		s.Stdout = &r.out
	}
	s.Stderr = &r.said
	o, err := r.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (r *accessRig) line(attrs ...slog.Attr) {
	r.Log(context.Background(), time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), attrs...)
}

func TestAccessLines(t *testing.T) {
	attrs := []slog.Attr{slog.String("method", "GET"), slog.String("path", "/v1/a b\n\"c\""), slog.Int("status", 200)}
	for format, want := range map[string]string{
		"json": `{"time":"2026-01-02T03:04:05.000006Z","method":"GET","path":"/v1/a b\n\"c\"","status":200}` + "\n",
		"text": `time=2026-01-02T03:04:05.000Z method=GET path="/v1/a b\n\"c\"" status=200` + "\n",
	} {
		t.Run(format, func(t *testing.T) {
			r := newAccessRig()
			if r.Enabled() {
				t.Error("it is enabled before there is an output")
			}
			r.line(attrs...)
			r.Use(r.open(t, telemetry.AccessSettings{Path: "stdout", Format: format}))
			if !r.Enabled() {
				t.Error("it is not enabled")
			}
			r.line(attrs...)
			r.end()
			if got := r.out.String(); got != want {
				t.Errorf("written %q, want %q", got, want)
			}
			if r.dropped.Load() != 0 || r.said.Len() > 0 {
				t.Errorf("dropped %d, said %q", r.dropped.Load(), &r.said)
			}
		})
	}
}

func TestAccessFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newAccessRig()
	r.Use(r.open(t, telemetry.AccessSettings{Path: dir + string(filepath.Separator), Format: "text"}))
	r.line(slog.Int("n", 1))
	r.Use(r.open(t, telemetry.AccessSettings{Path: filepath.Join(dir, "second.log"), Format: "text"}))
	r.line(slog.Int("n", 2))
	r.Use(nil)
	r.line(slog.Int("n", 3))
	r.end()
	if got := read(t, path); !strings.HasPrefix(got, "before\n") || !strings.HasSuffix(got, " n=1\n") {
		t.Errorf("first file = %q", got)
	}
	second := filepath.Join(dir, "second.log")
	if got := read(t, second); !strings.HasSuffix(got, " n=2\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("second file = %q", got)
	}
	if info, err := os.Stat(second); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("second file: %v, %v", info, err)
	}
	if r.dropped.Load() != 0 {
		t.Errorf("dropped %d", r.dropped.Load())
	}
}

func TestAccessFileIsOpenedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	r := newAccessRig()
	if err := r.Reopen(); err != nil {
		t.Errorf("without an output: %v", err)
	}
	r.Use(r.open(t, telemetry.AccessSettings{Path: path, Format: "text"}))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := r.Reopen(); err != nil {
		t.Fatal(err)
	}
	r.line(slog.Int("n", 1))
	r.end()
	if got, old := read(t, path), read(t, path+".1"); strings.Count(got, "n=1") != 1 || old != "" {
		t.Errorf("file %q, moved one %q", got, old)
	}
}

func TestAccessFileThatCannotBeOpened(t *testing.T) {
	r := newAccessRig()
	defer r.end()
	_, err := r.Open(telemetry.AccessSettings{Path: filepath.Join(t.TempDir(), "none", "access.log"), Stderr: &r.said})
	if err == nil || !strings.HasPrefix(err.Error(), "access_log: ") || !strings.Contains(err.Error(), "; name ") {
		t.Errorf("error = %v, want one with a remedy", err)
	}
}

// stuck is a stream that takes nothing until it is released.
type stuck struct {
	release chan struct{}
	lines   atomic.Int64
	err     error
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.release
	s.lines.Add(1)
	return len(b), s.err
}

// Requests never wait: what a slow destination cannot take is dropped, counted, and said once it goes on.
func TestAccessLinesThatAreTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, slow := newAccessRig(), &stuck{release: make(chan struct{})}
		r.Use(r.open(t, telemetry.AccessSettings{Path: "stdout", Stdout: slow}))
		const sent = 5000
		for range sent {
			r.line() // blocks for ever if anything waits
		}
		synctest.Wait()
		if got := r.dropped.Load(); got == 0 || got >= sent {
			t.Errorf("dropped %d of %d", got, sent)
		}
		close(slow.release)
		r.end()
		if got := slow.lines.Load() + r.dropped.Load(); got != sent {
			t.Errorf("%d written and %d dropped are %d, want %d", slow.lines.Load(), r.dropped.Load(), got, sent)
		}
		if said := r.said.String(); strings.Count(said, "access_log cannot keep up") != 1 {
			t.Errorf("said %q", said)
		}
	})
}

func TestAccessStreamThatFails(t *testing.T) {
	r, broken := newAccessRig(), &stuck{release: make(chan struct{}), err: errors.New("broken pipe")}
	close(broken.release)
	r.Use(r.open(t, telemetry.AccessSettings{Path: "stdout", Stdout: broken}))
	r.line()
	r.end()
	if got := r.dropped.Load(); got != 1 {
		t.Errorf("dropped %d, want 1", got)
	}
}

// Whatever a reload does meanwhile, each line is whole, and written or counted.
func TestAccessLinesFromAllSides(t *testing.T) {
	dir := t.TempDir()
	r := newAccessRig()
	r.Use(r.open(t, telemetry.AccessSettings{Path: filepath.Join(dir, "0.log"), Format: "json"}))
	const workers, each = 4, 500
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				r.line(slog.Int("n", i))
			}
		})
	}
	for _, name := range []string{"1.log", "2.log", "3.log"} {
		r.Use(r.open(t, telemetry.AccessSettings{Path: filepath.Join(dir, name), Format: "json"}))
		if err := r.Reopen(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	r.end()
	lines := 0
	for _, name := range []string{"0.log", "1.log", "2.log", "3.log"} {
		for line := range strings.Lines(read(t, filepath.Join(dir, name))) {
			if lines++; !json.Valid([]byte(line)) {
				t.Fatalf("line %q", line)
			}
		}
	}
	if got := lines + int(r.dropped.Load()); got != workers*each {
		t.Errorf("%d lines and %d dropped, want %d together", lines, r.dropped.Load(), workers*each)
	}
}
