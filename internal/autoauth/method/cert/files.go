package cert

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Files are the PEM files that a connection to Vault is made with. "" means that there is no such file.
type Files struct {
	CA   string
	Cert string
	Key  string
}

// stamp tells contents of the files apart.
type stamp [3][sha256.Size]byte

func (f Files) list() (paths []string) {
	for _, path := range []string{f.CA, f.Cert, f.Key} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// stamp reads the files. It is an error if they cannot be used as they are, as when only one of a new pair has been written.
func (f Files) stamp() (s stamp, err error) {
	var content [3][]byte
	for i, path := range []string{f.CA, f.Cert, f.Key} {
		if path == "" {
			continue
		}
		if content[i], err = os.ReadFile(path); err != nil {
			return s, fmt.Errorf("read the certificate files: %w; write it there", err)
		}
		s[i] = sha256.Sum256(content[i])
	}
	if f.CA != "" && !x509.NewCertPool().AppendCertsFromPEM(content[0]) {
		return s, fmt.Errorf("no certificate in %s; write the PEM file of the CA there", f.CA)
	}
	if f.Cert == "" {
		return s, nil
	}
	if _, err := tls.X509KeyPair(content[1], content[2]); err != nil {
		return s, fmt.Errorf("client certificate and key: %w; write a pair to %s and %s", err, f.Cert, f.Key)
	}
	return s, nil
}
