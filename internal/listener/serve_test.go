package listener_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/listener"
)

// pipes is a net.Listener without a socket, so that time may be a bubble's.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.done:
		return nil, errNoListener
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, errNoListener
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

var errNoListener = errors.New("nobody listens")

// server is a Serve under way in a bubble.
type server struct {
	*pipes
	client *http.Client
	stop   context.CancelFunc
	done   chan error
	log    bytes.Buffer // to be read when nothing runs
}

func serve(t *testing.T, h http.HandlerFunc, s listener.Settings, grace time.Duration) *server {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	srv := &server{pipes: newPipes(), stop: stop, done: make(chan error, 1)}
	transport := &http.Transport{DialContext: srv.dial}
	t.Cleanup(transport.CloseIdleConnections)
	srv.client = &http.Client{Transport: transport}
	logger := slog.New(slog.NewTextHandler(&srv.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() { srv.done <- listener.Serve(ctx, srv.pipes, h, s, grace, logger) }()
	return srv
}

// get returns the whole answer.
func (s *server) get() (string, error) {
	resp, err := s.client.Get("http://leasehold/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestARequestUnderWayFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(5 * time.Second):
				_, _ = io.WriteString(w, "whole")
			case <-r.Context().Done():
			}
		}, listener.Settings{}, 10*time.Second)
		start := time.Now()
		time.AfterFunc(time.Second, s.stop)
		time.AfterFunc(2*time.Second, func() {
			if _, err := s.dial(t.Context(), "", ""); !errors.Is(err, errNoListener) {
				t.Errorf("a new connection while draining: %v", err)
			}
		})
		if body, err := s.get(); body != "whole" || err != nil {
			t.Errorf("answer = %q, %v", body, err)
		}
		if err := <-s.done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if got := time.Since(start); got < 5*time.Second || got > 6*time.Second {
			t.Errorf("Serve ended after %v, want the end of the request at 5s", got)
		}
		if s.log.Len() > 0 {
			t.Errorf("log = %s", &s.log)
		}
	})
}

func TestARequestThatExceedsTheGraceIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := make(chan error, 1)
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			cut <- context.Cause(r.Context())
		}, listener.Settings{}, 10*time.Second)
		start := time.Now()
		time.AfterFunc(time.Second, s.stop)
		if body, err := s.get(); body != "half" || err == nil {
			t.Errorf("answer = %q, %v; want half of it and an error", body, err)
		}
		if err := <-s.done; err != nil {
			t.Errorf("Serve = %v: a stop is a success", err)
		}
		if got := time.Since(start); got != 11*time.Second {
			t.Errorf("Serve ended after %v, want 11s", got)
		}
		if err := <-cut; !errors.Is(err, context.Canceled) {
			t.Errorf("the request's context ended with %v", err)
		}
		if got := s.log.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "shutdown_timeout=10s") {
			t.Errorf("log = %s", got)
		}
	})
}

func TestIdleConnectionsDoNotHoldUpTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(http.ResponseWriter, *http.Request) {}, listener.Settings{}, 10*time.Second)
		if _, err := s.get(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s.stop()
		if err := <-s.done; err != nil || time.Since(start) > time.Second {
			t.Errorf("Serve ended after %v with %v", time.Since(start), err)
		}
	})
}

func TestAStopBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		ln := newPipes()
		if err := listener.Serve(ctx, ln, http.NotFoundHandler(), listener.Settings{}, time.Second, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("Serve = %v", err)
		}
		select {
		case <-ln.done:
		default:
			t.Error("the socket stays open")
		}
	})
}

func TestABrokenSocketEndsServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(http.ResponseWriter, *http.Request) {}, listener.Settings{}, time.Second)
		_ = s.pipes.Close()
		err := <-s.done
		if !errors.Is(err, errNoListener) || !strings.HasPrefix(err.Error(), "listener: accept on pipe: ") {
			t.Errorf("Serve = %v", err)
		}
	})
}

// trickle stands for a byte each second.
const trickle = "..."

func TestSlowClientsAreCut(t *testing.T) {
	settings := listener.Settings{ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute}
	for name, tc := range map[string]struct {
		sends string
		after time.Duration
	}{
		"header":             {"GET / HTTP/1.1\r\nHost: lease", 10 * time.Second},
		"nothing":            {"", 10 * time.Second},
		"body":               {"POST / HTTP/1.1\r\nHost: leasehold\r\nContent-Length: 10\r\n\r\nabc", 30 * time.Second},
		"trickling body":     {"POST / HTTP/1.1\r\nHost: leasehold\r\nContent-Length: 1000000\r\n\r\n" + trickle, 30 * time.Second},
		"body of a refusal":  {"POST /refused HTTP/1.1\r\nHost: leasehold\r\nContent-Length: 10\r\n\r\nabc", 30 * time.Second},
		"idle after a body":  {"POST / HTTP/1.1\r\nHost: leasehold\r\nContent-Length: 3\r\n\r\nabc", 5 * time.Minute},
		"idle after a reply": {"GET / HTTP/1.1\r\nHost: leasehold\r\n\r\n", 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/refused" {
						return
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						panic(http.ErrAbortHandler)
					}
				}, settings, time.Second)
				start := time.Now()
				conn, err := s.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					request, bytes, _ := strings.Cut(tc.sends, trickle)
					_, err := io.WriteString(conn, request)
					for trickles := strings.HasSuffix(tc.sends, trickle); trickles && err == nil; _, err = io.WriteString(conn, "x"+bytes) {
						time.Sleep(time.Second)
					}
				}()
				if _, err := io.Copy(io.Discard, bufio.NewReader(conn)); err != nil {
					t.Errorf("read: %v", err)
				}
				if got := time.Since(start).Round(time.Second); got != tc.after {
					t.Errorf("cut after %v, want %v", got, tc.after)
				}
				_ = conn.Close()
				time.Sleep(time.Second) // until the trickle notices
				s.stop()
				if err := <-s.done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A panic is ours to mend, so nobody has to turn on debug to see it; what single clients do wrong is not worth a line.
func TestWhatIsLogged(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a panic":          {func(http.ResponseWriter, *http.Request) { panic("a bug") }, "level=ERROR"},
		"an abort":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ""},
		"a second header":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.WriteHeader(200) }, "level=DEBUG"},
		"nothing to tell ": {func(http.ResponseWriter, *http.Request) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, tc.handler, listener.Settings{}, time.Second)
				_, _ = s.get() // an abort is an error to the client
				s.stop()
				if err := <-s.done; err != nil {
					t.Error(err)
				}
				if got := s.log.String(); !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
					t.Errorf("log = %q, want %q", got, tc.want)
				}
			})
		})
	}
}

// net/http would answer by itself, past rights and access log.
func TestOptionsOfAllIsARequestAsOthersAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, r.Method+" "+r.URL.Path)
		}, listener.Settings{}, time.Second)
		r, err := http.NewRequestWithContext(t.Context(), "OPTIONS", "http://leasehold/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path = "*"
		resp, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusTeapot || string(body) != "OPTIONS *" {
			t.Errorf("OPTIONS * = %d %q, %v", resp.StatusCode, body, err)
		}
		s.stop()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
}
