package vaulttest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Server is a scripted Vault. All methods are safe for concurrent use.
type Server struct {
	URL string // http://host:port, without a trailing slash

	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	refused atomic.Bool
	routes  http.Handler
	ctx     context.Context // ends with the server: whatever a fault holds back lets go

	mu       sync.Mutex // guards the fields below
	requests []Request
	faults   []scriptedFault
	state    state
}

// Request is one request as it arrived.
type Request struct {
	Method string
	Target string // the raw request target of the request line
	Host   string
	Header http.Header
	Body   []byte
}

// NewServer starts a Vault on a local socket. It ends with the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("vaulttest: %v", err)
	}
	var d net.Dialer
	return start(t, ln, d.DialContext)
}

// NewInMemory starts a Vault that only Transport reaches: no socket, so it works inside a testing/synctest bubble, where it must be
// started with the bubble's own t. The protocol is still HTTP/1.1, byte by byte over net.Pipe.
func NewInMemory(t testing.TB) *Server {
	t.Helper()
	ln := newPipeListener()
	return start(t, ln, ln.dial)
}

func start(t testing.TB, ln net.Listener, dial func(context.Context, string, string) (net.Conn, error)) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{dial: dial, ctx: ctx, state: newState()}
	s.routes = s.newRoutes()
	web := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(s.serve)}}
	web.Start()
	s.URL = web.URL
	t.Cleanup(func() {
		cancel()
		web.Close()
	})
	return s
}

// Transport returns a new transport that reaches this server, whatever the address; it is closed with the test. Tests in a bubble pass
// it to what they test.
func (s *Server) Transport(t testing.TB) *http.Transport {
	tr := &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			if s.refused.Load() {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}
			return s.dial(ctx, network, s.URL[len("http://"):])
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// Refuse makes new connections through Transport fail as if nothing listened; open connections live on.
func (s *Server) Refuse(on bool) { s.refused.Store(on) }

// Requests returns what has arrived so far, in order of arrival; faulty or not, a request counts once its body was read.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client left in the middle of its request
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()

	s.record(r, body).inject(w, r.WithContext(ctx), s.routes)
}

// record logs the request and finds the fault that awaits it.
func (s *Server) record(r *http.Request, body []byte) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header.Clone(), Body: body,
	})
	for _, f := range s.faults {
		if f.match(r) {
			return f.fault
		}
	}
	return nil
}

// pipeListener accepts the far ends of the pipes that dial hands out.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "vault.test:8200" }
