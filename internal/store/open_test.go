package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"leasehold/internal/store"
)

func TestABadFileIsSetAside(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil  func(t *testing.T, b *bench)
		reason string
	}{
		"text":                 {func(t *testing.T, b *bench) { b.replace(t, bytes.Repeat([]byte("no database\n"), 4000)) }, "not a state file"},
		"a few bytes":          {func(t *testing.T, b *bench) { b.replace(t, []byte("x")) }, "not a state file"},
		"zeros":                {func(t *testing.T, b *bench) { b.replace(t, make([]byte, 32<<10)) }, "not a state file"},
		"cut short":            {func(t *testing.T, b *bench) { b.replace(t, b.content(t)[:10_000]) }, "damaged"},
		"sealed with another":  {func(t *testing.T, b *bench) { b.newKey(t) }, "sealed with another key"},
		"without its key":      {func(t *testing.T, b *bench) { b.setMeta(t, "key", "") }, `sealed with another key (it was begun with persist "file")`},
		"of another Vault":     {func(t *testing.T, b *bench) { b.setMeta(t, "identity", "") }, "belongs to another Vault or another login"},
		"without its state":    {func(t *testing.T, b *bench) { b.setMeta(t, "state", "") }, "its state cannot be read"},
		"of a wrong state":     {func(t *testing.T, b *bench) { b.setMeta(t, "state", strings.Repeat("\xff", 53)) }, "its state cannot be read"},
		"of a state of no one": {func(t *testing.T, b *bench) { b.setMeta(t, "state", strings.Repeat("\x00", 53)) }, "its state cannot be read"},
		"of an older format":   {func(t *testing.T, b *bench) { b.setMeta(t, "format", "1") }, `of format "1", which an older version has written; this one reads "2"`},
		"of a newer format":    {func(t *testing.T, b *bench) { b.setMeta(t, "format", "3") }, `of format "3", which a newer version has written; this one reads "2"`},
		"of an unheard format": {func(t *testing.T, b *bench) { b.setMeta(t, "format", "") }, `of format ""`},
		"another's database": {func(t *testing.T, b *bench) { // as Vault Agent's cache begins
			b.replace(t, nil)
			db, err := bbolt.Open(b.path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Update(func(tx *bbolt.Tx) error {
				meta, err := tx.CreateBucket([]byte("meta"))
				if err != nil {
					return err
				}
				return meta.Put([]byte("version"), []byte("2"))
			}); err != nil {
				t.Fatal(err)
			}
		}, "not a state file of Leasehold"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := b.open(t, strict)
			write(t, s, put("a", "1"))
			closeStore(t, s)
			tc.spoil(t, b)
			spoilt := b.content(t)

			_, err := b.try(strict)
			if err == nil || !strings.Contains(err.Error(), tc.reason) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("with ExitOnErr: %v", err)
			}
			if len(b.aside(t)) != 0 || b.log.Len() > 0 {
				t.Errorf("with ExitOnErr it set aside %v and logged %s", b.aside(t), b.log)
			}

			s = b.open(t, store.Options{})
			expect(t, s, map[string]string{})
			write(t, s, put("b", "2"))
			closeStore(t, s)
			expect(t, b.open(t, strict), map[string]string{"b": "2"})

			aside := b.aside(t)
			if len(aside) != 1 {
				t.Fatalf("set aside: %v, want one file", aside)
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, spoilt) {
				t.Errorf("what was set aside is not the file that was there, %v", err)
			}
			log := b.log.String()
			if strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=WARN") || !strings.Contains(log, aside[0]) {
				t.Errorf("log = %s\nwant one warning that names %s", log, aside[0])
			}
		})
	}
}

func (b *bench) newKey(t *testing.T) {
	t.Helper()
	other, err := benchIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b.key = other.key
}

func (b *bench) setMeta(t *testing.T, key, value string) {
	t.Helper()
	b.withRecords(t, "meta", func(meta *bbolt.Bucket) error { return meta.Put([]byte(key), []byte(value)) })
}

func TestAnInterruptedBeginningIsANewFile(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, path string){
		"created": func(t *testing.T, path string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a database without buckets": func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			db.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			begin(t, b.path)
			s := b.open(t, strict)
			write(t, s, put("a", "1"))
			expect(t, s, map[string]string{"a": "1"})
		})
	}
}

func TestAFileInUseIsRefused(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	write(t, s, put("a", "1"))
	synctest.Test(t, func(t *testing.T) { // the lock is polled, so the wait is the bubble's
		start := time.Now()
		_, err := b.try(store.Options{})
		if err == nil || !strings.Contains(err.Error(), "another process holds it; stop that process, or choose another path") {
			t.Errorf("error = %v", err)
		}
		if waited := time.Since(start); waited > time.Second {
			t.Errorf("it waited %v, want 1 s at most", waited)
		}
	})
	if len(b.aside(t)) != 0 {
		t.Error("a file in use was set aside")
	}
	write(t, s, put("b", "2"))
	expect(t, s, map[string]string{"a": "1", "b": "2"})
}

func TestAWrongPathIsRefusedWithARemedy(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"no such directory":        {filepath.Join(dir, "none", "state.db"), "none does not exist; create it"},
		"a directory":              {dir, "it is not a regular file; name one"},
		"a file for the directory": {filepath.Join(dir, "file", "state.db"), "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.path = tc.path
			if _, err := b.try(store.Options{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %s", err, tc.want)
			}
			if len(b.aside(t)) != 0 {
				t.Error("something was set aside")
			}
		})
	}
}

func TestProbeSaysWhatOpenWould(t *testing.T) {
	b := newBench(t)
	if err := store.Probe(b.path, strict); err != nil {
		t.Errorf("a file that is to be made: %v", err)
	}
	s := b.open(t, strict)
	if err := store.Probe(b.path, strict); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a file in use: %v", err)
	}
	if err := store.Probe(b.path, store.Options{}); err != nil {
		t.Errorf("a file in use that may be done without: %v", err)
	}
	closeStore(t, s)
	if err := store.Probe(b.path, strict); err != nil {
		t.Errorf("a good file: %v", err)
	}
	b.replace(t, bytes.Repeat([]byte("no database\n"), 4000))
	if err := store.Probe(b.path, strict); err == nil || !strings.Contains(err.Error(), "not a state file") {
		t.Errorf("a bad file: %v", err)
	}
	if err := store.Probe(filepath.Join(b.path, "x", "state.db"), store.Options{}); err == nil {
		t.Error("no word about a path that cannot be")
	}
}
