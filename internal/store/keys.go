package store

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"leasehold/internal/seal"
)

// keys are those of one file. The file's own is random and stands in the file wrapped; all others are derived from it. Records are sealed with
// data keys, one for each generation: a start begins a new generation, and so does every Options.RotateAt records.
type keys struct {
	wrapped  []byte // the file's key, as it stands in the file
	file     *seal.Key
	index    [32]byte // hashes ids to record keys
	rotateAt int64

	now    atomic.Pointer[generation]
	sealed atomic.Int64 // records, and frames, of this generation

	mu  sync.Mutex // guards old
	old map[uint32]*generation
}

// generation is a data key and the key that vouches for what is written ahead.
type generation struct {
	n       uint32
	records *seal.Key
	frames  *seal.Key
}

func newKeys(ctx context.Context, w wrapper, rotateAt int64) (*keys, error) {
	secret := seal.NewSecret()
	wrapped, err := w.Wrap(ctx, secret[:])
	if err != nil {
		return nil, err
	}
	return keysOf(secret, wrapped, rotateAt)
}

func openKeys(ctx context.Context, w wrapper, wrapped []byte, rotateAt int64) (*keys, error) {
	secret, err := w.Unwrap(ctx, wrapped)
	if err != nil {
		return nil, err
	}
	if len(secret) != 32 {
		return nil, seal.ErrSealed
	}
	return keysOf((*[32]byte)(secret), wrapped, rotateAt)
}

func keysOf(secret *[32]byte, wrapped []byte, rotateAt int64) (*keys, error) {
	file, err := seal.NewKey(secret)
	if err != nil {
		return nil, err
	}
	if rotateAt == 0 {
		rotateAt = 1 << 24
	}
	return &keys{
		wrapped: wrapped, file: file, index: file.Derive("state file record keys"), rotateAt: rotateAt, old: map[uint32]*generation{},
	}, nil
}

// begin takes a new generation into use.
func (k *keys) begin(n uint32) error {
	g, err := k.generation(n)
	if err != nil {
		return err
	}
	k.now.Store(g)
	k.sealed.Store(0)
	return nil
}

func (k *keys) generation(n uint32) (*generation, error) {
	if g := k.now.Load(); g != nil && g.n == n {
		return g, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if g := k.old[n]; g != nil {
		return g, nil
	}
	records, err := k.file.For(fmt.Sprint("records of generation ", n))
	if err != nil {
		return nil, err
	}
	frames, err := k.file.For(fmt.Sprint("frames of generation ", n))
	if err != nil {
		return nil, err
	}
	g := &generation{n: n, records: records, frames: frames}
	if len(k.old) >= maxOld { // numbers out of a damaged file must not fill the memory
		clear(k.old)
	}
	k.old[n] = g
	return g, nil
}

const maxOld = 1024

// count notes that n things were sealed, and begins the next generation when it is time.
func (k *keys) count(n int64) error {
	if k.sealed.Add(n) < k.rotateAt {
		return nil
	}
	k.sealed.Store(0)
	return k.begin(k.now.Load().n + 1)
}

// recordKey is what a record is found by. It does not tell the id.
func (k *keys) recordKey(id [32]byte) string {
	mac := hmac.New(sha256.New, k.index[:])
	mac.Write(id[:])
	return string(mac.Sum(nil))
}

// vouch is a MAC of what the meta bucket says under a name.
func (k *keys) vouch(name string, content []byte) []byte {
	secret := k.file.Derive("state file " + name)
	mac := hmac.New(sha256.New, secret[:])
	mac.Write(content)
	return mac.Sum(nil)
}

// generationSize is the number in front of every sealed record.
const generationSize = 4

// seal returns a record as it stands in the file.
func (k *keys) seal(key string, plain []byte) ([]byte, error) {
	g := k.now.Load()
	sealed, err := g.records.Seal(plain, aad(g.n, key))
	if err != nil {
		return nil, err
	}
	if err := k.count(1); err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, generationSize+len(sealed)), g.n), sealed...), nil
}

// open is seal's counterpart.
func (k *keys) open(key string, record []byte) ([]byte, error) {
	n, ok := generationOf(record)
	if !ok {
		return nil, seal.ErrSealed
	}
	g, err := k.generation(n)
	if err != nil {
		return nil, err
	}
	return g.records.Open(record[generationSize:], aad(n, key))
}

func generationOf(record []byte) (n uint32, ok bool) {
	if len(record) < generationSize {
		return 0, false
	}
	return binary.BigEndian.Uint32(record), true
}

// aad ties what is sealed to the format version and its place. No two places look alike: all but the record's key have a fixed length.
func aad(generation uint32, key string) []byte {
	var n [generationSize]byte
	binary.BigEndian.PutUint32(n[:], generation)
	return bytes.Join([][]byte{[]byte("leasehold state file " + format), recordsBucket, n[:], []byte(key)}, []byte{0})
}
