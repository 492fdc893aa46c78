package router_test

import (
	"bufio"
	"context"
	"encoding/json"
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

	"leasehold/internal/api"
	"leasehold/internal/router"
)

// pipes is a listener in memory: what a client does not read is not taken, so that one that is slow is slow at once.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.over) })
	return nil
}

func (*pipes) Addr() net.Addr { return loopback }

// feed is a listener with events, inside of a bubble.
type feed struct {
	openInside
	pipes   pipes
	server  *http.Server
	stop    context.CancelFunc // of the daemon
	told    *router.Feed
	over    context.Context // of the router; nil without reloads
	mu      sync.Mutex
	samples []api.Sample
	seen    []router.Exchange
}

func newFeed(t *testing.T, opt router.Options) *feed {
	ctx, stop := context.WithCancel(t.Context())
	f := &feed{stop: stop}
	f.told = router.NewFeed(ctx, f.since)
	f.start(t, opt)
	return f
}

// beside returns another listener with the same events.
func (f *feed) beside(t *testing.T, opt router.Options) *feed {
	other := &feed{stop: f.stop, told: f.told}
	other.start(t, opt)
	return other
}

func (f *feed) start(t *testing.T, opt router.Options) {
	f.pipes = pipes{conns: make(chan net.Conn), over: make(chan struct{})}
	f.openInside.status = func(full bool) api.Status {
		s := api.Status{PID: f.asked}
		if full {
			s.Version = "full"
		}
		return s
	}
	f.server = &http.Server{
		WriteTimeout: 3 * time.Second, // less than a stream lasts
		Handler: router.New(router.Parts{
			Inside: &f.openInside, Log: slog.New(slog.DiscardHandler), Answer: &fakeAnswer{},
			Feed: f.told, Over: f.over,
			Seen: func(x *router.Exchange) { f.mu.Lock(); defer f.mu.Unlock(); f.seen = append(f.seen, *x) },
		}, opt),
	}
	done := make(chan error)
	go func() { done <- f.server.Serve(&f.pipes) }()
	t.Cleanup(func() {
		f.stop()
		drain, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := f.server.Shutdown(drain); err != nil {
			t.Error(err)
			_ = f.server.Close()
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func (f *feed) since(seen int) ([]api.Sample, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.samples[seen:], len(f.samples)
}

func (f *feed) add(requests int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.samples = append(f.samples, api.Sample{Requests: requests})
}

// connect asks for events and reads nothing.
func (f *feed) connect(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	f.pipes.conns <- server
	if _, err := io.WriteString(client, "GET /proxy/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// listener reads events.
type listener struct {
	net.Conn
	resp *http.Response
	body *bufio.Reader
}

func (f *feed) listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{Conn: f.connect(t)}
	var err error
	if l.resp, err = http.ReadResponse(bufio.NewReader(l.Conn), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Conn.Close() // else closing the body reads on
		_ = l.resp.Body.Close()
	})
	l.body = bufio.NewReader(l.resp.Body)
	return l
}

// next is the next event and its data.
func (l *listener) next(t *testing.T) (name, data string) {
	t.Helper()
	for {
		line, err := l.body.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		switch line = strings.TrimSpace(line); {
		case line == "":
			return name, data
		case strings.HasPrefix(line, "event: "):
			name = strings.TrimPrefix(line, "event: ")
		case strings.HasPrefix(line, "data: "):
			data = strings.TrimPrefix(line, "data: ")
		}
	}
}

func (l *listener) want(t *testing.T, event, part string) {
	t.Helper()
	if name, data := l.next(t); name != event || !strings.Contains(data, part) || !json.Valid([]byte(data)) {
		t.Errorf("event %s %s, want %s with %s", name, data, event, part)
	}
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, router.Options{Admin: true})
		f.add(1)
		f.add(2)
		began := time.Now()
		l := f.listen(t)
		if l.resp.StatusCode != http.StatusOK || l.resp.Header.Get("Content-Type") != "text/event-stream" || l.resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("the answer is %d %q", l.resp.StatusCode, l.resp.Header)
		}
		l.want(t, "history", `"requests":2`)
		l.want(t, "status", `"version":"full"`)
		f.add(3)
		f.add(4)
		l.want(t, "sample", `"requests":3`)
		l.want(t, "sample", `"requests":4`)
		for range 20 { // far beyond the server's WriteTimeout
			l.want(t, "status", `"pid":`)
		}
		if took := time.Since(began); took != 20*5*time.Second {
			t.Errorf("twenty more statuses took %v", took)
		}
		_ = l.Close()
		synctest.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.seen) != 1 || !f.seen[0].Stream {
			t.Errorf("seen: %+v", f.seen)
		}
	})
}

func TestEventsWithoutSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newFeed(t, router.Options{EnableStatus: true}).listen(t)
		l.want(t, "history", "[]")
		l.want(t, "status", `"version":""`) // where no accessor is told
	})
}

// However many listen, the entries are looked at as often as for one.
func TestOneStatusForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, router.Options{Admin: true})
		for range 10 {
			l := f.listen(t)
			l.want(t, "history", "[]")
			l.want(t, "status", `"pid":1`)
		}
		if f.asked != 1 {
			t.Errorf("asked %d times", f.asked)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, router.Options{Admin: true})
		var all []*listener
		for range 16 {
			l := f.listen(t)
			if l.resp.StatusCode != http.StatusOK {
				t.Fatalf("status = %d", l.resp.StatusCode)
			}
			all = append(all, l)
		}
		l := f.listen(t)
		if l.resp.StatusCode != http.StatusServiceUnavailable || l.resp.Header.Get("Retry-After") == "" {
			t.Errorf("the 17th gets %d %q", l.resp.StatusCode, l.resp.Header)
		}
		_ = l.Close()
		_ = all[3].Close()
		synctest.Wait()
		if l := f.listen(t); l.resp.StatusCode != http.StatusOK {
			t.Errorf("after one has left: %d", l.resp.StatusCode)
		}
	})
}

// However many clients listen, an administrator is let in, and the other way round.
func TestStreamsOfAdministratorsCountApart(t *testing.T) {
	for name, admin := range map[string]bool{"an administrator": true, "a client": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				others := newFeed(t, router.Options{Admin: !admin, EnableStatus: true})
				more := others.beside(t, router.Options{Admin: !admin, EnableStatus: true})
				for range 8 {
					others.listen(t)
					more.listen(t)
				}
				if l := more.listen(t); l.resp.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("the 17th of all listeners gets %d", l.resp.StatusCode)
				}
				if l := others.beside(t, router.Options{Admin: admin, EnableStatus: true}).listen(t); l.resp.StatusCode != http.StatusOK {
					t.Errorf("%s beside 16 others gets %d", name, l.resp.StatusCode)
				}
			})
		})
	}
}

// Who does not read is dropped, and holds up nobody.
func TestASlowListenerIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, router.Options{Admin: true})
		f.connect(t)
		other := f.listen(t)
		other.want(t, "history", "[]")
		began := time.Now()
		for range 4 {
			other.want(t, "status", `"pid":`)
		}
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("four statuses took %v", took)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.seen) != 1 || f.seen[0].Took != 10*time.Second {
			t.Errorf("seen: %+v", f.seen)
		}
	})
}

// A reload ends the streams that began before it, also one that nobody reads, and no other.
func TestAReloadEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		after := newFeed(t, router.Options{EnableStatus: true})
		before := &feed{stop: after.stop, told: after.told}
		var reload context.CancelFunc
		before.over, reload = context.WithCancel(t.Context())
		before.start(t, router.Options{EnableStatus: true})
		ended, stays := before.listen(t), after.listen(t)
		before.connect(t)
		for _, l := range []*listener{ended, stays} {
			l.want(t, "history", "[]")
			l.want(t, "status", `"pid":`)
		}
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		reload()
		_ = ended.SetReadDeadline(began.Add(2 * time.Second)) // else this would read on
		if rest, err := io.ReadAll(ended.body); err != nil || len(rest) > 0 || time.Since(began) != 0 {
			t.Errorf("after the reload, and %v: %q, %v", time.Since(began), rest, err)
		}
		stays.want(t, "status", `"pid":`)
		before.mu.Lock()
		defer before.mu.Unlock()
		if len(before.seen) != 2 || before.seen[1].Began.Add(before.seen[1].Took) != began.Add(time.Second) {
			t.Errorf("seen: %+v", before.seen)
		}
	})
}

// A stop waits for no stream, nor for long for one that nobody reads.
func TestAStopEndsStreams(t *testing.T) {
	for name, tc := range map[string]struct {
		read bool
		want time.Duration
	}{
		"whoever listens":   {true, 0},
		"whoever reads not": {false, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(t, router.Options{Admin: true})
				if tc.read {
					l := f.listen(t)
					l.want(t, "history", "[]")
					l.want(t, "status", `"pid":`)
					go func() { _, _ = io.Copy(io.Discard, l.body) }()
				} else {
					f.connect(t)
				}
				time.Sleep(100 * time.Millisecond)
				began := time.Now()
				f.stop()
				synctest.Wait()
				time.Sleep(tc.want)
				synctest.Wait()
				f.mu.Lock()
				defer f.mu.Unlock()
				if len(f.seen) != 1 || f.seen[0].Began.Add(f.seen[0].Took) != began.Add(tc.want) {
					t.Errorf("after %v the streams are %+v, want one that ended", time.Since(began), f.seen)
				}
			})
		})
	}
}
