package listener

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
)

const (
	fileInterval = 5 * time.Second
	expiresSoon  = 7 * 24 * time.Hour // before the end of a certificate: a warning at the start and when it is taken up
)

// material is what TLS is made of, and the files as they were just before they were read.
type material struct {
	config *tls.Config // nil without TLS
	files  []os.FileInfo
}

// files are those that TLS reads.
func (s Settings) files() []string {
	if s.CertFile == "" {
		return nil
	}
	names := []string{s.CertFile, s.KeyFile}
	if s.ClientCAFile != "" {
		names = append(names, s.ClientCAFile)
	}
	return names
}

// look describes the files; nil stands for one that cannot be seen. Links are followed: Kubernetes exchanges them.
func look(names []string) []os.FileInfo {
	seen := make([]os.FileInfo, len(names))
	for i, name := range names {
		if info, err := os.Stat(name); err == nil {
			seen[i] = info
		}
	}
	return seen
}

// same reports whether nothing was written to the files, and none replaced.
func same(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] == nil || b[i] == nil {
			if a[i] != nil || b[i] != nil {
				return false
			}
			continue
		}
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}

// load reads the files of TLS.
func load(s Settings) (material, error) {
	m := material{files: look(s.files())}
	if s.CertFile == "" {
		return m, nil
	}
	pair, err := loadPair(s.CertFile, s.KeyFile)
	if err != nil {
		return m, err
	}
	m.config = &tls.Config{
		MinVersion: cmp.Or(s.MinVersion, tls.VersionTLS12), MaxVersion: s.MaxVersion, CipherSuites: s.CipherSuites,
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}, ClientAuth: tls.RequestClientCert,
	}
	switch {
	case s.RequireClientCert:
		m.config.ClientAuth = tls.RequireAndVerifyClientCert
		m.config.ClientCAs, err = loadRoots(s.ClientCAFile)
	case s.DisableClientCerts:
		m.config.ClientAuth = tls.NoClientCert
	case s.ClientCAFile != "":
		_, err = loadRoots(s.ClientCAFile) // unused, as in Vault; but a mistake in it should not wait for the day when it is used
	}
	return m, err
}

func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	var none tls.Certificate
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return none, badPair(err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return none, badPair(err)
	}
	if encrypted(key) {
		return none, fmt.Errorf("listener: error loading TLS cert: the key in %s is encrypted; decrypt it with openssl pkey, and keep the file readable for Leasehold alone", keyFile)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return none, badPair(err)
	}
	return pair, nil
}

func badPair(err error) error {
	return fmt.Errorf("listener: error loading TLS cert: %w; tls_cert_file and tls_key_file must be a PEM pair without passphrase", err)
}

// encrypted reports whether a passphrase protects the first private key.
func encrypted(text []byte) bool {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
		}
	}
}

// loadRoots returns nil, which means the system's, without a file.
func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("listener: cannot read tls_client_ca_file: %w; name a readable PEM file", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("listener: tls_client_ca_file %s has no certificate; it must be a PEM bundle", file)
	}
	return pool, nil
}

// Reload takes up the certificate, key, client CA and the other settings of TLS for new handshakes; connections that are there stay. After an error
// all is as before. What belongs to the socket itself cannot change.
func (s *Socket) Reload(next Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.settings; old.Unix != next.Unix || old.Address != next.Address || (old.CertFile == "") != (next.CertFile == "") {
		return errors.New("listener: type, address and tls_disable cannot change while it is open; restart Leasehold")
	}
	return s.take(next)
}

// take is called with the lock held.
func (s *Socket) take(next Settings) error {
	m, err := load(next)
	if err != nil {
		return err
	}
	before := s.tls.Load()
	s.settings, s.loaded = next, m
	s.tls.Store(m.config)
	if m.config != nil && s.log != nil {
		if !bytes.Equal(before.Certificates[0].Certificate[0], m.config.Certificates[0].Certificate[0]) {
			leaf := m.config.Certificates[0].Leaf
			s.log.Info("new certificate", slog.String("address", s.addr.String()), slog.String("serial", leaf.SerialNumber.Text(16)), slog.Time("expires", leaf.NotAfter))
		}
		s.warn()
	}
	return nil
}

// warn tells of a certificate that ends soon.
func (s *Socket) warn() {
	config := s.tls.Load()
	if config == nil {
		return
	}
	leaf := config.Certificates[0].Leaf
	if left := time.Until(leaf.NotAfter); left < expiresSoon {
		problem := "the certificate ends soon"
		if left < 0 {
			problem = "the certificate has expired"
		}
		s.log.Warn(problem+"; replace tls_cert_file and tls_key_file",
			slog.String("address", s.addr.String()), slog.String("serial", leaf.SerialNumber.Text(16)), slog.Time("expires", leaf.NotAfter))
	}
}

// watch takes up the files of TLS when they change, until ctx ends. A pair that does not fit, because only half of it is written, is told once and
// tried again every time.
func (s *Socket) watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	s.mu.Lock()
	s.log = log
	s.warn()
	s.mu.Unlock()
	if every < 0 || s.tls.Load() == nil {
		return
	}
	tick := time.NewTicker(cmp.Or(every, fileInterval))
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := s.refresh()
		switch {
		case err == nil:
			told = ""
		case err.Error() != told:
			told = err.Error()
			log.Warn("the files of TLS have changed and cannot be used: the old ones stay", slog.String("address", s.addr.String()), slog.Any("error", err))
		}
	}
}

// refresh takes up the files if they have changed since they were read.
func (s *Socket) refresh() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if same(look(s.settings.files()), s.loaded.files) {
		return nil
	}
	return s.take(s.settings)
}
