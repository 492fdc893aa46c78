package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// OpenCredential reads the key that systemd gave this process as the credential name (LoadCredential= and LoadCredentialEncrypted= in
// systemd.exec(5)): a file in $CREDENTIALS_DIRECTORY with the text of a key file. It is never made here, since what stands there is gone
// with the process.
func OpenCredential(name string) (*Key, error) {
	secret, err := readCredential(name)
	if err != nil {
		return nil, fmt.Errorf("systemd credential %q: %w", name, err)
	}
	return NewKey(secret)
}

// HasCredential reports whether systemd gave this process the credential, readable or not: falling back to another key without a word
// because of a wrong mode would leave the state file of the last run behind.
func HasCredential(name string) bool {
	path, err := credentialPath(name)
	if err != nil {
		return false
	}
	_, err = os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func readCredential(name string) (*[size]byte, error) {
	path, err := credentialPath(name)
	if err != nil {
		return nil, err
	}
	text, mode, err := readRegular(path, maxText)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the unit does not have it; %s", loadCredential(name))
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; systemd lets the User= of the unit read it, and this is uid %d", err, os.Geteuid())
	case err != nil:
		return nil, fmt.Errorf("%w; %s", err, loadCredential(name))
	// Mode 0440 is systemd's own: it lets the unit's user in by an ACL, whose mask shows in the group's place (systemd/systemd#29435).
	case opens(mode, 0o037):
		return nil, fmt.Errorf("its mode %04o gives others access; let systemd provide it, with mode 0400 or 0440, and replace the key if it may be known", mode)
	}
	secret, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w; make it anew with %s", err, encryptCredential(name))
	}
	return secret, nil
}

func credentialPath(name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return "", errors.New("it must be the name of a file, without a directory")
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", fmt.Errorf("$CREDENTIALS_DIRECTORY is not set, so this process was not started by systemd with a credential; %s", loadCredential(name))
	}
	return filepath.Join(dir, name), nil
}

func loadCredential(name string) string {
	return fmt.Sprintf("add LoadCredentialEncrypted=%[1]s:/etc/credstore.encrypted/%[1]s to the unit, made with %[2]s", name, encryptCredential(name))
}

func encryptCredential(name string) string {
	return fmt.Sprintf("`openssl rand -base64 32 | systemd-creds encrypt --name=%[1]s - /etc/credstore.encrypted/%[1]s`", name)
}
