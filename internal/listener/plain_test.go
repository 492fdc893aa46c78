package listener_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"leasehold/internal/listener"
)

// A client that speaks HTTP to a TLS port is told in Vault's way, whatever it asks for; for the operator it is worth a line at debug.
func TestPlainHTTPOnATLSPort(t *testing.T) {
	large := strings.Repeat("x", 200<<10) // more than what is read with the first byte: closing on it would reset the connection
	for name, tc := range map[string]struct{ method, body string }{
		"GET": {"GET", ""}, "LIST": {"LIST", ""}, "DELETE": {"DELETE", ""}, "a large PUT": {"PUT", large},
	} {
		for network, s := range map[string]listener.Settings{"tcp": {Address: "127.0.0.1:0"}, "unix": unixSettings(t)} {
			t.Run(name+" over "+network, func(t *testing.T) {
				s.CertFile, s.KeyFile, _ = keyPair(t, "one")
				ln := open(t, s)
				var log bytes.Buffer
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() {
					h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request was served") })
					done <- listener.Serve(ctx, ln, h, s, time.Second, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
				}()
				conn, err := net.Dial(network, ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				req, err := http.NewRequest(tc.method, "http://leasehold/v1/sys/health", strings.NewReader(tc.body))
				if err != nil {
					t.Fatal(err)
				}
				if err := req.Write(conn); err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(conn)
				if err != nil {
					t.Fatal(err)
				}
				head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
				if !bytes.HasPrefix(head, []byte("HTTP/1.1 400 Bad Request\r\n")) || !bytes.Contains(head, []byte("Content-Type: application/json")) {
					t.Errorf("head = %s", head)
				}
				var told struct{ Errors []string }
				if err := json.Unmarshal(body, &told); err != nil || len(told.Errors) != 1 || !strings.Contains(told.Errors[0], "Write https://") {
					t.Errorf("body = %s, %v", body, err)
				}
				_ = conn.Close()
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if got := log.String(); !strings.Contains(got, "level=DEBUG") || !strings.Contains(got, "client sent an HTTP request to an HTTPS server") {
					t.Errorf("log = %s", got)
				}
			})
		}
	}
}

// What is neither HTTP nor TLS gets no answer, and a client that says nothing none either.
func TestNoHTTPAndNoTLS(t *testing.T) {
	s := listener.Settings{Address: "127.0.0.1:0"}
	s.CertFile, s.KeyFile, _ = keyPair(t, "one")
	ln := open(t, s)
	served(t, ln, s, func(http.ResponseWriter, *http.Request) { t.Error("the request was served") })
	for _, sent := range []string{"get / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x00\x00", "\n\n\n\n\n\n"} {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Error(err)
		}
		if got, _ := io.ReadAll(conn); bytes.Contains(got, []byte("HTTP/1")) {
			t.Errorf("%q was answered %q", sent, got)
		}
		_ = conn.Close()
	}
	conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("TLS after all that: %v", err)
	}
	_ = conn.Close()
}
