package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"leasehold/internal/store"
)

func TestRecordsOutliveARestart(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	expect(t, s, map[string]string{})
	write(t, s, put("a", "1"), put("b", "2"))
	write(t, s, put("c", strings.Repeat("large", 100_000)))
	write(t, s, put("a", "3")) // in place (CCH-45)
	write(t, s, store.Change{ID: id("b")}, store.Change{ID: id("never there")})
	want := map[string]string{"a": "3", "c": strings.Repeat("large", 100_000)}
	expect(t, s, want)
	for range 3 {
		closeStore(t, s)
		s = b.open(t, strict)
		expect(t, s, want)
	}
	if b.log.Len() > 0 {
		t.Errorf("it logged %s", b.log)
	}
}

func TestChangesOfOneCallApplyInTheirOrder(t *testing.T) {
	s := newBench(t).open(t, strict)
	write(t, s, put("a", "1"), put("a", "2"), put("b", "1"), store.Change{ID: id("b")}, store.Change{ID: id("c")}, put("c", "1"))
	expect(t, s, map[string]string{"a": "2", "c": "1"})
}

func TestARecordMayBeEmpty(t *testing.T) {
	s := newBench(t).open(t, strict)
	write(t, s, store.Change{ID: id("a"), Plain: []byte{}})
	expect(t, s, map[string]string{"": ""})
}

func TestNoChangesNeedNoCommit(t *testing.T) {
	s := newBench(t).open(t, strict)
	write(t, s)
	if n := s.Stats().Commits; n != 0 {
		t.Errorf("%d commits", n)
	}
}

func TestPlainIsTheCallersAgainAfterWrite(t *testing.T) {
	s := newBench(t).open(t, strict)
	plain := []byte("a=1")
	write(t, s, store.Change{ID: id("a"), Plain: plain})
	copy(plain, "???")
	expect(t, s, map[string]string{"a": "1"})
}

func TestTooLargeARecordFailsAlone(t *testing.T) {
	s := newBench(t).open(t, strict)
	write(t, s, put("a", "1"))
	err := s.Write(context.Background(), put("a", "2"), store.Change{ID: id("b"), Plain: make([]byte, 64<<20+1)})
	if err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("error = %v", err)
	}
	expect(t, s, map[string]string{"a": "1"})
}

func TestEachEndsWithTheFirstError(t *testing.T) {
	s := newBench(t).open(t, strict)
	write(t, s, put("a", "1"), put("b", "2"))
	enough, calls := errors.New("enough"), 0
	if _, err := s.Each(func([]byte) (bool, error) { calls++; return true, enough }); err != enough || calls != 1 {
		t.Errorf("%d calls, error = %v", calls, err)
	}
	write(t, s, put("a", strings.Repeat("grown", 100_000))) // nothing is locked
}

func TestAPanicInEachIsTheCallers(t *testing.T) {
	s := newBench(t).open(t, strict)
	write(t, s, put("a", "1"))
	func() {
		defer func() {
			if r := recover(); r != "mine" {
				t.Errorf("recovered %v", r)
			}
		}()
		_, _ = s.Each(func([]byte) (bool, error) { panic("mine") })
	}()
	write(t, s, put("a", strings.Repeat("grown", 100_000)))
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := newBench(t).open(t, strict)
	closeStore(t, s)
	if err := s.Write(context.Background(), put("a", "1")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if _, err := s.Each(func([]byte) (bool, error) { return true, nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Each: %v", err)
	}
	closeStore(t, s) // once more
}

func TestNothingInTheFileIsReadable(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	for i := range 50 { // also in pages that have become free
		write(t, s, put("name-of-an-entry", fmt.Sprint("hvs.secret-token-", i)), put("another", "password"))
	}
	write(t, s, store.Change{ID: id("another")})
	closeStore(t, s)
	raw := b.content(t)
	name, secret := id("name-of-an-entry"), b.key.Derive("state file record keys")
	for what, trace := range map[string][]byte{
		"a token": []byte("hvs."), "a name": []byte("name-of"), "a deleted record": []byte("password"), "an id": name[:8], "a key": secret[:8],
	} {
		if bytes.Contains(raw, trace) {
			t.Errorf("%s can be read in the file", what)
		}
	}
}

func TestTheFileIsForItsOwnerOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such bits")
	}
	b := newBench(t)
	mode := func() os.FileMode {
		info, err := os.Stat(b.path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode()
	}
	closeStore(t, b.open(t, strict))
	if got := mode(); got != 0o600 {
		t.Errorf("a new file has mode %v", got)
	}
	if err := os.Chmod(b.path, 0o644); err != nil {
		t.Fatal(err)
	}
	closeStore(t, b.open(t, strict))
	if got := mode(); got != 0o600 {
		t.Errorf("a file with mode 0644 has then %v", got)
	}
}

// withRecords changes the sealed records of a file that nobody has open.
func (b *bench) withRecords(t *testing.T, bucket string, change func(*bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(b.path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error { return change(tx.Bucket([]byte(bucket))) }); err != nil {
		t.Fatal(err)
	}
}

func TestABadRecordCostsThatRecord(t *testing.T) {
	first := func(r *bbolt.Bucket) (key, value []byte) {
		key, value = r.Cursor().First()
		return bytes.Clone(key), bytes.Clone(value)
	}
	for name, tc := range map[string]struct {
		change func(*bbolt.Bucket) error
		left   int // of three
		bad    int
	}{
		"changed": {func(r *bbolt.Bucket) error {
			key, value := first(r)
			value[len(value)/2] ^= 1
			return r.Put(key, value)
		}, 2, 1},
		"cut short": {func(r *bbolt.Bucket) error {
			key, value := first(r)
			return r.Put(key, value[:5])
		}, 2, 1},
		"empty": {func(r *bbolt.Bucket) error {
			key, _ := first(r)
			return r.Put(key, nil)
		}, 2, 1},
		"in another's place": {func(r *bbolt.Bucket) error {
			_, value := first(r)
			key, _ := r.Cursor().Last()
			return r.Put(bytes.Clone(key), value)
		}, 2, 1},
		"under a key of another form": {func(r *bbolt.Bucket) error {
			_, value := first(r)
			return r.Put([]byte("k"), value)
		}, 3, 1},
		"all": {func(r *bbolt.Bucket) error {
			return errors.Join(r.ForEach(func(key, _ []byte) error { return r.Put(bytes.Clone(key), []byte("bad")) }))
		}, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := b.open(t, strict)
			all := map[string]string{"a": "1", "b": "2", "c": "3"}
			for name, value := range all {
				write(t, s, put(name, value))
			}
			closeStore(t, s)
			b.withRecords(t, "records", tc.change)

			s = b.open(t, strict)
			if _, err := s.Each(func([]byte) (bool, error) { return true, nil }); err == nil || !strings.Contains(err.Error(), "move the file away") {
				t.Errorf("with ExitOnErr: %v", err)
			}
			closeStore(t, s)

			s = b.open(t, store.Options{})
			got, skipped, err := read(s)
			if err != nil || skipped != tc.bad || len(got) != tc.left {
				t.Errorf("%d skipped and %d read, %v; want %d and %d", skipped, len(got), err, tc.bad, tc.left)
			}
			for name, value := range got {
				if all[name] != value {
					t.Errorf("%s = %q, want %q", name, value, all[name])
				}
			}
			closeStore(t, s)
			expect(t, b.open(t, strict), maps.Clone(got)) // the bad one is gone
			if n := len(b.aside(t)); n != 0 {
				t.Errorf("%d files were set aside", n)
			}
		})
	}
}
