package oci

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/common"
)

// maxFileSize is far above any key or configuration, in bytes: a larger file is a wrong path.
const maxFileSize = 64 << 10

// APIKey is the API key of a user: that of the variables OCI_tenancy_ocid, OCI_user_ocid, OCI_fingerprint and OCI_private_key_path (or in capitals), else
// that of the profile DEFAULT of the first file there is: ~/.oci/config, the one that OCI_CONFIG_FILE names, ~/.oraclebmc/config. All is read at every
// login. The SDK's own providers read a file once in the life of a process, so that a new key would never be seen.
type APIKey struct {
	Home   string              // default: the home directory of the process's user
	Getenv func(string) string // default os.Getenv
}

// profile is a key as it is configured.
type profile struct {
	from                       string // for messages: where all this is said
	tenancy, user, fingerprint string
	keyFile, passphrase        string
	tokenFile                  string // holds a session token, which stands for the user and the fingerprint
}

func (k APIKey) who() string { return "the user of the API key" }

func (k APIKey) identity(context.Context) (identity, error) {
	p, err := k.profile()
	if err != nil {
		return identity{}, err
	}
	key, err := k.key(p)
	if err != nil {
		return identity{}, err
	}
	if p.user == "" && p.tokenFile != "" {
		token, err := readFile(k.expand(p.tokenFile))
		if err != nil {
			return identity{}, fmt.Errorf("read the session token that %s names: %w; run oci session authenticate", p.from, err)
		}
		return identity{id: "ST$" + strings.TrimSpace(string(token)), key: key}, nil
	}
	for _, v := range []struct{ name, value string }{{"tenancy", p.tenancy}, {"user", p.user}, {"fingerprint", p.fingerprint}} {
		if v.value == "" {
			return identity{}, fmt.Errorf("%s has no %s; write it there", p.from, v.name)
		}
	}
	return identity{id: p.tenancy + "/" + p.user + "/" + p.fingerprint, key: key}, nil
}

func (k APIKey) profile() (profile, error) {
	getenv := k.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	if p, ok := environment(getenv); ok {
		return p, nil
	}
	for _, path := range []string{k.expand("~/.oci/config"), getenv("OCI_CONFIG_FILE"), k.expand("~/.oraclebmc/config")} {
		if path == "" {
			continue
		}
		b, err := readFile(k.expand(path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return profile{}, fmt.Errorf("read the configuration of OCI: %w; correct %s", err, path)
		}
		return parseProfile(string(b), path)
	}
	return profile{}, errors.New("there is no API key of OCI; write ~/.oci/config, or set OCI_CONFIG_FILE, or all of" +
		" OCI_tenancy_ocid, OCI_user_ocid, OCI_fingerprint and OCI_private_key_path")
}

// environment is the key of the environment, if it has all of one.
func environment(getenv func(string) string) (profile, bool) {
	get := func(name string) string { return cmp.Or(getenv("OCI_"+name), getenv("OCI_"+strings.ToUpper(name))) }
	p := profile{from: "the environment", tenancy: get("tenancy_ocid"), user: get("user_ocid"), fingerprint: get("fingerprint"), keyFile: get("private_key_path")}
	return p, p.tenancy != "" && p.user != "" && p.fingerprint != "" && p.keyFile != ""
}

// parseProfile reads the profile DEFAULT of a configuration: lines of key=value, after a line of [DEFAULT].
func parseProfile(text, path string) (profile, error) {
	p := profile{from: path}
	within, found := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			within = strings.HasPrefix(line, "[DEFAULT]")
			found = found || within
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !within || !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "tenancy":
			p.tenancy = value
		case "user":
			p.user = value
		case "fingerprint":
			p.fingerprint = value
		case "key_file":
			p.keyFile = value
		case "passphrase", "pass_phrase":
			p.passphrase = value
		case "security_token_file":
			p.tokenFile = value
		}
	}
	if !found {
		return profile{}, fmt.Errorf("%s has no profile DEFAULT; put the line [DEFAULT] before the keys", path)
	}
	return p, nil
}

func (k APIKey) key(p profile) (*rsa.PrivateKey, error) {
	if p.keyFile == "" {
		return nil, fmt.Errorf("%s has no key_file; write the path of the private key there", p.from)
	}
	b, err := readFile(k.expand(p.keyFile))
	if err != nil {
		return nil, fmt.Errorf("read the private key that %s names: %w; write it to %s", p.from, err, p.keyFile)
	}
	key, err := common.PrivateKeyFromBytes(b, &p.passphrase)
	if err != nil || key == nil {
		return nil, fmt.Errorf("%s is not an RSA key as PEM, or its passphrase is not that of %s; write the key anew, or set pass_phrase", p.keyFile, p.from)
	}
	return key, nil
}

// expand puts the home directory where a path begins with ~.
func (k APIKey) expand(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	home := k.Home
	if home == "" {
		home, _ = os.UserHomeDir() // without one, the path that results is in the message
	}
	return filepath.Join(home, rest)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file") // opening a pipe would wait for its writer
	case info.Size() > maxFileSize:
		return nil, fmt.Errorf("larger than %d KiB", maxFileSize>>10)
	}
	return os.ReadFile(path)
}
