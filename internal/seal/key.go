package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const (
	// size is that of every key here, in bytes.
	size = 32
	// maxPlain is what one record may hold: twice Vault's default max_request_size, so more than any answer worth keeping.
	maxPlain = 64 << 20
)

// ErrSealed is the answer of Open to anything that does not authenticate: another key, other authenticated data, a changed byte.
// Which of these it was cannot be known.
var ErrSealed = errors.New("not sealed with this key and for this place, or changed since")

// Key seals records with AES-256-GCM and derives secrets for other uses. It prints as [redacted] under every verb and in every
// log, and is safe for concurrent use.
type Key struct {
	// Both are functions because fmt never prints what those hold. In an unexported field of another struct it passes over Format,
	// and for some verbs follows pointers.
	expand func(info string) [size]byte
	aead   func() cipher.AEAD
}

// NewKey returns the key that secret is. What becomes of secret afterwards is the caller's.
func NewKey(secret *[size]byte) (*Key, error) {
	own := *secret
	expand := func(info string) [size]byte {
		out, _ := hkdf.Key(sha256.New, own[:], nil, "leasehold "+info, size) // fails only for more than 255 hashes of output
		return [size]byte(out)
	}
	sealing := expand("seal records") // not the key itself, nor anything that Derive returns
	block, err := aes.NewCipher(sealing[:])
	if err != nil {
		return nil, err
	}
	// Random nonces bound a key to 2^32 records (NIST SP 800-38D): more than six years of twenty a second.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Key{expand: expand, aead: func() cipher.AEAD { return aead }}, nil
}

// NewSecret returns 32 random bytes: a key that nobody has yet.
func NewSecret() *[size]byte {
	secret := new([size]byte)
	_, _ = rand.Read(secret[:]) // never fails
	return secret
}

// Derive returns a secret that is the same for the same key and purpose, different for each purpose, and tells nothing about the
// key, about what it sealed or about other purposes: HKDF-SHA256 (RFC 5869).
func (k *Key) Derive(purpose string) [size]byte { return k.expand("derive " + purpose) }

// For returns the key of one purpose among others, such as the state file of one Vault.
func (k *Key) For(purpose string) (*Key, error) {
	secret := k.expand("for " + purpose)
	return NewKey(&secret)
}

// Seal returns a fresh random nonce, the ciphertext of plain and a tag that also covers aad: 28 bytes more than plain. It fails for
// more than 64 MiB.
func (k *Key) Seal(plain, aad []byte) ([]byte, error) {
	if len(plain) > maxPlain {
		return nil, fmt.Errorf("seal a record of %d bytes: at most %d are possible", len(plain), maxPlain)
	}
	return k.aead().Seal(nil, nil, plain, aad), nil
}

// Open returns what Seal was given together with the same aad, and ErrSealed for everything else.
func (k *Key) Open(sealed, aad []byte) ([]byte, error) {
	plain, err := k.aead().Open(nil, nil, sealed, aad)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// Format implements fmt.Formatter for every verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (Key) LogValue() slog.Value { return slog.StringValue("[redacted]") }
