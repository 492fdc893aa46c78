package vault

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// Hasher gives names to what must not be shown, such as accessors and lease ids: the same text has the same name for as long as the Hasher lives, and a
// name can neither be turned back nor be tried against guesses. It is safe for concurrent use.
type Hasher struct{ key [32]byte }

// NameLength is the number of characters of what Hasher.Of returns.
const NameLength = 16

// NewHasher returns a Hasher with a random key.
func NewHasher() *Hasher {
	h := &Hasher{}
	_, _ = rand.Read(h.key[:]) // never fails
	return h
}

// Of returns NameLength hexadecimal digits; "" for "".
func (h *Hasher) Of(text string) string {
	if text == "" {
		return ""
	}
	b := make([]byte, 0, 256)
	b = append(append(b, h.key[:]...), text...)
	sum := sha256.Sum256(b)
	clear(b)
	return hex.EncodeToString(sum[:NameLength/2])
}
