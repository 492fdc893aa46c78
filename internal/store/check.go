package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// The layout of a bbolt file of version 2, whose integers are in the machine's own byte order. A page is
//
//	id 8, flags 2, count 2, overflow 4 | elements 16 each | keys and values
//	branch element: pos 4, key size 4, child 8
//	leaf element:   flags 4, pos 4, key size 4, value size 4
//
// where pos counts from the element, and overflow is how many more pages belong to it. A free list has page ids after its header.
const (
	bboltMagic   = 0xED0CDAED
	bboltVersion = 2
	headerSize   = 16
	elementSize  = 16
	metaSize     = 64 // of which the last 8 are the checksum
	bucketSize   = 16 // root page 8, sequence 8; root 0: the page follows
	branchFlag   = 0x01
	leafFlag     = 0x02
	freelistFlag = 0x10
	bucketFlag   = 0x01 // of a leaf element
	longFreelist = 0xFFFF
	minPageSize  = 1 << 10
	maxPageSize  = 16 << 20
)

var native = binary.NativeEndian

// checkPages reads every page that bbolt would use and accepts only what bbolt would have written.
//
// bbolt trusts its file: it maps it and follows what it finds. One wrong byte there can make it fault, panic in a goroutine of its own,
// recurse without end, or hand out a page that is in use, and its Tx.Check fails in the same ways. So the file is checked before bbolt
// follows anything, by plain reads and with bounds. What the values say is not looked at: they are sealed.
//
// visit, if it is not nil, is given every value with its bucket and its key, which are its own only until it returns. The pass is also how records are
// restored: page after page as they come from disk, without mapping them into memory, where they would stay.
func checkPages(f *os.File, visit func(bucket, key, value []byte) error) (pages, error) {
	info, err := f.Stat()
	if err != nil {
		return pages{}, err
	}
	m, err := newestMeta(f)
	if err != nil {
		return pages{}, err
	}
	if m.end < 2 || m.end > uint64(info.Size())/m.pageSize {
		return pages{}, fmt.Errorf("it has fewer than its %d pages", m.end)
	}
	c := &checker{file: f, pageSize: m.pageSize, used: make([]bool, m.end), visit: visit}
	c.used[0], c.used[1] = true, true // the meta pages
	if err := c.tree(m.root, nil, nil, c.bucket); err != nil {
		return pages{}, err
	}
	free, err := c.freelist(m.freelist)
	return pages{size: int64(m.pageSize), all: int64(m.end), free: free}, err
}

// pages tell how a file is used.
type pages struct{ size, all, free int64 }

// checkFile is checkPages for the file at path.
func checkFile(path string, visit func(bucket, key, value []byte) error) (pages, error) {
	f, err := os.Open(path)
	if err != nil {
		return pages{}, err
	}
	defer func() { _ = f.Close() }() // only read
	return checkPages(f, visit)
}

// meta is what a meta page says.
type meta struct{ pageSize, root, freelist, end, txid uint64 }

// newestMeta picks as bbolt does: the later of the two that are valid. One is not after a crash in the middle of writing it.
func newestMeta(f io.ReaderAt) (meta, error) {
	first, ok0 := readMeta(f, 0)
	pageSize := uint64(os.Getpagesize())
	if ok0 {
		pageSize = first.pageSize
	}
	second, ok1 := readMeta(f, int64(pageSize))
	switch {
	case ok0 && ok1 && first.pageSize != second.pageSize, !ok0 && ok1 && second.pageSize != pageSize, !ok0 && !ok1:
		return meta{}, errors.New("no meta page is valid")
	case !ok0, ok1 && second.txid > first.txid:
		return second, nil
	}
	return first, nil
}

func readMeta(f io.ReaderAt, at int64) (meta, bool) {
	var page [headerSize + metaSize]byte
	if _, err := f.ReadAt(page[:], at); err != nil {
		return meta{}, false
	}
	b := page[headerSize:]
	sum := fnv.New64a()
	sum.Write(b[:56])
	m := meta{
		pageSize: uint64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		end: native.Uint64(b[40:]), txid: native.Uint64(b[48:]),
	}
	ok := native.Uint32(b) == bboltMagic && native.Uint32(b[4:]) == bboltVersion && native.Uint64(b[56:]) == sum.Sum64() &&
		m.pageSize >= minPageSize && m.pageSize <= maxPageSize && m.pageSize&(m.pageSize-1) == 0
	return m, ok
}

// checker walks the pages of one file.
type checker struct {
	file     io.ReaderAt
	pageSize uint64
	used     []bool   // by page id, for the pages seen; each may be used once, so no walk goes in circles
	spare    [][]byte // pages no longer looked at
	visit    func(bucket, key, value []byte) error
}

// claim marks n pages as used.
func (c *checker) claim(id, n uint64) error {
	if id >= uint64(len(c.used)) || n > uint64(len(c.used))-id {
		return fmt.Errorf("page %d is beyond the end", id)
	}
	for i := id; i < id+n; i++ {
		if c.used[i] {
			return fmt.Errorf("page %d is used twice", i)
		}
		c.used[i] = true
	}
	return nil
}

