package encrypted

import (
	"context"
	"crypto/cipher"
	"crypto/ecdh"
	"fmt"
	"sync"

	"leasehold/internal/vault"
)

// store is where the envelope goes.
type store interface {
	Name() string
	Store(ctx context.Context, content []byte) error
}

// Sink stores envelopes for one client. Its methods may be called from any goroutine.
type Sink struct {
	inner store
	own   *ecdh.PrivateKey
	path  string // of the client's public key
	opts  Options

	mu   sync.Mutex
	aead cipher.AEAD // nil until the client's key was read
}

// New makes a sink that stores in inner what the holder of the private key to the public one at path can read. The file need not exist yet. It is
// read when it is first needed, and trusted from then on until the process ends: who can replace it later gets nothing.
func New(inner store, own *ecdh.PrivateKey, path string, o Options) *Sink {
	return &Sink{inner: inner, own: own, path: path, opts: o}
}

// Name is the inner sink's.
func (s *Sink) Name() string { return s.inner.Name() }

// Write is Store for the bare token.
func (s *Sink) Write(ctx context.Context, t vault.Token) error {
	return s.Store(ctx, []byte(t.Reveal()))
}

// Store encrypts the content and stores the envelope. It fails as long as there is no public key at the path.
func (s *Sink) Store(ctx context.Context, content []byte) error {
	aead, err := s.key()
	if err != nil {
		return err
	}
	e, err := sealed(aead, s.own.PublicKey(), content, s.opts.AAD)
	if err != nil {
		return err
	}
	return s.inner.Store(ctx, e)
}

// key is made at the first call that finds a good public key.
func (s *Sink) key() (cipher.AEAD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aead != nil {
		return s.aead, nil
	}
	theirs, err := readPublic(s.path)
	if err != nil {
		return nil, err
	}
	key, err := agree(s.own, theirs, s.opts.DeriveKey)
	if err != nil {
		return nil, fmt.Errorf("the client's public key in %s: %w", s.path, err)
	}
	s.aead, err = newAEAD(key)
	return s.aead, err
}
