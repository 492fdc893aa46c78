package encrypted

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
)

// Options are what both sides have to agree on.
type Options struct {
	DeriveKey bool   // the AES key is derived with HKDF from the shared secret and both public keys; else it is the shared secret
	AAD       []byte // authenticated with the content, and not in the envelope
}

// envelope is the content of the file.
type envelope struct {
	PublicKey []byte `json:"curve25519_public_key"` // the sink's
	Nonce     []byte `json:"nonce"`
	Payload   []byte `json:"encrypted_payload"` // with the tag of 16 bytes at the end
}

// sealed encrypts plain. Nonces are random: a key would have to serve for four billion tokens before one might come again.
func sealed(aead cipher.AEAD, own *ecdh.PublicKey, plain, aad []byte) ([]byte, error) {
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return line(envelope{PublicKey: own.Bytes(), Nonce: nonce, Payload: aead.Seal(nil, nonce, plain, aad)})
}

var (
	errNoEnvelope = errors.New("it is not an encrypted sink's file: it holds no JSON with curve25519_public_key, nonce and encrypted_payload")
	errWrongKey   = errors.New("it cannot be decrypted: it was made for another key, another derive_key or another AAD, or was changed; " +
		"use the private key of dh_path, and derive_key and aad as the sink has them")
)

// Open decrypts the content of the file, as the client that has the private key. Its errors show nothing of the content.
func Open(content []byte, own *ecdh.PrivateKey, o Options) ([]byte, error) {
	var e envelope
	if err := json.Unmarshal(content, &e); err != nil || len(e.PublicKey) == 0 || len(e.Payload) == 0 {
		return nil, errNoEnvelope
	}
	theirs, err := ecdh.X25519().NewPublicKey(e.PublicKey)
	if err != nil {
		return nil, errNoEnvelope
	}
	key, err := agree(own, theirs, o.DeriveKey)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	if len(e.Nonce) != aead.NonceSize() {
		return nil, errNoEnvelope
	}
	plain, err := aead.Open(nil, e.Nonce, e.Payload, o.AAD)
	if err != nil {
		return nil, errWrongKey
	}
	return plain, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
