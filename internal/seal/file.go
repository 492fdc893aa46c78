package seal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"leasehold/internal/secretfile"
)

// maxText is above any way to write a key, in bytes, line ends and white space included.
const maxText = 128

// OpenKeyFile reads the key at path, and makes a new one there if there is no file: mode 0600, on disk when OpenKeyFile returns. Its
// directory must exist.
//
// The file holds 32 random bytes in standard base64, as `openssl rand -base64 32` prints them. Base64 and not the bare bytes: secret
// managers, manifests and systemd credentials carry text unharmed, and a passphrase or half a file cannot be taken for a key.
// A file that others may read or write is refused, and so is one that is not regular; a symbolic link to a good file is fine.
func OpenKeyFile(path string) (*Key, error) {
	secret, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret, err = createKeyFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return NewKey(secret)
}

func readKeyFile(path string) (*[size]byte, error) {
	text, mode, err := readRegular(path, maxText)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; let uid %d, and no other, read it", err, os.Geteuid())
	case errors.Is(err, errNotRegular):
		return nil, fmt.Errorf("%w; name one, or a path where one can be made", err)
	case err != nil:
		return nil, err
	case opens(mode, 0o077):
		return nil, fmt.Errorf("its mode %04o gives others access; run chmod 600 %s, and replace the key if it may be known", mode, path)
	}
	secret, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w; restore it, or write a new key with `openssl rand -base64 32`", err)
	}
	return secret, nil
}

func createKeyFile(path string) (*[size]byte, error) {
	dir := filepath.Dir(path)
	f, err := secretfile.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("directory %s does not exist; create it, closed to other users", dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; let uid %d write to %s, or write a key there with `openssl rand -base64 32`", err, os.Geteuid(), dir)
	case err != nil:
		return nil, err
	}
	secret := NewSecret()
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(secret[:]) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("%w; see that its disk has free space", err), os.Remove(path)) // half a key would be refused for ever
	}
	return secret, syncDir(dir)
}

// syncDir makes a new file in dir survive a power failure. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

var errNotRegular = errors.New("it is not a regular file")

// readRegular returns what a regular file, or a link to one, begins with: up to one byte more than most, so that too long a file shows.
func readRegular(path string, most int64) (text string, mode fs.FileMode, err error) {
	// Without O_NONBLOCK, opening a pipe would wait for its writer. What is open cannot be exchanged between check and read.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, errNotRegular
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	return string(b), info.Mode().Perm(), err
}

// opens reports whether mode gives one of the rights. Windows has no such bits.
func opens(mode, rights fs.FileMode) bool { return mode&rights != 0 && runtime.GOOS != "windows" }

// decode reads a key in the text form of a key file, white space around it included. Its error does not show the text.
func decode(text string) (*[size]byte, error) {
	secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil || len(secret) != size || len(text) > maxText {
		return nil, errors.New("it does not hold 32 bytes in base64")
	}
	return (*[size]byte)(secret), nil
}
