package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"leasehold/internal/seal"
	"leasehold/internal/store"
)

// inspect returns what the file of a closed or crashed store holds.
func (b *bench) inspect(t testing.TB) store.Report {
	t.Helper()
	r, err := store.Inspect(context.Background(), b.path, seal.Local(b.key), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each start has a data key of its own, and so has each so many records.
func TestDataKeysRotate(t *testing.T) {
	b := newBench(t)
	want := map[string]string{}
	last := uint32(0)
	for start := range 3 {
		s := b.open(t, strict)
		expect(t, s, want)
		name := fmt.Sprint("of start ", start)
		write(t, s, put(name, "1"))
		want[name] = "1"
		closeStore(t, s)
		r := b.inspect(t)
		if r.Generation <= last || r.OlderGenerations != start {
			t.Errorf("start %d: generation %d after %d, %d records are older", start, r.Generation, last, r.OlderGenerations)
		}
		last = r.Generation
	}
	s := b.open(t, store.Options{ExitOnErr: true, RotateAt: 10})
	for i := range 100 {
		name := fmt.Sprint("record ", i)
		write(t, s, put(name, "1"))
		want[name] = "1"
	}
	expect(t, s, want)
	c := b.crash(t)
	expect(t, c.open(t, strict), want)
	closeStore(t, s)
	if r := b.inspect(t); r.Generation < last+10 || r.OlderGenerations < 80 {
		t.Errorf("100 records, 10 for each data key: generation %d after %d, %d records are older", r.Generation, last, r.OlderGenerations)
	}

	// They are sealed anew little by little.
	s = b.open(t, strict)
	if err := s.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, s, want)
	closeStore(t, s)
	if r := b.inspect(t); r.OlderGenerations != 0 || r.Records != len(want) {
		t.Errorf("%d of %d records are still sealed with older data keys", r.OlderGenerations, r.Records)
	}
}

// What is written while old records are sealed anew is not undone by it.
func TestSealingAnewUndoesNothing(t *testing.T) {
	b := quickBench(t)
	s := b.open(t, strict)
	var all []store.Change
	for i := range 2000 {
		all = append(all, put(fmt.Sprint(i), "1"))
	}
	write(t, s, all...)
	closeStore(t, s)
	s = b.open(t, strict)
	want := map[string]string{}
	var writers sync.WaitGroup
	writers.Go(func() {
		for i := range 2000 {
			if i%2 == 0 {
				write(t, s, store.Change{ID: id(fmt.Sprint(i))})
			} else {
				write(t, s, put(fmt.Sprint(i), "2"))
			}
		}
	})
	for range 20 {
		if err := s.Tidy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	writers.Wait()
	for i := range 2000 {
		if i%2 == 1 {
			want[fmt.Sprint(i)] = "2"
		}
	}
	expect(t, s, want)
}

func TestAFileThatIsMostlyFreeIsCompacted(t *testing.T) {
	b := quickBench(t)
	s := b.open(t, strict)
	want := map[string]string{}
	var puts, deletes []store.Change
	for i := range 4000 {
		name := fmt.Sprint("record ", i)
		puts = append(puts, put(name, strings.Repeat("x", 1000)))
		if i%10 == 0 {
			want[name] = strings.Repeat("x", 1000)
		} else {
			deletes = append(deletes, store.Change{ID: id(name)})
		}
	}
	write(t, s, puts...)
	if err := s.Tidy(t.Context()); err != nil || s.Stats().Compactions != 0 {
		t.Fatalf("%d compactions of a full file, %v", s.Stats().Compactions, err)
	}
	full := s.Stats().FileBytes
	write(t, s, deletes...)
	before := b.crash(t)

	// Writers go on, and hold the file's lock all the time.
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		name := fmt.Sprint("writer ", w)
		want[name] = "last"
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					write(t, s, put(name, "last"))
					return
				default:
					write(t, s, put(name, fmt.Sprint(n)))
				}
			}
		})
	}
	err := s.Tidy(t.Context())
	close(stop)
	writers.Wait()
	if err != nil || s.Stats().Compactions != 1 {
		t.Fatalf("%d compactions, %v", s.Stats().Compactions, err)
	}
	expect(t, s, want)
	if small := s.Stats().FileBytes; small > full/4 {
		t.Errorf("a tenth of the records takes %d of %d bytes", small, full)
	}
	if !strings.Contains(b.log.String(), "state file compacted") {
		t.Errorf("log = %s", b.log)
	}
	after := b.crash(t)
	expect(t, after.open(t, strict), want)
	for name := range want {
		if strings.HasPrefix(name, "writer") {
			delete(want, name)
		}
	}
	expect(t, before.open(t, strict), want)
	if _, err := b.try(strict); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the compacted file is not locked: %v", err)
	}
	closeStore(t, s)
}

