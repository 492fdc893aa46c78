package credfile_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/autoauth/credfile"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadTrimsAndKeepsTheLastGoodContent(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"still there": func(*testing.T, string) {},
		"missing":     func(t *testing.T, path string) { _ = os.Remove(path) },
		"empty":       func(t *testing.T, path string) { write(t, path, " \n\t") },
		"too large":   func(t *testing.T, path string) { write(t, path, strings.Repeat("x", 1<<20)) },
		"a directory": func(t *testing.T, path string) { _ = os.Remove(path); _ = os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret-id")
			f := credfile.New("secret ID", path, false, slog.New(slog.DiscardHandler))
			write(t, path, "\t s3cr3t\r\n")
			for range 2 {
				if got, err := f.Read(); err != nil || got != "s3cr3t" {
					t.Fatalf("Read = %q, %v", got, err)
				}
				spoil(t, path)
			}
		})
	}
}

func TestReadSaysWhatToDoWhenThereNeverWasAContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret-id")
	var log bytes.Buffer
	f := credfile.New("secret ID", path, true, slog.New(slog.NewTextHandler(&log, nil)))
	_, err := f.Read()
	if err == nil || !strings.Contains(err.Error(), "read the secret ID: ") || !strings.HasSuffix(err.Error(), "; write it to "+path) {
		t.Errorf("Read = %v", err)
	}
	write(t, path, "\n")
	if _, err := f.Read(); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("Read of an empty file = %v", err)
	}
	write(t, path, "late")
	if got, err := f.Read(); err != nil || got != "late" {
		t.Errorf("Read = %q, %v", got, err)
	}
	write(t, path, "new")
	if got, err := f.Read(); err != nil || got != "new" {
		t.Errorf("Read of new content = %q, %v", got, err)
	}
	if log.Len() > 0 {
		t.Errorf("nothing was wrong, yet the log says %s", &log)
	}
}

func TestRemoval(t *testing.T) {
	for name, remove := range map[string]bool{"removed": true, "kept": false} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret-id")
			write(t, path, "s3cr3t")
			f := credfile.New("secret ID", path, remove, slog.New(slog.DiscardHandler))
			if _, err := f.Read(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); os.IsNotExist(err) != remove {
				t.Errorf("after Read: %v", err)
			}
		})
	}
}
