package file_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/autoauth/sink/file"
	"leasehold/internal/vault"
)

func open(t *testing.T, path string, o file.Options) *file.Sink {
	t.Helper()
	s, err := file.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func store(t *testing.T, s *file.Sink, token string) {
	t.Helper()
	if err := s.Write(context.Background(), vault.NewToken(token)); err != nil {
		t.Fatal(err)
	}
}

// names lists what is in a directory.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestWriteReplacesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	s := open(t, path, file.Options{})
	if got := names(t, dir); got != "" {
		t.Errorf("Open left %s", got)
	}
	for _, token := range []string{"hvs.a-rather-long-token", "hvs.b"} {
		store(t, s, token)
		if got, err := os.ReadFile(path); err != nil || string(got) != token {
			t.Errorf("file holds %q (%v), want the bare token %q", got, err, token)
		}
		if got := names(t, dir); got != "token" {
			t.Errorf("Write left %s", got)
		}
	}
}

func TestAReaderKeepsTheTokenItOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	s := open(t, path, file.Options{})
	store(t, s, "hvs.old")
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	store(t, s, "hvs.new")
	var b [20]byte
	if n, _ := reader.Read(b[:]); string(b[:n]) != "hvs.old" {
		t.Errorf("the open file holds %q now: it was written in place", b[:n])
	}
}

func TestOpenLeavesTheTokenOfAnEarlierRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	store(t, open(t, path, file.Options{}), "hvs.earlier")
	open(t, path, file.Options{})
	if got, err := os.ReadFile(path); err != nil || string(got) != "hvs.earlier" {
		t.Errorf("file holds %q (%v)", got, err)
	}
}

func TestOpenRemovesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"token.tmp.0123abcd", "token.tmp.ffffffff", "token.tmp.notours1", "token.tmp.0123abcd9", "other.tmp.0123abcd", "token"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, filepath.Join(dir, "token"), file.Options{})
	if got, want := names(t, dir), "other.tmp.0123abcd token token.tmp.0123abcd9 token.tmp.notours1"; got != want {
		t.Errorf("left: %s\nwant: %s", got, want)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	regular := filepath.Join(dir, "regular")
	if err := os.WriteFile(regular, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		path string
		o    file.Options
		want string
	}{
		"no parent":          {path: filepath.Join(dir, "absent", "token"), want: "create the directory"},
		"parent is a file":   {path: filepath.Join(regular, "token"), want: "not a directory"},
		"target a directory": {path: dir, want: "it is a directory; name a file in it"},
		"unknown owner":      {path: filepath.Join(dir, "token"), o: file.Options{Owner: "nobody-by-this-name"}, want: "owner: "},
		"unknown group":      {path: filepath.Join(dir, "token"), o: file.Options{Group: "nobody-by-this-name"}, want: "group: "},
	} {
		t.Run(name, func(t *testing.T) {
			before := names(t, dir)
			_, err := file.Open(tc.path, tc.o)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("Open = %v, want ...%s... and the path", err, tc.want)
			}
			if after := names(t, dir); after != before {
				t.Errorf("Open left %s", after)
			}
		})
	}
}

func TestAFailedWriteLeavesNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	s := open(t, path, file.Options{})
	if err := os.MkdirAll(filepath.Join(path, "x"), fs.ModePerm); err != nil { // a rename cannot replace it
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), vault.NewToken("hvs.1")); err == nil || strings.Contains(err.Error(), "hvs.1") {
		t.Errorf("Write = %v, want an error without the token", err)
	}
	if got := names(t, dir); got != "token" {
		t.Errorf("Write left %s", got)
	}
}

func TestWriteHeedsItsContext(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "token"), file.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Write(ctx, vault.NewToken("hvs.1")); err == nil {
		t.Error("Write after the end succeeded")
	}
	if got := names(t, dir); got != "" {
		t.Errorf("it wrote %s", got)
	}
}

func TestStoreTakesAnyContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	s := open(t, path, file.Options{})
	const content = "{\"token\":\"hvs.wrapping\"}\n"
	if err := s.Store(t.Context(), []byte(content)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("file holds %q (%v), want %q", got, err, content)
	}
}

// Each attempt begins anew, so that what is repaired while Leasehold runs needs no restart.
func TestWritesSayWhatToDoAndComeBack(t *testing.T) {
	for name, tc := range map[string]struct {
		harm, repair func(dir, path string) error
		want         string
	}{
		"the directory is gone": {
			harm:   func(dir, _ string) error { return os.RemoveAll(dir) },
			repair: func(dir, _ string) error { return os.Mkdir(dir, 0o700) },
			want:   "create the directory",
		},
		"the directory is a file": {
			harm: func(dir, _ string) error {
				if err := os.RemoveAll(dir); err != nil {
					return err
				}
				return os.WriteFile(dir, nil, 0o600)
			},
			repair: func(dir, _ string) error {
				if err := os.Remove(dir); err != nil {
					return err
				}
				return os.Mkdir(dir, 0o700)
			},
			want: "is not a directory: choose a path in one",
		},
		"a directory in its place": {
			harm: func(_, path string) error {
				if err := os.Remove(path); err != nil {
					return err
				}
				return os.MkdirAll(filepath.Join(path, "x"), fs.ModePerm)
			},
			repair: func(_, path string) error { return os.RemoveAll(path) },
			want:   "remove the directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			path := filepath.Join(dir, "token")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s := open(t, path, file.Options{})
			store(t, s, "hvs.old")
			if err := tc.harm(dir, path); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err := s.Write(t.Context(), vault.NewToken("hvs.new"))
				if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "hvs.") {
					t.Errorf("Write = %v, want ...%s..., with the path and without the token", err, tc.want)
				}
			}
			if err := tc.repair(dir, path); err != nil {
				t.Fatal(err)
			}
			store(t, s, "hvs.new")
			if got, err := os.ReadFile(path); err != nil || string(got) != "hvs.new" || names(t, dir) != "token" {
				t.Errorf("file holds %q (%v), beside %s", got, err, names(t, dir))
			}
		})
	}
}
