package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"leasehold/internal/secretfile"
)

// The write-ahead file is a ring of frames, each a commit:
//
//	magic 4, generation 4, sequence number 8, length of what follows up to the seal 8 | changes | seal 28
//	change: length of the key, key, 0 to delete or 1 + length of the record, record
//
// with lengths of changes as uvarints. The seal authenticates all before it. Frames stand one after the other; one that does not fit before the
// end of the ring stands at its beginning. bbolt's file says which number comes first and where, so nothing needs to be erased.
const (
	walSuffix  = ".wal"
	ringSize   = 8 << 20 // bytes; a restart reads that much at most, and bbolt is never further behind
	headerLen  = 24
	sealLen    = 28
	frameMagic = "LHF2"
)

// place is where a frame stands.
type place struct {
	offset int64
	number uint64
}

// wal is the write-ahead file. Whoever holds the store's turn may write to it; its places are guarded by the store's mu.
type wal struct {
	file *os.File
	size int64 // of the ring
	head place // of the next frame
	tail place // of the first that bbolt does not have; with the number of head when it has all

	first uint64 // number of the newest frame at the beginning of the ring, where that does not follow from the one before it
}

// openWAL opens the file beside path, or makes it. Its errors are the disk's.
func openWAL(path string) (*wal, error) {
	f, err := secretfile.OpenFile(path+walSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o600); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &wal{file: f, size: ringSize}, nil
}

// reaches checks that the file was not cut short: the ring never shrinks, and the last frame that bbolt has ends where the next one begins.
func (w *wal) reaches(st state) error {
	if !st.ahead {
		return nil
	}
	info, err := w.file.Stat()
	if err == nil && info.Size() < st.next.offset {
		err = fmt.Errorf("it has %d bytes, and had %d", info.Size(), st.next.offset)
	}
	return err
}

// close lets go of the file, and removes it when bbolt has everything.
func (w *wal) close(remove bool) error {
	err := w.file.Close()
	if remove && err == nil {
		err = os.Remove(w.file.Name())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// room returns where n bytes can stand; false when bbolt must catch up first.
func (w *wal) room(n int64) (offset int64, ok bool) {
	head, tail := w.head.offset, w.tail.offset
	switch {
	case w.head.number == w.tail.number: // empty
		return 0, n <= w.size
	case head > tail && head+n <= w.size:
		return head, true
	case head > tail: // at the beginning again; never up to the tail, since that would look empty
		return 0, n < tail
	default:
		return head, head+n < tail
	}
}

// used is how far bbolt is behind, in bytes.
func (w *wal) used() int64 {
	switch {
	case w.head.number == w.tail.number:
		return 0
	case w.head.offset > w.tail.offset:
		return w.head.offset - w.tail.offset
	default:
		return w.size - w.tail.offset + w.head.offset
	}
}

// write returns when the frame is on disk. After an error it may be there or not.
func (w *wal) write(frame []byte, offset int64) error {
	if _, err := w.file.WriteAt(frame, offset); err != nil {
		return err
	}
	return datasync(w.file)
}

// advance notes a frame that was written.
func (w *wal) advance(offset, n int64) {
	if w.head.number == w.tail.number {
		w.tail.offset = offset
	}
	if offset == 0 {
		w.first = w.head.number
	}
	w.head = place{offset + n, w.head.number + 1}
}

// caughtUp notes that bbolt has all frames before next, where head was a while ago. A frame may have been written since, and not there.
func (w *wal) caughtUp(next place) {
	w.tail = next
	if w.first == next.number && w.head.number > next.number {
		w.tail.offset = 0
	}
}

// frameOf encodes the changes of writes as the frame with this number.
func frameOf(k *keys, number uint64, writes []*write) ([]byte, error) {
	size := headerLen + sealLen
	for _, w := range writes {
		size += w.size
	}
	b := make([]byte, headerLen, size)
	for _, w := range writes {
		for _, r := range w.records {
			b = r.append(b)
		}
	}
	g := k.now.Load()
	copy(b, frameMagic)
	binary.BigEndian.PutUint32(b[4:], g.n)
	binary.BigEndian.PutUint64(b[8:], number)
	binary.BigEndian.PutUint64(b[16:], uint64(len(b)-headerLen))
	tag, err := g.frames.Seal(nil, b)
	if err != nil {
		return nil, err
	}
	return append(b, tag...), k.count(1)
}

// append adds the record as a frame has it.
func (r *record) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(r.key)))
	b = append(b, r.key...)
	if r.sealed == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(r.sealed))+1)
	return append(b, r.sealed...)
}

