package daemon_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/daemon"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

func TestPIDFile(t *testing.T) {
	mine := fmt.Sprint(os.Getpid())
	for title, tc := range map[string]struct {
		before func(path string) error
		during func(path string) error
		left   string // "" means no file
	}{
		"none before":        {nil, nil, ""},
		"a stale one":        {func(p string) error { return os.WriteFile(p, []byte("123456789\n"), 0o644) }, nil, ""},
		"taken by another":   {nil, func(p string) error { return os.WriteFile(p, []byte("7"), 0o600) }, "7"},
		"another's new file": {nil, func(p string) error { _ = os.Remove(p); return os.WriteFile(p, []byte("7"), 0o600) }, "7"},
		"removed meanwhile":  {nil, os.Remove, ""},
	} {
		t.Run(title, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pid")
			if tc.before != nil {
				if err := tc.before(path); err != nil {
					t.Fatal(err)
				}
			}
			cfg := parse(t, fmt.Sprintf("pid_file = %q\nvault { address = %q }\n", path, vaulttest.NewServer(t).URL)+listenerAndCache)
			r := run(t, cfg, daemon.Options{})
			if text, err := os.ReadFile(path); err != nil || string(text) != mine {
				t.Errorf("pid file = %q, %v", text, err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("pid file = %v, %v, want mode 0600", info, err)
			}
			if tc.during != nil {
				if err := tc.during(path); err != nil {
					t.Fatal(err)
				}
			}
			r.stop()
			if err := <-r.done; err != nil {
				t.Error(err)
			}
			if text, err := os.ReadFile(path); string(text) != tc.left || os.IsNotExist(err) != (tc.left == "") {
				t.Errorf("left = %q, %v, want %q", text, err, tc.left)
			}
		})
	}
}

// What is no file is not written over, and the daemon does not start.
func TestPIDFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	for title, path := range map[string]string{"a link": link, "a directory": dir, "a device": os.DevNull, "in no directory": filepath.Join(dir, "none", "pid")} {
		t.Run(title, func(t *testing.T) {
			cfg := parse(t, fmt.Sprintf("pid_file = %q\nvault { address = %q }\n", path, vaulttest.NewServer(t).URL)+listenerAndCache)
			err := daemon.Run(context.Background(), cfg, daemon.Options{Log: slog.New(slog.DiscardHandler), Token: vault.NewToken(vaulttest.RootToken)})
			if err == nil || !strings.HasPrefix(err.Error(), "pid_file: Error storing PID: ") || !strings.Contains(err.Error(), "; ") {
				t.Errorf("error = %v", err)
			}
		})
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
		t.Errorf("the file behind the link = %q, %v", text, err)
	}
}