// A compaction that was interrupted leaves a file that nobody needs.
func TestAnInterruptedCompactionChangesNothing(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	write(t, s, put("a", "1"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Compact(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	if err := os.WriteFile(b.path+".compact", []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, s, map[string]string{"a": "1"})
	c := b.crash(t)
	expect(t, c.open(t, strict), map[string]string{"a": "1"})
	for range 2 {
		if err := s.Compact(t.Context()); err != nil {
			t.Error(err)
		}
		write(t, s, put("a", "2"))
		expect(t, s, map[string]string{"a": "2"})
	}
}

// Free pages are used again: what comes and goes does not make the file grow.
func TestTheFileDoesNotGrowWithWhatComesAndGoes(t *testing.T) {
	b := quickBench(t)
	s := b.open(t, strict)
	size := int64(0)
	for round := range 40 {
		var puts, deletes []store.Change
		for i := range 500 {
			name := fmt.Sprint(round, " ", i)
			puts = append(puts, put(name, strings.Repeat("x", 1000)))
			deletes = append(deletes, store.Change{ID: id(name)})
		}
		write(t, s, puts...)
		write(t, s, deletes...)
		if err := s.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round == 4 {
			size = s.Stats().FileBytes
		}
	}
	if now := s.Stats(); now.FileBytes > 2*size || now.WALBytes > 8<<20 {
		t.Errorf("after 40 rounds the file has %d bytes, after 5 %d; ahead of it %d", now.FileBytes, size, now.WALBytes)
	}
}

func TestRunLooksAfterTheFile(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		s := b.open(t, strict)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		write(t, s, put("a", "1"))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := s.Stats().Checkpoints; n != 1 {
			t.Errorf("%d checkpoints after two minutes, want 1: what is written ahead moves on", n)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		closeStore(t, s)
	})
}

func TestWhatIsDiscardedNeverComesBack(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	secret := s.Secret("requests")
	write(t, s, put("a", "1"))
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(); err != nil {
		t.Errorf("once more: %v", err)
	}
	expect(t, s, map[string]string{})
	c := b.crash(t)
	expect(t, c.open(t, strict), map[string]string{})
	if err := s.Tidy(t.Context()); err != nil && !errors.Is(err, store.ErrClosed) {
		t.Errorf("Tidy without a file: %v", err)
	}
	write(t, s, put("b", "2"))
	expect(t, s, map[string]string{"b": "2"})
	if s.Secret("requests") != secret {
		t.Error("the secret of the file has changed: no restored request would be found again")
	}
	after := b.crash(t)
	again := after.open(t, strict)
	expect(t, again, map[string]string{"b": "2"})
	if again.Secret("requests") != secret {
		t.Error("the secret of the new file is another")
	}
}

func TestADiscardedStoreCanBeClosed(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if _, err := os.Stat(b.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

// away is a KMS that does not answer.
type away struct{ why error }

func (a away) Wrap(context.Context, []byte) ([]byte, error)   { return nil, a.why }
func (a away) Unwrap(context.Context, []byte) ([]byte, error) { return nil, a.why }

// A key that cannot be asked for leaves everything as it is.
func TestAKeyThatCannotBeAskedForLeavesTheFileAlone(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	write(t, s, put("a", "1"))
	closeStore(t, s)
	why := errors.New("connection refused")
	if _, err := store.Open(t.Context(), b.path, away{why}, nil, store.Options{}); !errors.Is(err, why) {
		t.Errorf("an existing file: %v", err)
	}
	expect(t, b.open(t, store.Options{}), map[string]string{"a": "1"})
	other := filepath.Join(t.TempDir(), "state.db")
	if _, err := store.Open(t.Context(), other, away{why}, nil, store.Options{}); !errors.Is(err, why) {
		t.Errorf("a new file: %v", err)
	}
	s, err := store.Open(t.Context(), other, seal.Local(b.key), nil, store.Options{})
	if err != nil {
		t.Fatalf("after it: %v", err)
	}
	closeStore(t, s)
}

func TestInspectTellsWhatTheFileHolds(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	for i := range 50 {
		write(t, s, put(fmt.Sprint("hvs.token-", i), strings.Repeat("x", 100+i)))
	}
	write(t, s, store.Change{ID: id("hvs.token-0")})
	if _, err := store.Inspect(t.Context(), b.path, nil, nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a file in use: %v", err)
	}
	crashed := b.crash(t)
	var names [][]byte
	r, err := store.Inspect(t.Context(), crashed.path, seal.Local(b.key), func(plain []byte) { names = append(names, bytes.Clone(plain)) })
	if err != nil || r.Records != 49 || len(names) != 49 || r.Ahead != 51 || r.Closed || r.Unreadable != 0 || r.Protection != "file" || r.Format != "2" {
		t.Errorf("after a crash: %+v, %d visited, %v", r, len(names), err)
	}
	closeStore(t, s)
	whole := b.content(t)
	r, err = store.Inspect(t.Context(), b.path, nil, nil)
	if err != nil || r.Records != 49 || !r.Closed || r.Opened || r.Size != int64(len(whole)) || r.LargestRecord < 150 {
		t.Errorf("without the key: %+v, %v", r, err)
	}
	if !bytes.Equal(whole, b.content(t)) {
		t.Error("Inspect has changed the file")
	}
	b.withRecords(t, "records", func(r *bbolt.Bucket) error {
		key, _ := r.Cursor().First()
		return r.Put(bytes.Clone(key), []byte("bad"))
	})
	if r := b.inspect(t); r.Unreadable != 1 {
		t.Errorf("a record is bad, and the report says %+v", r)
	}
	b.newKey(t)
	for name, c := range map[string]struct {
		path string
		want string
	}{
		"another key":   {b.path, "sealed with another key"},
		"no such file":  {b.path + "x", "no such file"},
		"no state file": {b.textFile(t), "not a state file"},
	} {
		if _, err := store.Inspect(t.Context(), c.path, seal.Local(b.key), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (b *bench) textFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, bytes.Repeat([]byte("text "), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
