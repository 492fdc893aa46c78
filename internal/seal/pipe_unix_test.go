//go:build unix

package seal_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"leasehold/internal/seal"
)

func TestAPipeIsRefusedAndNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenKeyFile(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error = %v", err)
	}
}
