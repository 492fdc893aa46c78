package credfile_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"leasehold/internal/autoauth/credfile"
)

// With nothing read yet, what was there when the watch began is no news; what comes after it is.
func TestNote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret-id")
	put := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("one that nobody has read")
	removed := credfile.New("secret ID", path, slog.New(slog.DiscardHandler), credfile.Options{Remove: true})
	if removed.Note(); !removed.Changed() {
		t.Error("a file that is removed after reading is there, and so new")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f := credfile.New("secret ID", path, slog.New(slog.DiscardHandler), credfile.Options{})
	f.Note() // there is no file: the one that appears is new
	put("first")
	if !f.Changed() {
		t.Error("a file that has appeared is no change")
	}
	f.Note()
	if f.Changed() {
		t.Error("what was noted is a change")
	}
	put("second")
	if !f.Changed() {
		t.Error("another content than was noted is no change")
	}
	if _, err := f.Read(); err != nil {
		t.Fatal(err)
	}
	f.Note() // says no more
	put("first")
	if !f.Changed() {
		t.Error("what was noted once is not news after something else was read")
	}
}
