package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// TLS says how Leasehold's certificate is verified, and what it is shown. The zero value verifies it against the system's roots.
type TLS struct {
	CACert, CAPath        string // a PEM file, and a directory of such; either in place of the system's roots
	ClientCert, ClientKey string // PEM files; both or none
	ServerName            string // that the certificate must have instead of the address's host
	SkipVerify            bool
}

func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.SkipVerify { // as the person at the command line says
		c.InsecureSkipVerify = true
	}
	if t.CACert != "" || t.CAPath != "" {
		var err error
		if c.RootCAs, err = t.roots(); err != nil {
			return nil, err
		}
	}
	if (t.ClientCert == "") != (t.ClientKey == "") {
		return nil, errors.New("a client certificate needs its key, and a key its certificate; give -client-cert and -client-key")
	}
	if t.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(t.ClientCert, t.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("the client certificate cannot be used: %w; check -client-cert and -client-key", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (t TLS) roots() (*x509.CertPool, error) {
	var files []string
	if t.CACert != "" {
		files = append(files, t.CACert)
	}
	if t.CAPath != "" {
		entries, err := os.ReadDir(t.CAPath)
		if err != nil {
			return nil, fmt.Errorf("-ca-path cannot be read: %w; name a directory of PEM files", err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(t.CAPath, e.Name()))
			}
		}
	}
	pool := x509.NewCertPool()
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("the CA cannot be read: %w; check -ca-cert and -ca-path", err)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in PEM; check -ca-cert and -ca-path", name)
		}
	}
	return pool, nil
}
