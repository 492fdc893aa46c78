package store_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/store"
)

// judge opens a possibly damaged file and uses it. Whatever it still gives out must be what was stored, in one of its versions.
func (b *bench) judge(t *testing.T, o store.Options, want map[string]string) (opened bool) {
	t.Helper()
	s, err := b.try(o)
	if err != nil {
		if !o.ExitOnErr || !strings.Contains(err.Error(), b.path) {
			t.Fatal(err)
		}
		return false
	}
	defer closeStore(t, s)
	got, _, _ := read(s)
	for name, value := range got {
		if want[name] != value {
			t.Fatalf("%.40q = %.40q, want %.40q", name, value, want[name])
		}
	}
	return true
}

func TestNoFlippedBitGivesAWrongRecord(t *testing.T) {
	b := quickBench(t)
	s := b.open(t, strict)
	want := map[string]string{"a": "1", "b": strings.Repeat("2", 300), "c": strings.Repeat("3", 3000)}
	for name, value := range want {
		write(t, s, put(name, value))
	}
	closeStore(t, s)
	whole, zeros := b.content(t), make([]byte, 64)
	flipped, opened := 0, 0
	for at, was := range whole {
		if at >= 32 && at+32 <= len(whole) && bytes.Equal(whole[at-32:at+32], zeros) && at%61 > 0 {
			continue // far from anything: a few of these are enough
		}
		flip := byte(1) << (at % 8)
		if at%3 == 0 {
			flip = 0xFF
		}
		file := bytes.Clone(whole)
		file[at] = was ^ flip
		b.replace(t, file)
		flipped++
		if b.judge(t, strict, want) {
			opened++
		}
	}
	b.replace(t, whole)
	if opened == 0 || opened == flipped {
		t.Errorf("%d of %d damaged files could be opened: the test tests nothing", opened, flipped)
	}
	expect(t, b.open(t, strict), want)
}

func TestAFileCutShortGivesNoWrongRecord(t *testing.T) {
	b := quickBench(t)
	want := b.fill(t)
	for size := len(b.content(t)); size >= 0; size -= 509 { // so also in the middle of things
		if err := os.Truncate(b.path, int64(size)); err != nil {
			t.Fatal(err)
		}
		b.judge(t, strict, want)
	}
}

// fill makes a file with many records of many sizes, and with some free pages.
func (b *bench) fill(t *testing.T) (records map[string]string) {
	t.Helper()
	s := b.open(t, strict)
	defer closeStore(t, s)
	records = map[string]string{}
	var puts, deletes []store.Change
	for i := range 200 {
		name := fmt.Sprint("record ", i)
		records[name] = strings.Repeat("x", i+i%50/49*9000) // up to three pages
		puts = append(puts, put(name, records[name]))
		if i%4 == 0 {
			deletes = append(deletes, store.Change{ID: id(name)})
		}
	}
	for part := range slices.Chunk(append(puts, deletes...), 25) {
		write(t, s, part...)
	}
	return records
}

// Disks lose and mix up sectors rather than bits.
func TestLargerDamageIsSurvived(t *testing.T) {
	const page, sector = 4096, 512
	var random *rand.Rand // each case has its own, as their order varies
	place := func(file []byte, unit int) []byte {
		at := random.IntN(len(file)/unit) * unit
		return file[at : at+unit]
	}
	for name, damage := range map[string]func(file []byte){
		"zeroed sector":            func(file []byte) { clear(place(file, sector)) },
		"zeroed page":              func(file []byte) { clear(place(file, page)) },
		"page in place of another": func(file []byte) { copy(place(file, page), place(file, page)) },
		"wrong page header":        func(file []byte) { place(file, page)[8+random.IntN(8)] = byte(random.IntN(256)) },
		"wrong element": func(file []byte) { // the first ones of a page
			place(file, page)[16+random.IntN(64)] = byte(random.IntN(256))
		},
		"noise": func(file []byte) {
			for range 20 {
				place(file, page)[random.IntN(page)] = byte(random.IntN(256))
			}
		},
		"small number for another": func(file []byte) { // page ids, sizes and counts are small
			number := place(file, 4)
			clear(number)
			number[0] = byte(random.IntN(100))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := quickBench(t)
			want := b.fill(t)
			whole := b.content(t)
			random = rand.New(rand.NewPCG(1, 2))
			for i := range 100 {
				file := bytes.Clone(whole)
				damage(file)
				b.replace(t, file)
				if b.judge(t, strict, want) && i%10 == 0 {
					b.overwrite(t)
				}
			}
		})
	}
}

// overwrite checks that a file that passed for good also bears being written to.
func (b *bench) overwrite(t *testing.T) {
	t.Helper()
	s := b.open(t, store.Options{})
	if _, _, err := read(s); err != nil {
		t.Fatal(err)
	}
	var changes []store.Change
	for i := range 100 {
		changes = append(changes, put(fmt.Sprint("record ", 2*i), "new"), store.Change{ID: id(fmt.Sprint("record ", 3*i))})
	}
	write(t, s, changes...)
	closeStore(t, s)
	closeStore(t, b.open(t, strict))
}

// The check before opening must accept whatever bbolt writes.
func TestAGoodFileIsAlwaysAccepted(t *testing.T) {
	b := quickBench(t)
	random := rand.New(rand.NewPCG(3, 4))
	want := map[string]string{}
	for range 50 {
		s := b.open(t, strict)
		expect(t, s, want)
		for range random.IntN(4) {
			emptied := random.IntN(8) == 0
			var changes []store.Change
			for i := range random.IntN(500) {
				name := fmt.Sprint("record ", i)
				switch {
				case emptied, random.IntN(4) == 0:
					delete(want, name)
					changes = append(changes, store.Change{ID: id(name)})
				case random.IntN(4) == 0:
					want[name] = strings.Repeat("x", random.IntN(20)*random.IntN(20)*random.IntN(40)) // up to several pages
					changes = append(changes, put(name, want[name]))
				}
			}
			write(t, s, changes...)
		}
		closeStore(t, s)
	}
}

// The pages of a file that another process cuts short fault when they are read.
func TestAFileCutShortInUseIsAnError(t *testing.T) {
	for name, size := range map[string]int64{"to nothing": 0, "to its first pages": 8192} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s, err := b.try(strict) // not closed by the test's end: it cannot be
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				write(t, s, put(fmt.Sprint("record ", i), strings.Repeat("x", 200)))
			}
			if err := os.Truncate(b.path, size); err != nil {
				t.Fatal(err)
			}
			const remedy = "restart Leasehold"
			if _, _, err := read(s); err == nil || !strings.Contains(err.Error(), remedy) {
				t.Errorf("Each: %v", err)
			}
			for range 2 {
				if err := s.Write(context.Background(), put("a", "1")); err == nil || !strings.Contains(err.Error(), remedy) {
					t.Errorf("Write: %v", err)
				}
			}
			if err := s.Close(); err == nil || !strings.Contains(err.Error(), remedy) {
				t.Errorf("Close: %v", err)
			}
		})
	}
}
