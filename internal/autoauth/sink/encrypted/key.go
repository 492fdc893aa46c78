package encrypted

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxSize is far above any key or envelope: a larger file is a wrong path.
const maxSize = 1 << 20

// publicKey is the JSON of a public key's file, and privateKey that of a private one's. Vault names the first; the second is ours.
type publicKey struct {
	Key []byte `json:"curve25519_public_key"`
}

type privateKey struct {
	Key []byte `json:"curve25519_private_key"`
}

// NewKey makes a key pair. A process makes one for all its sinks.
func NewKey() (*ecdh.PrivateKey, error) { return ecdh.X25519().GenerateKey(rand.Reader) }

// EncodePublic is the content of a dh_path file.
func EncodePublic(k *ecdh.PublicKey) ([]byte, error) { return line(publicKey{k.Bytes()}) }

// EncodePrivate is the content of a file that ParsePrivate reads.
func EncodePrivate(k *ecdh.PrivateKey) ([]byte, error) { return line(privateKey{k.Bytes()}) }

func line(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}

var errNoPrivateKey = errors.New(`it holds no private key of curve25519; it may be {"curve25519_private_key": "<base64>"}, the base64 alone, or PEM (PKCS #8)`)

// ParsePrivate reads a client's private key: as EncodePrivate writes it, as bare base64, or as PKCS #8 in PEM, which openssl makes. Its errors show
// nothing of the content.
func ParsePrivate(content []byte) (*ecdh.PrivateKey, error) {
	content = bytes.TrimSpace(content)
	var raw []byte
	var file privateKey
	if block, _ := pem.Decode(content); block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if k, ok := parsed.(*ecdh.PrivateKey); err == nil && ok && k.Curve() == ecdh.X25519() {
			return k, nil
		}
	} else if json.Unmarshal(content, &file) == nil {
		raw = file.Key
	} else if b, err := base64.StdEncoding.DecodeString(string(content)); err == nil {
		raw = b
	}
	k, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return nil, errNoPrivateKey
	}
	return k, nil
}

var errNoPublicKey = errors.New(`it holds no public key of curve25519; the client has to write {"curve25519_public_key": "<base64 of 32 bytes>"} to it`)

// parsePublic reads the content of a dh_path file.
func parsePublic(content []byte) (*ecdh.PublicKey, error) {
	var file publicKey
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, errNoPublicKey
	}
	k, err := ecdh.X25519().NewPublicKey(file.Key)
	if err != nil {
		return nil, errNoPublicKey
	}
	return k, nil
}

// readPublic reads a dh_path file, which its client may be writing just now.
func readPublic(path string) (*ecdh.PublicKey, error) {
	content, err := ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the client's public key is missing: %w; the client has to write it there, for example with leasehold sink keygen", err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("the client's public key: %w; let uid %d read it", err, os.Geteuid())
	}
	if err != nil {
		return nil, fmt.Errorf("the client's public key: %w; let dh_path name the file that the client writes", err)
	}
	k, err := parsePublic(content)
	if err != nil {
		return nil, fmt.Errorf("the client's public key in %s: %w", path, err)
	}
	return k, nil
}

// ReadFile reads a file with a key or an envelope: a regular one, of 1 MiB at most.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // without O_NONBLOCK, opening a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(content) > maxSize {
		err = fmt.Errorf("%s is larger than %d KiB", path, maxSize>>10)
	}
	return content, err
}

// agree makes the AES key that the holders of two key pairs share. A point of low order, which would give everybody the same key, is refused.
func agree(ours *ecdh.PrivateKey, theirs *ecdh.PublicKey, derive bool) ([]byte, error) {
	own, peer := ours.PublicKey().Bytes(), theirs.Bytes()
	order := bytes.Compare(own, peer)
	if order == 0 {
		return nil, errors.New("both sides have the same public key; make a new pair for the client")
	}
	shared, err := ours.ECDH(theirs)
	if err != nil {
		return nil, errors.New("the public key is a point of low order, which keeps nothing secret; make a new pair for the client")
	}
	if !derive {
		return shared, nil
	}
	// Both sides get the same key only if they take the public keys in one order.
	if order > 0 {
		own, peer = peer, own
	}
	return hkdf.Key(sha256.New, shared, own, string(peer), 32)
}
