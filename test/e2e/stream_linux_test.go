package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
)

// much is what flows each way.
const much = 1 << 30

// maxGrowth bounds what the process may take in memory for it, whose buffers are of some ten kilobytes: the rest is the garbage collector's.
const maxGrowth = 32 << 20

// zeros gives n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Snapshots flow: a gibibyte each way, with and without a length, through a process that stays as small as it was.
func TestStreamsTakeNoMemory(t *testing.T) {
	standIn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		w.Header().Set("X-Read", strconv.FormatInt(n, 10))
		if size := r.URL.Query().Get("size"); size != "" {
			if r.URL.Query().Has("length") {
				w.Header().Set("Content-Length", size)
			}
			n, _ := strconv.ParseInt(size, 10, 64)
			_, _ = io.Copy(w, zeros(n))
		}
	}))
	t.Cleanup(standIn.Close)
	p := startProxy(t, fmt.Sprintf(`
vault { address = %q }
cache {}
listener "tcp" {
  address          = "127.0.0.1:0"
  tls_disable      = true
  max_request_size = -1
}`, standIn.URL))
	exchange := func(method, query string, length int64, body io.Reader) (sent, got int64) {
		r, err := http.NewRequestWithContext(t.Context(), method, p.URLs[0]+"/v1/sys/storage/raft/snapshot"+query, body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err = io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		sent, _ = strconv.ParseInt(resp.Header.Get("X-Read"), 10, 64)
		return sent, got
	}
	exchange("POST", "?size=10000000", -1, zeros(10_000_000)) // buffers and code are there from now on
	before := p.memory(t, "VmRSS")
	for name, query := range map[string]string{"of unknown length": "", "of known length": "&length"} {
		if _, got := exchange("GET", fmt.Sprintf("?size=%d%s", int64(much), query), 0, nil); got != much {
			t.Errorf("answer %s: %d bytes", name, got)
		}
	}
	for name, length := range map[string]int64{"of unknown length": -1, "of known length": much} {
		if sent, _ := exchange("POST", "", length, zeros(much)); sent != much {
			t.Errorf("body %s: %d bytes", name, sent)
		}
	}
	growth := p.memory(t, "VmHWM") - before
	t.Logf("resident before: %d KiB; at most %d KiB more while 4 GiB flowed", before>>10, growth>>10)
	limit := int64(maxGrowth)
	if withRace {
		limit *= 4 // the race detector keeps a shadow of all memory
	}
	if growth > limit {
		t.Errorf("resident memory grew by %d bytes", growth)
	}
}

// memory is a line of the process's status, in bytes.
func (p *proxy) memory(t *testing.T, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// sockets counts the open sockets of the process.
func (p *proxy) sockets(t *testing.T) (n int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(dir + "/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// Clients that trickle, stop halfway, or vanish at any point leave no connection behind, neither theirs nor one to Vault.
func TestBadClientsLeaveNothingBehind(t *testing.T) {
	underWay := make(chan struct{})
	standIn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		switch r.URL.Path {
		case "/v1/hold":
			underWay <- struct{}{}
			<-r.Context().Done()
		case "/v1/endless":
			_, _ = io.Copy(w, zero{})
		}
	}))
	t.Cleanup(standIn.Close)
	p := startProxy(t, fmt.Sprintf(`
vault { address = %q }
cache {}
listener "tcp" {
  address                  = "127.0.0.1:0"
  tls_disable              = true
  http_read_header_timeout = "1s"
  http_read_timeout        = "1s"
  http_idle_timeout        = "1s"
}`, standIn.URL))
	before := p.sockets(t)
	addr := strings.TrimPrefix(p.URLs[0], "http://")
	var open []net.Conn
	dial := func(text string) net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
		return conn
	}
	const rounds, idle = 20, 4 // some idle connections to Vault are kept on purpose
	for range rounds {
		dial("")
		dial("GET /v1/x HTTP/1.1\r\nX-Slow")
		dial("POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
		dial("POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf").Close()
		dial("POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha")
		dial("GET /v1/x HTTP/1.1\r\nHost: h\r\n\r\n") // and idle
		gone := dial("GET /v1/endless HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, err := io.ReadFull(gone, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		_ = gone.(*net.TCPConn).SetLinger(0) // a reset
		_ = gone.Close()
		held := dial("GET /v1/hold HTTP/1.1\r\nHost: h\r\n\r\n")
		<-underWay
		_ = held.Close()
	}
	eventually(t, "all connections are gone", func() bool { return p.sockets(t) <= before+idle })
	for _, conn := range open {
		_ = conn.Close()
	}
	if a := p.do(t, "GET", "/v1/x", ""); a.Status != http.StatusOK {
		t.Errorf("then: %d %s", a.Status, a.Body)
	}
}

// An answer that Vault breaks off is an error to the client, never a whole one that is short.
func TestHalfAnAnswerIsNoAnswer(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"of known length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(bytes.Repeat([]byte("x"), 500))
		},
		"of unknown length": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 500))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			standIn := httptest.NewServer(handler)
			t.Cleanup(standIn.Close)
			p := startProxy(t, fmt.Sprintf("vault { address = %q }\ncache {}\nlistener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n}", standIn.URL))
			for _, path := range []string{"/v1/secret/x", "/v1/sys/storage/raft/snapshot"} {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				a, err := send(ctx, "GET", p.URLs[0]+path, "")
				cancel()
				if err == nil {
					t.Errorf("%s: %d with %d bytes and no error", path, a.Status, len(a.Body))
				}
			}
		})
	}
}
