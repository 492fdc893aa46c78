package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/store"
)

// crash returns a bench with what a kill -9 of this moment would leave on disk.
func (b *bench) crash(t testing.TB) *bench {
	t.Helper()
	after := *b
	after.log = new(bytes.Buffer)
	after.path = filepath.Join(t.TempDir(), "state.db")
	for _, suffix := range []string{"", ".wal", ".compact"} {
		content, err := os.ReadFile(b.path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(after.path+suffix, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return &after
}

func TestWhatIsWrittenAheadOutlivesACrash(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	write(t, s, put("a", "1"), put("b", "1"), put("c", "1"))
	write(t, s, put("a", "2"), store.Change{ID: id("b")})
	if s.Stats().Checkpoints != 0 {
		t.Fatal("it was not only written ahead: the test tests nothing")
	}
	after := b.crash(t)
	want := map[string]string{"a": "2", "c": "1"}
	expect(t, s, want)
	for range 3 { // and again, as it is not moved into bbolt by being read
		again := after.open(t, strict)
		expect(t, again, want)
		write(t, again, put("c", "2"))
		want["c"] = "2"
		after = after.crash(t)
	}
	expect(t, after.open(t, strict), want)
	if after.log.Len() > 0 {
		t.Errorf("it logged %s", after.log)
	}
}

func TestAnOrderlyEndLeavesOneFile(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	write(t, s, put("a", "1"))
	closeStore(t, s)
	if names, err := os.ReadDir(filepath.Dir(b.path)); err != nil || len(names) != 2 {
		t.Errorf("beside the key and the file there is more: %v, %v", names, err)
	}
	expect(t, b.open(t, strict), map[string]string{"a": "1"})
}

// A frame whose writing was cut short costs that frame: nobody was told that it is on disk.
func TestATornFrameCostsItself(t *testing.T) {
	b := quickBench(t)
	s := b.open(t, strict)
	write(t, s, put("a", "1"))
	before := b.walContent(t)
	write(t, s, put("a", "2"), put("b", "2"))
	after := b.walContent(t)
	for size := len(before); size <= len(after); size++ {
		c := b.crash(t)
		if err := os.WriteFile(c.path+".wal", after[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"a": "1"}
		if size == len(after) {
			want = map[string]string{"a": "2", "b": "2"}
		}
		torn := c.open(t, strict)
		expect(t, torn, want)
		closeStore(t, torn)
	}
}

func (b *bench) walContent(t testing.TB) []byte {
	t.Helper()
	content, err := os.ReadFile(b.path + ".wal")
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// One that stands before others was acknowledged. What it held is not known, a removal perhaps: so the file is not used.
func TestADamagedFrameBeforeOthersIsDamage(t *testing.T) {
	b := quickBench(t)
	s := b.open(t, strict)
	write(t, s, put("a", "1"))
	first := len(b.walContent(t))
	write(t, s, store.Change{ID: id("a")})
	second := len(b.walContent(t))
	write(t, s, put("c", "1"))
	whole := b.walContent(t)
	for at := range whole {
		for _, flip := range []byte{1 << (at % 8), 0xFF} {
			c := b.crash(t)
			ring := bytes.Clone(whole)
			ring[at] ^= flip
			if err := os.WriteFile(c.path+".wal", ring, 0o600); err != nil {
				t.Fatal(err)
			}
			damaged, err := c.try(strict)
			if at < second {
				if err == nil || !strings.Contains(err.Error(), "damaged: its write-ahead file: frame") {
					t.Fatalf("byte %d of %d, %d and %d: error = %v", at, first, second, len(whole), err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("byte %d: %v", at, err)
			}
			expect(t, damaged, map[string]string{})
			closeStore(t, damaged)
		}
	}
}

// bbolt has all there is in the ring, and a checkpoint is about to say so when a frame is written at the ring's beginning.
func TestAFrameWrittenDuringACheckpointIsNotOverwritten(t *testing.T) {
	b := newBench(t)
	s, err := b.try(strict)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // fails, as bbolt's file is gone by then
	s.ShrinkRing(1500)
	write(t, s, put("a", strings.Repeat("x", 600)))
	if err := s.CatchUp(func() {}); err != nil {
		t.Fatal(err)
	}
	if err := s.CatchUp(func() { write(t, s, put("b", strings.Repeat("x", 800))) }); err != nil {
		t.Fatal(err)
	}
	if err := s.LoseBolt(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), put("c", strings.Repeat("x", 500))); err == nil {
		t.Error("there was room for c, where b stands")
	}
	expect(t, b.crash(t).open(t, strict), map[string]string{"a": strings.Repeat("x", 600), "b": strings.Repeat("x", 800)})
}

func TestAMissingWriteAheadFileIsDamage(t *testing.T) {
	b := newBench(t)
	write(t, b.open(t, strict), put("a", "1"))
	c := b.crash(t)
	if err := os.Remove(c.path + ".wal"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.try(strict); err == nil || !strings.Contains(err.Error(), "its write-ahead file state.db.wal is missing") {
		t.Errorf("error = %v", err)
	}
	expect(t, c.open(t, store.Options{}), map[string]string{})
	if n := len(c.aside(t)); n != 1 {
		t.Errorf("%d files were set aside", n)
	}
}

func TestAWriteAheadFileCutShortIsDamage(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	write(t, s, put("a", "1"))
	closeStore(t, s)
	s = b.open(t, strict)
	for name, size := range map[string]int64{"at once": 0, "to a part of its beginning": 20} {
		c := b.crash(t)
		if err := os.Truncate(c.path+".wal", size); err != nil {
			t.Fatal(err)
		}
		if _, err := c.try(strict); err == nil || !strings.Contains(err.Error(), "damaged: its write-ahead file: it has") {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, s, store.Change{ID: id("a")})
	if err := s.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := b.crash(t)
	if err := os.Truncate(c.path+".wal", int64(len(c.walContent(t)))-1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.try(strict); err == nil || !strings.Contains(err.Error(), "damaged: its write-ahead file: it has") {
		t.Errorf("after a checkpoint: %v", err)
	}
}

// Both files are set aside together, and a write-ahead file is never read into another state file.
func TestAWriteAheadFileBelongsToItsFile(t *testing.T) {
	b, other := newBench(t), newBench(t)
	write(t, b.open(t, strict), put("a", "1"))
	write(t, other.open(t, strict), put("b", "1"))
	c, d := b.crash(t), other.crash(t)
	if err := os.Rename(d.path+".wal", c.path+".wal"); err != nil {
		t.Fatal(err)
	}
	expect(t, c.open(t, strict), map[string]string{}) // frames of another key are none: as when all were cut short

	spoilt := b.crash(t)
	spoilt.replaceOnly(t, []byte("no database"))
	expect(t, spoilt.open(t, store.Options{}), map[string]string{})
	if aside, err := filepath.Glob(spoilt.path + ".wal.bad-*"); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v %v", aside, err)
	}
}

func (b *bench) replaceOnly(t testing.TB, content []byte) {
	t.Helper()
	if err := os.WriteFile(b.path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The write-ahead file stays within its bounds, whatever is written, and large records go past it.
func TestTheRingGoesRound(t *testing.T) {
	const ring = 20_000
	b := quickBench(t)
	s := b.open(t, strict)
	s.ShrinkRing(ring)
	want := map[string]string{}
	for i := range 300 {
		name, value := fmt.Sprint("record ", i%37), strings.Repeat("x", i*i%3000)
		if i%50 == 0 {
			value = strings.Repeat("large", 10_000)
		}
		write(t, s, put(name, value))
		want[name] = value
		if i%10 == 0 {
			c := b.crash(t)
			expect(t, c.open(t, strict), want)
		}
	}
	if size := len(b.walContent(t)); size > ring {
		t.Errorf("the write-ahead file has %d bytes, more than %d", size, ring)
	}
	if n := s.Stats().Checkpoints; n < 10 {
		t.Errorf("%d checkpoints: the test tests nothing", n)
	}
}

// While bbolt is slow, writes go on as long as there is room ahead.
func TestWritesDoNotWaitForBbolt(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	release := s.HoldCheckpoints()
	for i := range 20 {
		write(t, s, put(fmt.Sprint(i), strings.Repeat("x", 200_000))) // more than the quarter after which it catches up
	}
	if n := s.Stats().Checkpoints; n != 0 {
		t.Errorf("%d checkpoints", n)
	}
	release()
	got, _, err := read(s)
	if err != nil || len(got) != 20 {
		t.Errorf("%d of 20 are there, %v", len(got), err)
	}
}

func FuzzReplay(f *testing.F) {
	var secret [32]byte
	copy(secret[:], "a secret of 32 bytes for frames.")
	change := func(name, value string) store.Change { return store.Change{ID: id(name), Plain: []byte(value)} }
	frames := store.Frames(f, &secret, 7,
		[]store.Change{change("a", "1"), {ID: id("b")}}, []store.Change{change("c", strings.Repeat("3", 300))}, []store.Change{{ID: id("c")}, change("b", "2")})
	all := bytes.Join(frames, nil)
	f.Add(all, uint16(0), uint16(0), byte(0))
	f.Add(all[:len(all)-5], uint16(0), uint16(3), byte(1))
	f.Add(append(bytes.Clone(frames[2]), all[:len(frames[0])+len(frames[1])]...), uint16(len(frames[2])), uint16(0), byte(0))
	f.Add([]byte("LHF2"), uint16(0), uint16(0), byte(0))
	f.Add(binary.BigEndian.AppendUint64([]byte("LHF2\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x07"), 1<<63), uint16(0), uint16(0), byte(0))
	valid := []map[string]string{
		{}, {string(id1("a")): "1", string(id1("b")): "-"},
		{string(id1("a")): "1", string(id1("b")): "-", string(id1("c")): strings.Repeat("3", 300)},
		{string(id1("a")): "1", string(id1("b")): "2", string(id1("c")): "-"},
	}
	f.Fuzz(func(t *testing.T, ring []byte, offset, at uint16, flip byte) {
		if len(ring) > 0 {
			ring = bytes.Clone(ring)
			ring[int(at)%len(ring)] ^= flip
		}
		got := map[string]string{}
		n, err := store.Replay(t, &secret, ring, int64(offset), 7, func(key string, sealed []byte) {
			got[key] = string(sealed)
			if sealed == nil {
				got[key] = "-"
			}
		})
		if err == nil && (n >= len(valid) || !maps.Equal(got, valid[n])) {
			t.Errorf("%d frames gave %d changes that nobody made", n, len(got))
		}
	})
}

func id1(name string) []byte { i := id(name); return i[:] }

// bbolt goes back to its last state but one when the page that says which is the newest cannot be read. That must not undo what was acknowledged.
func TestALostMetaPageUndoesNothing(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, s *store.Store){
		"a removal ahead": func(t *testing.T, s *store.Store) { write(t, s, store.Change{ID: id("a")}) },
		"a removal past the ring": func(t *testing.T, s *store.Store) {
			s.ShrinkRing(60) // room for a frame without changes
			write(t, s, store.Change{ID: id("a")})
		},
		"a checkpoint after it": func(t *testing.T, s *store.Store) {
			write(t, s, store.Change{ID: id("a")})
			if err := s.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"an end in order": func(t *testing.T, s *store.Store) {
			write(t, s, store.Change{ID: id("a")})
			closeStore(t, s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := b.open(t, strict)
			write(t, s, put("a", "1"), put("b", "1"))
			closeStore(t, s)
			s = b.open(t, strict)
			run(t, s)
			whole, refused := b.crash(t), 0
			for page := range 2 {
				c := whole.crash(t)
				file := c.content(t)
				clear(file[page*4096+16 : page*4096+80])
				c.replaceOnly(t, file)
				damaged, err := c.try(strict)
				if err != nil {
					if !strings.Contains(err.Error(), "damaged") {
						t.Errorf("page %d: %v", page, err)
					}
					refused++
					continue
				}
				expect(t, damaged, map[string]string{"b": "1"})
				closeStore(t, damaged)
			}
			if refused > 1 {
				t.Error("neither page can be spared")
			}
		})
	}
}
