package vaulttest

import (
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
)

// Fault answers a request in Vault's stead. It may call vault, and lie about the outcome. A nil Fault lets the request through.
type Fault func(w http.ResponseWriter, r *http.Request, vault http.Handler)

func (f Fault) inject(w http.ResponseWriter, r *http.Request, vault http.Handler) {
	if f == nil {
		vault.ServeHTTP(w, r)
		return
	}
	f(w, r, vault)
}

// Match picks requests.
type Match func(r *http.Request) bool

// On picks requests whose method and path prefix are the given ones; an empty method is any method.
func On(method, prefix string) Match {
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && strings.HasPrefix(r.URL.Path, prefix)
	}
}

// Times picks only the first n requests that m picks.
func Times(n int, m Match) Match {
	var picked atomic.Int64
	return func(r *http.Request) bool { return m(r) && picked.Add(1) <= int64(n) }
}

type scriptedFault struct {
	match Match
	fault Fault
}

// Fail applies fault to every request that match picks, until Heal. Of several matches the earliest decides.
func (s *Server) Fail(match Match, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, scriptedFault{match, fault})
}

// Heal removes all faults. Requests that a fault already holds stay with it.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Answer sends the given response and leaves Vault out of it.
func Answer(status int, header http.Header, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// ResetBefore cuts the connection before Vault has seen the request.
func ResetBefore() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { reset(w) }
}

// ResetAfter lets Vault process the request, then cuts the connection: a reply lost after success.
func ResetAfter() Fault {
	return func(w http.ResponseWriter, r *http.Request, vault http.Handler) {
		vault.ServeHTTP(httptest.NewRecorder(), r)
		reset(w)
	}
}

// HalfHeaders lets Vault process the request, then cuts the connection in the middle of the answer's headers.
func HalfHeaders() Fault {
	return func(w http.ResponseWriter, r *http.Request, vault http.Handler) {
		vault.ServeHTTP(httptest.NewRecorder(), r)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: appl"))
		_ = conn.Close()
	}
}

// ShortBody sends the true headers and half of the body, then cuts the connection.
func ShortBody() Fault {
	return func(w http.ResponseWriter, r *http.Request, vault http.Handler) {
		rec := httptest.NewRecorder()
		vault.ServeHTTP(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		reset(w)
	}
}

// Delay holds the request back until release is closed, or its client leaves.
func Delay(release <-chan struct{}) Fault {
	return func(w http.ResponseWriter, r *http.Request, vault http.Handler) {
		select {
		case <-release:
			vault.ServeHTTP(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// Hang never answers. It lets go when the client leaves or the server ends.
func Hang() Fault { return Delay(nil) }

// reset cuts the connection; on TCP with an RST, so that the client sees a reset and not an orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
