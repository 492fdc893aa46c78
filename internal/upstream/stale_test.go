package upstream_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vaulttest"
)

// dying is a connection that ends when it is asked to.
type dying struct {
	net.Conn
	ended chan struct{}
	gone  chan struct{}
	read  error // what Read says then, nil to go on
}

func (c *dying) Read(p []byte) (int, error) {
	if c.read == nil {
		return c.Conn.Read(p)
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-c.ended:
			c.SetReadDeadline(time.Now())
		case <-done:
		}
	}()
	n, err := c.Conn.Read(p)
	close(done)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.read
	}
	return n, err
}

func (c *dying) Write(p []byte) (int, error) {
	select {
	case <-c.ended:
		return 0, &net.OpError{Op: "write", Err: syscall.EPIPE}
	default:
		return c.Conn.Write(p)
	}
}

func (c *dying) Close() error {
	defer close(c.gone)
	return c.Conn.Close()
}

// A connection that ends between its choice from the pool and the first byte of a request is as good as none: net/http knows, but does not always
// take another.
func TestStaleConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		read      error
		creations bool // work as well
	}{
		"closed":     {io.EOF, true},
		"reset":      {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		"write only": {nil, false}, // what was written when the error came is not to be had from net/http
	} {
		for _, line := range []string{"GET /v1/secret/data/app", "GET /v1/leaser/creds/app", "POST /v1/secret/x", "DELETE /v1/secret/x"} {
			t.Run(name+" "+line, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newRigWith(t, upstream.Settings{Retry: upstream.Retry{SafeOnly: true}})
					var first *dying
					tr := b.vault.Transport(t)
					dial := tr.DialContext
					tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
						conn, err := dial(ctx, network, addr)
						if err != nil || first != nil {
							return conn, err
						}
						first = &dying{conn, make(chan struct{}), make(chan struct{}), tc.read}
						return first, nil
					}
					b.sent.RoundTripper = tr
					if _, _, err := b.forward(newTry("GET /v1/sys/health")); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					r := newTry(line)
					chosen := false
					r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
						if info.Conn != first {
							return
						}
						chosen = true
						close(first.ended)
						if tc.read != nil {
							<-first.gone
						}
					}}))
					b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(204, nil, ""))
					w, took, err := b.forward(r)
					if !tc.creations && strings.Contains(line, "creds") && r.Method == "GET" {
						if err == nil {
							t.Errorf("answer %d, want an error", w.Code)
						}
						return
					}
					if err != nil || w.Code != 204 || took != 0 || !chosen {
						t.Errorf("answer %d, %v after %v (stale connection chosen: %v); want 204 at once", w.Code, err, took, chosen)
					}
					if got := len(b.vault.Requests()); got != 2 {
						t.Errorf("Vault was asked %d times, want twice", got)
					}
				})
			})
		}
	}
}

// An HTTP/2 server says which requests it has not looked at.
func TestHTTP2RefusesUnread(t *testing.T) {
	for _, line := range []string{"GET /v1/secret/data/app", "GET /v1/leaser/creds/app", "POST /v1/secret/x"} {
		t.Run(line, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			var asked atomic.Int64
			go refuseFirstStream(t.Context(), ln, &asked)
			tr := &http.Transport{Protocols: new(http.Protocols)}
			tr.Protocols.SetUnencryptedHTTP2(true)
			t.Cleanup(tr.CloseIdleConnections)
			c := newClient(t, upstream.Settings{Address: "http://" + ln.Addr().String(), Transport: tr})
			w := httptest.NewRecorder()
			if err := c.Forward(w, newTry(line), root, nil); err != nil || w.Code != 204 || asked.Load() != 2 {
				t.Errorf("answer %d, %v after %d requests; want 204 after two", w.Code, err, asked.Load())
			}
		})
	}
}

// refuseFirstStream is an HTTP/2 server that knows just enough: it answers the first request with REFUSED_STREAM and the others with 204.
func refuseFirstStream(ctx context.Context, ln net.Listener, asked *atomic.Int64) {
	const headers, rstStream, settings, ping, refusedStream = 1, 3, 4, 6, 7
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			in := bufio.NewReader(conn)
			io.CopyN(io.Discard, in, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
			frame := func(kind, flags byte, stream uint32, payload ...byte) {
				head := binary.BigEndian.AppendUint32([]byte{0, 0, byte(len(payload)), kind, flags}, stream)
				conn.Write(append(head, payload...))
			}
			frame(settings, 0, 0)
			for {
				var head [9]byte
				if _, err := io.ReadFull(in, head[:]); err != nil {
					return
				}
				var payload bytes.Buffer
				io.CopyN(&payload, in, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
				stream := binary.BigEndian.Uint32(head[5:])
				switch {
				case head[3] == settings && head[4] == 0:
					frame(settings, 1, 0)
				case head[3] == ping && head[4] == 0:
					frame(ping, 1, 0, payload.Bytes()...)
				case head[3] == headers && asked.Add(1) == 1:
					frame(rstStream, 0, stream, 0, 0, 0, refusedStream)
				case head[3] == headers:
					frame(headers, 5, stream, 0x89) // the end of headers and of the stream; :status 204
				}
			}
		}()
	}
}
