package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// keepAlive is the TCP keep-alive period of accepted connections, as Vault Proxy's.
const keepAlive = 3 * time.Minute

// Settings are those of one listener.
type Settings struct {
	Unix    bool   // listener "unix"
	Address string // host:port, where port 0 takes a free one; of a unix socket its path, or @name for an abstract one

	SocketMode              os.FileMode // permission bits of a unix socket; 0 leaves them to the umask
	SocketUser, SocketGroup string      // a name or a number; "" is the process's own

	Inherited     *Inherited // sockets that the service manager has opened; nil when there are none
	SystemdSocket string     // the name of the inherited socket to use; "" goes by the address

	CertFile, KeyFile      string        // PEM; both empty serves plain HTTP
	MinVersion, MaxVersion uint16        // of crypto/tls; 0 means TLS 1.2 and TLS 1.3
	CipherSuites           []uint16      // up to TLS 1.2; nil means Go's
	ClientCAFile           string        // PEM; "" means the system's roots
	RequireClientCert      bool          // and verify it
	DisableClientCerts     bool          // do not even ask for one
	FileInterval           time.Duration // how often the files of TLS are looked at; 0 means 5 seconds, below zero never

	ReadHeaderTimeout time.Duration        // 0 means ReadTimeout
	ReadTimeout       time.Duration        // for each 64 KiB of a request's body; 0 means no limit
	WriteTimeout      time.Duration        // for a whole answer; 0 means no limit
	IdleTimeout       time.Duration        // between requests; 0 means ReadTimeout
	MaxDuration       time.Duration        // of a request with its answer, 504 beyond; 0 means no limit
	Grace             func() time.Duration // asked when the stop begins, instead of Serve's grace; nil for that
	MaxHeaderSize     int                  // bytes of a request's line and headers, 431 beyond; 0 means 1 MiB
}

// Socket is an open listener. It may be used by several goroutines at once.
type Socket struct {
	net.Listener
	addr      net.Addr
	inherited bool
	remove    func() // takes the file of a unix socket away

	close  sync.Once
	failed error // of closing

	tls atomic.Pointer[tls.Config] // of the next handshake; nil serves plain HTTP

	accepted atomic.Uint64 // connections so far
	seen     uint64        // of those, at the last look that found the socket to accept; Accepts alone uses it

	mu       sync.Mutex
	settings Settings
	loaded   material
	log      *slog.Logger // nil until Serve
}

// Open binds the socket, or takes over one that the service manager has bound. Nothing is accepted before Serve.
func Open(ctx context.Context, s Settings) (*Socket, error) {
	m, err := load(s) // first: a socket that is there must mean that it can be used
	if err != nil {
		return nil, err
	}
	socket, err := open(ctx, s)
	if err != nil {
		return nil, err
	}
	socket.settings, socket.loaded = s, m
	socket.tls.Store(m.config)
	return socket, nil
}

func open(ctx context.Context, s Settings) (*Socket, error) {
	ln, err := s.Inherited.take(s)
	if err != nil {
		return nil, err
	}
	if ln != nil {
		return &Socket{Listener: ln, addr: ln.Addr(), inherited: true, remove: func() {}}, nil
	}
	if s.Unix {
		return openUnix(ctx, s)
	}
	config := net.ListenConfig{KeepAlive: keepAlive}
	ln, err = config.Listen(ctx, network(s.Address), s.Address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listener: %s is in use by another process; stop it or choose another address", s.Address)
	}
	if err != nil {
		return nil, fmt.Errorf("listener: cannot listen on %s: %w; choose an address of this machine", s.Address, err)
	}
	return &Socket{Listener: ln, addr: ln.Addr(), remove: func() {}}, nil
}

// network keeps an IPv4 address to IPv4: 0.0.0.0 must not open the machine's IPv6 side as well.
func network(address string) string {
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// Accept waits for the next connection. The handshake of TLS comes with its first use.
func (s *Socket) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s.accepted.Add(1)
	if tcp, ok := conn.(*net.TCPConn); ok && s.inherited {
		_ = tcp.SetKeepAlivePeriod(keepAlive) // fails only on a connection that is closed
	}
	if config := s.tls.Load(); config != nil {
		return tls.Server(&plainWatch{Conn: conn}, config), nil
	}
	return conn, nil
}

// Addr is where clients find the socket.
func (s *Socket) Addr() net.Addr { return s.addr }

// Inherited reports whether the service manager has opened the socket.
func (s *Socket) Inherited() bool { return s.inherited }

// Close stops accepting, and takes the file of a unix socket away unless somebody else has put his there meanwhile. Later calls do nothing more.
func (s *Socket) Close() error {
	s.close.Do(func() {
		s.remove()
		s.failed = s.Listener.Close()
	})
	return s.failed
}
