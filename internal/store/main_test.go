package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"leasehold/internal/seal"
	"leasehold/internal/store"
)

func TestMain(m *testing.M) {
	if child, ok := children[os.Getenv("LEASEHOLD_TEST_CHILD")]; ok {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// children are what this binary does in the place of tests when LEASEHOLD_TEST_CHILD names one, in a directory with a bench.
var children = map[string]func() error{}

// strict makes errors of everything that is otherwise overlooked.
var strict = store.Options{ExitOnErr: true}

// bench is a directory with a key, and a place for a state file.
type bench struct {
	path string // of the state file
	key  *seal.Key
	log  *bytes.Buffer
}

// newBench has the same key each time, so that the same writes give files of the same layout.
func newBench(t testing.TB) *bench {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := benchIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// quickBench is newBench where a commit costs no disk anything, if there is such a place: for tests that open a file thousands of times.
func quickBench(t testing.TB) *bench {
	t.Helper()
	b := newBench(t)
	if dir, err := os.MkdirTemp("/dev/shm", "leasehold-test-"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		b.path = filepath.Join(dir, "state.db")
	}
	return b
}

// benchIn makes a new key if there is none.
func benchIn(dir string) (*bench, error) {
	key, err := seal.OpenKeyFile(filepath.Join(dir, "key"))
	return &bench{path: filepath.Join(dir, "state.db"), key: key, log: new(bytes.Buffer)}, err
}

// try opens the state file.
func (b *bench) try(o store.Options) (*store.Store, error) {
	if o.Identity == "" {
		o.Identity = "vault and login"
	}
	o.Protection = "file"
	return store.Open(context.Background(), b.path, seal.Local(b.key), slog.New(slog.NewTextHandler(b.log, nil)), o)
}

// open opens the state file, and closes it with the test.
func (b *bench) open(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := b.try(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// aside returns what was set aside.
func (b *bench) aside(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(b.path + ".bad-*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func id(name string) [32]byte { return sha256.Sum256([]byte(name)) }

// put is a change that stores name=value.
func put(name, value string) store.Change {
	return store.Change{ID: id(name), Plain: []byte(name + "=" + value)}
}

func write(t testing.TB, s *store.Store, changes ...store.Change) {
	t.Helper()
	if err := s.Write(context.Background(), changes...); err != nil {
		t.Error(err) // not Fatal: tests write from many goroutines
	}
}

func closeStore(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// read returns the records of put as a map.
func read(s *store.Store) (records map[string]string, skipped int, err error) {
	records = map[string]string{}
	skipped, err = s.Each(func(plain []byte) (bool, error) {
		name, value, _ := strings.Cut(string(plain), "=")
		records[name] = value
		return true, nil
	})
	return records, skipped, err
}

// expect checks that the store holds just these records, all readable.
func expect(t testing.TB, s *store.Store, want map[string]string) {
	t.Helper()
	got, skipped, err := read(s)
	if err != nil || skipped != 0 {
		t.Fatalf("%d records skipped, %v", skipped, err)
	}
	if !maps.Equal(got, want) {
		t.Fatalf("it holds %d records %.200v, want %d: %.200v", len(got), got, len(want), want)
	}
}

// content returns the bytes of the state file.
func (b *bench) content(t testing.TB) []byte {
	t.Helper()
	content, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// replace gives the state file another content, in place: a new file would be flushed to disk each time. Nothing is written ahead of it.
func (b *bench) replace(t testing.TB, content []byte) {
	t.Helper()
	if err := os.Remove(b.path + ".wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	f, err := os.OpenFile(b.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(content, 0)
	if err := errors.Join(err, f.Truncate(int64(len(content))), f.Close()); err != nil {
		t.Fatal(err)
	}
}