// maxRecordOverhead is what a frame needs for a change beyond key and record.
const maxRecordOverhead = 2 * binary.MaxVarintLen64

// replay reads the frames from start on and gives apply each change. What ends them may be the end, or a frame whose writing was cut
// short; but whatever stands behind a gap was acknowledged, so that the frame in the gap was as well: then the file is damaged.
func (w *wal) replay(k *keys, start place, apply func(key string, sealed []byte)) (frames int, newest uint32, err error) {
	ring, err := io.ReadAll(io.NewSectionReader(w.file, 0, w.size))
	if err != nil {
		return 0, 0, err
	}
	w.head, w.tail = start, start
	for at := start; ; {
		body, g := frameAt(k, ring, at)
		if body == nil && at.offset != 0 {
			at.offset = 0
			body, g = frameAt(k, ring, at)
		}
		if body == nil {
			break
		}
		if frames == 0 {
			w.tail = at
		}
		if err := changesIn(body, apply); err != nil {
			return frames, newest, err
		}
		frames, newest = frames+1, max(newest, g)
		at = place{at.offset + int64(headerLen+len(body)+sealLen), at.number + 1}
		w.head = at
	}
	if later := laterThan(k, ring, w.head.number); later != 0 {
		return frames, newest, fmt.Errorf("frame %d is missing or damaged, and %d is there", w.head.number, later)
	}
	return frames, newest, nil
}

// laterThan looks for a whole frame with a higher number anywhere in the ring, and returns that; 0 for none.
func laterThan(k *keys, ring []byte, number uint64) uint64 {
	for offset := 0; ; offset++ {
		next := bytes.Index(ring[offset:], []byte(frameMagic))
		if next < 0 || offset+next+headerLen > len(ring) {
			return 0
		}
		offset += next
		at := place{int64(offset), binary.BigEndian.Uint64(ring[offset+8:])}
		if at.number <= number {
			continue
		}
		if body, _ := frameAt(k, ring, at); body != nil {
			return at.number
		}
	}
}

// frameAt returns the changes of the frame with this number at this place, and its generation; nil when it is not there whole.
func frameAt(k *keys, ring []byte, at place) (body []byte, generation uint32) {
	if at.offset < 0 || at.offset > int64(len(ring)-headerLen-sealLen) {
		return nil, 0
	}
	b := ring[at.offset:]
	length := binary.BigEndian.Uint64(b[16:])
	if string(b[:4]) != frameMagic || binary.BigEndian.Uint64(b[8:]) != at.number || length > uint64(len(b)-headerLen-sealLen) {
		return nil, 0
	}
	generation = binary.BigEndian.Uint32(b[4:])
	g, err := k.generation(generation)
	if err != nil {
		return nil, 0
	}
	end := headerLen + int(length)
	if _, err := g.frames.Open(b[end:end+sealLen], b[:end]); err != nil {
		return nil, 0
	}
	return b[headerLen:end:end], generation
}

var errFrame = errors.New("a frame is not as it was written")

// changesIn takes a frame apart. What it gives apply is a part of body.
func changesIn(body []byte, apply func(key string, sealed []byte)) error {
	next := func() ([]byte, bool) {
		n, width := binary.Uvarint(body)
		if width <= 0 || n > uint64(len(body)-width) {
			return nil, false
		}
		field := body[width : width+int(n) : width+int(n)]
		body = body[width+int(n):]
		return field, true
	}
	for len(body) > 0 {
		key, ok := next()
		if !ok || len(body) == 0 {
			return errFrame
		}
		if body[0] == 0 {
			body = body[1:]
			apply(string(key), nil)
			continue
		}
		n, width := binary.Uvarint(body)
		if width <= 0 || n-1 > uint64(len(body)-width) {
			return errFrame
		}
		end := width + int(n-1)
		apply(string(key), body[width:end:end])
		body = body[end:]
	}
	return nil
}
