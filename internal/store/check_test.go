package store_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"
)

var native = binary.NativeEndian

// layout is where things are in a bbolt file: parts of it, so that changing them changes the file.
type layout struct {
	meta     []byte // the newer one, from its magic number on
	root     []byte // the page with the buckets
	records  []byte // the value of the bucket with the records, which begins with its page
	branch   []byte // that page
	leaf     []byte // the first one below it
	freelist []byte
	page     func(id uint64) []byte
}

func layoutOf(file []byte) layout {
	size := os.Getpagesize()
	var l layout
	l.page = func(id uint64) []byte { return file[int(id)*size:][:size] }
	l.meta = l.page(0)[16:]
	if other := l.page(1)[16:]; native.Uint64(other[48:]) > native.Uint64(l.meta[48:]) {
		l.meta = other
	}
	l.root = l.page(native.Uint64(l.meta[16:]))
	element := l.root[32:] // the second one, after "meta"
	l.records = element[native.Uint32(element[4:])+native.Uint32(element[8:]):]
	l.branch = l.page(native.Uint64(l.records))
	l.leaf = l.page(l.child(0))
	l.freelist = l.page(native.Uint64(l.meta[32:]))
	return l
}

// child is the page id in an element of the branch.
func (l layout) child(i int) uint64 { return native.Uint64(l.branch[16+16*i+8:]) }

// key is the key of an element of a branch or leaf page whose elements begin with pos.
func key(page []byte, i, posAt int) []byte {
	element := page[16+16*i:]
	return element[native.Uint32(element[posAt:]):][:32]
}

func count(page []byte) int { return int(native.Uint16(page[10:])) }

// What bbolt would follow into faults, endless loops or pages in use by others is found before.
func TestEveryWrongPageIsFound(t *testing.T) {
	b := newBench(t)
	b.fill(t)
	whole := b.content(t)
	for name, tc := range map[string]struct {
		damage func(l layout)
		want   string
	}{
		"no valid meta page": {func(l layout) { l.page(0)[16], l.page(1)[16] = 0, 0 }, "not a state file"},
		"a bucket whose page is the root": {func(l layout) {
			native.PutUint64(l.records, native.Uint64(l.meta[16:]))
		}, "is used twice"},
		"a bucket whose page is beyond the end": {func(l layout) { native.PutUint64(l.records, 1<<40) }, "beyond the end"},
		"a bucket that is a record":             {func(l layout) { native.PutUint32(l.root[32:], 0) }, "is not a bucket"},
		"a record that is a bucket":             {func(l layout) { native.PutUint32(l.leaf[16:], 1) }, "is not a value"},
		"an inline bucket with more records than there are": {func(l layout) {
			element := l.root[16:]
			inline := element[native.Uint32(element[4:])+native.Uint32(element[8:])+16:]
			native.PutUint16(inline[10:], 60_000)
		}, "too short for"},
		"a branch that is its own child": {func(l layout) {
			native.PutUint64(l.branch[24:], native.Uint64(l.records))
		}, "is used twice"},
		"a branch with a child twice":     {func(l layout) { native.PutUint64(l.branch[24:], l.child(1)) }, "not those of its place"},
		"a branch whose child is moved":   {func(l layout) { native.PutUint64(l.leaf, l.child(1)) }, "says that it is another"},
		"a branch without children":       {func(l layout) { native.PutUint16(l.branch[10:], 0) }, "it is empty"},
		"a branch with too few children":  {func(l layout) { native.PutUint16(l.branch[10:], 2) }, "not where it must be"},
		"a branch with another key":       {func(l layout) { key(l.branch, count(l.branch)-1, 0)[31]-- }, "not those of its place"},
		"a branch with a shorter key":     {func(l layout) { native.PutUint32(l.branch[16*count(l.branch)+4:], 31) }, "not those of its place"},
		"a leaf that overlaps the next":   {func(l layout) { key(l.leaf, count(l.leaf)-1, 4)[0] = 0xFF }, "not those of its place"},
		"a leaf in disorder":              {func(l layout) { key(l.leaf, 1, 4)[0] = 0xFF }, "out of order"},
		"a leaf without records":          {func(l layout) { native.PutUint16(l.leaf[10:], 0) }, "it is empty"},
		"a leaf of another type":          {func(l layout) { native.PutUint16(l.leaf[8:], 4) }, "its type is 0x4"},
		"a leaf over many pages":          {func(l layout) { native.PutUint32(l.leaf[12:], 1<<31) }, "beyond the end"},
		"a leaf over pages of others":     {func(l layout) { native.PutUint32(l.leaf[12:], 3) }, "is used twice"},
		"a leaf with a key elsewhere":     {func(l layout) { native.PutUint32(l.leaf[20:], 1<<31) }, "not where it must be"},
		"a leaf with a record too long":   {func(l layout) { native.PutUint32(l.leaf[16*count(l.leaf)+12:], 1<<31) }, "not where it must be"},
		"a leaf with an empty key":        {func(l layout) { native.PutUint32(l.leaf[24:], 0) }, "not where it must be"},
		"a free page that is in use":      {func(l layout) { native.PutUint64(l.freelist[16:], l.child(0)) }, "is used twice"},
		"a free page listed twice":        {func(l layout) { copy(l.freelist[24:32], l.freelist[16:24]) }, "is used twice"},
		"a free page beyond the end":      {func(l layout) { native.PutUint64(l.freelist[16:], 1<<60) }, "beyond the end"},
		"a free meta page":                {func(l layout) { native.PutUint64(l.freelist[16:], 1) }, "is used twice"},
		"a free list longer than it can":  {func(l layout) { native.PutUint16(l.freelist[10:], 60_000) }, "too short for 60000 ids"},
		"a free list of endless length":   {func(l layout) { l.endlessFreelist() }, "too short for"},
		"a free list that is another":     {func(l layout) { native.PutUint16(l.freelist[8:], 2) }, "its type is 0x2"},
		"a page less than are referenced": {func(l layout) { native.PutUint64(l.records, native.Uint64(l.meta[40:])) }, "beyond the end"},
	} {
		t.Run(name, func(t *testing.T) {
			file := bytes.Clone(whole)
			tc.damage(layoutOf(file))
			b.replace(t, file)
			s, err := b.try(strict)
			if err == nil {
				closeStore(t, s)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %s", err, tc.want)
			}
		})
	}
}

func (l layout) endlessFreelist() {
	native.PutUint16(l.freelist[10:], 0xFFFF)
	native.PutUint64(l.freelist[16:], 1<<40) // bbolt takes the first for the length then, and makes room for as many
}
