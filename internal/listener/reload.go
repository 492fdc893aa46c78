package listener

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
)

// Socket is a bound listener, whose certificate can be replaced while it serves. Safe for concurrent use.
type Socket struct {
	net.Listener // what Serve accepts from: with TLS when there is a certificate

	tls *atomic.Pointer[tls.Config] // of handshakes to come; nil for plain HTTP
}

// Open binds the socket. Nothing is accepted before Serve.
func Open(ctx context.Context, s Settings) (*Socket, error) {
	ln, err := bind(ctx, s)
	if err != nil {
		return nil, err
	}
	if s.CertFile == "" {
		return &Socket{Listener: ln}, nil
	}
	config, err := serverTLS(s)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	socket := &Socket{tls: &atomic.Pointer[tls.Config]{}}
	socket.tls.Store(config)
	socket.Listener = tls.NewListener(ln, &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return socket.tls.Load(), nil },
	})
	return socket, nil
}

func serverTLS(s Settings) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("listener: error loading TLS cert: %w; tls_cert_file and tls_key_file must be a PEM pair without passphrase", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// Prepare reads the TLS files that s names, and returns what puts them to use for new handshakes; connections that are there stay as they are. Until
// apply is called nothing has changed, and an error, one sentence for the operator, means that nothing will. read reports whether there is another
// certificate than before. Whether a socket has TLS at all cannot be changed: then it does nothing.
func (s *Socket) Prepare(settings Settings) (apply func(), read bool, err error) {
	if s.tls == nil || settings.CertFile == "" {
		return func() {}, false, nil
	}
	fresh, err := serverTLS(settings)
	if err != nil {
		return nil, false, err
	}
	if sameChain(fresh.Certificates[0], s.tls.Load().Certificates[0]) { // a new Config would forget the sessions of clients
		return func() {}, false, nil
	}
	return func() { s.tls.Store(fresh) }, true, nil
}

// Reload is Prepare and its apply in one. On an error the old certificate stays.
func (s *Socket) Reload(settings Settings) error {
	apply, _, err := s.Prepare(settings)
	if err == nil {
		apply()
	}
	return err
}

func sameChain(a, b tls.Certificate) bool {
	if len(a.Certificate) != len(b.Certificate) {
		return false
	}
	for i := range a.Certificate {
		if !bytes.Equal(a.Certificate[i], b.Certificate[i]) {
			return false
		}
	}
	return true
}