// page claims and reads a page with its overflow. Whoever is done with it may add it to spare.
func (c *checker) page(id uint64) ([]byte, error) {
	if err := c.claim(id, 1); err != nil {
		return nil, err
	}
	var page []byte
	if n := len(c.spare); n > 0 {
		page, c.spare = c.spare[n-1], c.spare[:n-1]
	}
	page = slices.Grow(page[:0], int(c.pageSize))[:c.pageSize]
	if _, err := c.file.ReadAt(page, int64(id*c.pageSize)); err != nil {
		return nil, err
	}
	if native.Uint64(page) != id {
		return nil, fmt.Errorf("page %d says that it is another", id)
	}
	overflow := uint64(native.Uint32(page[12:]))
	if overflow == 0 {
		return page, nil
	}
	if err := c.claim(id+1, overflow); err != nil {
		return nil, err
	}
	page = slices.Grow(page, int(overflow*c.pageSize))[:(1+overflow)*c.pageSize]
	_, err := c.file.ReadAt(page[c.pageSize:], int64((id+1)*c.pageSize))
	return page, err
}

// element is one of a branch page (key and child) or of a leaf page (the rest).
type element struct {
	key   []byte
	child uint64
	flags uint32
	value []byte
}

// tree checks the page and all below it, and gives visit the elements of the leaves. The page's first key is low and its last is below
// high, where these are not nil: bbolt finds a page in its parent by the first key, and were that another, it would free the page and
// still refer to it. low is nil for a root only, which alone may be an empty leaf.
func (c *checker) tree(id uint64, low, high []byte, visit func(element) error) error {
	page, err := c.page(id)
	if err != nil {
		return err
	}
	defer func() { c.spare = append(c.spare, page) }()
	isLeaf, list, err := elements(page)
	switch n := len(list); {
	case err != nil:
	case n == 0 && (low != nil || !isLeaf):
		err = errors.New("it is empty")
	case low != nil && !bytes.Equal(list[0].key, low), high != nil && bytes.Compare(list[n-1].key, high) >= 0:
		err = errors.New("its keys are not those of its place")
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for i, e := range list {
		if isLeaf {
			err = visit(e)
		} else {
			below := high
			if i+1 < len(list) {
				below = list[i+1].key
			}
			err = c.tree(e.child, e.key, below, visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// elements takes a branch or leaf page apart. bbolt writes keys and values one after the other without gaps, so each has one possible
// place, and a wrong count does not go unseen.
func elements(page []byte) (isLeaf bool, list []element, err error) {
	flags, count := native.Uint16(page[8:]), int(native.Uint16(page[10:]))
	isLeaf = flags == leafFlag
	if !isLeaf && flags != branchFlag {
		return false, nil, fmt.Errorf("its type is %#x", flags)
	}
	next := uint64(headerSize + count*elementSize)
	if next > uint64(len(page)) {
		return false, nil, fmt.Errorf("it is too short for %d elements", count)
	}
	list = make([]element, count)
	for i := range list {
		at := headerSize + i*elementSize
		b, e := page[at:at+elementSize], &list[i]
		var pos, keySize, valueSize uint64
		if isLeaf {
			e.flags = native.Uint32(b)
			pos, keySize, valueSize = uint64(native.Uint32(b[4:])), uint64(native.Uint32(b[8:])), uint64(native.Uint32(b[12:]))
		} else {
			e.child = native.Uint64(b[8:])
			pos, keySize = uint64(native.Uint32(b)), uint64(native.Uint32(b[4:]))
		}
		end := next + keySize + valueSize
		if uint64(at)+pos != next || keySize == 0 || end > uint64(len(page)) {
			return false, nil, fmt.Errorf("its element %d is not where it must be", i)
		}
		e.key, e.value = page[next:next+keySize], page[next+keySize:end]
		if i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 {
			return false, nil, fmt.Errorf("its element %d is out of order", i)
		}
		next = end
	}
	return isLeaf, list, nil
}

// bucket checks what an element of the root says is a bucket: pages of its own, or one small page in the element's value.
func (c *checker) bucket(e element) error {
	if e.flags != bucketFlag || len(e.value) < bucketSize {
		return fmt.Errorf("%.16q is not a bucket", e.key)
	}
	name := bytes.Clone(e.key)
	value := func(e element) error {
		if err := plainValue(e); err != nil || c.visit == nil {
			return err
		}
		return c.visit(name, e.key, e.value)
	}
	if root := native.Uint64(e.value); root != 0 {
		return c.tree(root, nil, nil, value)
	}
	inline := e.value[bucketSize:]
	if len(inline) < headerSize {
		return fmt.Errorf("bucket %.16q is nowhere", e.key)
	}
	isLeaf, list, err := elements(inline)
	if err == nil && !isLeaf {
		err = errors.New("it is a branch")
	}
	if err != nil {
		return fmt.Errorf("bucket %.16q: %w", name, err)
	}
	for _, inner := range list {
		if err := value(inner); err != nil {
			return err
		}
	}
	return nil
}

// plainValue refuses buckets in buckets.
func plainValue(e element) error {
	if e.flags != 0 {
		return fmt.Errorf("%.16q is not a value", e.key)
	}
	return nil
}

// freelist checks that no page on the list of free ones is in use, nor on it twice: bbolt will write to them.
func (c *checker) freelist(id uint64) (free int64, err error) {
	page, err := c.page(id)
	if err != nil {
		return 0, err
	}
	if flags := native.Uint16(page[8:]); flags != freelistFlag {
		return 0, fmt.Errorf("page %d: its type is %#x", id, flags)
	}
	ids, count := page[headerSize:], uint64(native.Uint16(page[10:]))
	if count == longFreelist { // the count is the first id
		count, ids = native.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids))/8 {
		return 0, fmt.Errorf("page %d: it is too short for %d ids", id, count)
	}
	for i := range count {
		if err := c.claim(native.Uint64(ids[i*8:]), 1); err != nil {
			return 0, fmt.Errorf("free list: %w", err)
		}
	}
	return int64(count), nil
}
