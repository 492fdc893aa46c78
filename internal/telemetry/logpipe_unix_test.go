//go:build unix

package telemetry_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"leasehold/internal/telemetry"
)

func newPipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A start does not wait for somebody who reads.
func TestAPipeWithoutReader(t *testing.T) {
	if l, err := telemetry.OpenLogs(os.Stderr, telemetry.LogSettings{File: newPipe(t)}); err == nil {
		t.Error("opened", l.Close())
	}
}

// Nor does the process wait for a reader that has stopped reading.
func TestAPipeWhoseReaderHangs(t *testing.T) {
	path := newPipe(t)
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	l, stderr := openLogs(t, telemetry.LogSettings{File: path, RotateBytes: 1})
	long := strings.Repeat("x", 4<<10)
	for range 100 { // more than any pipe holds by default
		l.Logger().Info("said", slog.String("long", long))
	}
	if got := stderr.String(); strings.Count(got, "said") != 100 || strings.Count(got, "log_file cannot be written") != 1 {
		t.Errorf("standard error has %d lines of 100, and %d warnings", strings.Count(got, "said"), strings.Count(got, "log_file cannot be written"))
	}
}
