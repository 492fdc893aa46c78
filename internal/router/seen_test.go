package router_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/router"
	"leasehold/internal/vault"
)

// answering is a handler in the cache's stead.
type answering struct{ http.Handler }

func (a answering) Answer(w http.ResponseWriter, r *http.Request, _ vault.Identity) error {
	a.ServeHTTP(w, r)
	return nil
}

// watched is a router in front of h that appends to all what becomes of each request.
func watched(opt router.Options, h http.Handler, all *[]router.Exchange, active *atomic.Int64) http.Handler {
	return router.New(router.Parts{
		Answer: answering{h}, Tokens: fakeTokens{token: vault.NewToken(autoToken)}, Vault: "https://vault.test", Metrics: http.NotFoundHandler(), Quit: func() {},
		Failed: func(*http.Request, int, error) {}, Log: slog.New(slog.DiscardHandler),
		Seen: func(x *router.Exchange) { *all = append(*all, *x) }, Active: active,
	}, opt)
}

// seen is what becomes of r.
func seen(t *testing.T, opt router.Options, h http.Handler, r *http.Request) router.Exchange {
	t.Helper()
	var all []router.Exchange
	watched(opt, h, &all, nil).ServeHTTP(httptest.NewRecorder(), r)
	if len(all) != 1 {
		t.Fatalf("Seen was called %d times, want once", len(all))
	}
	return all[0]
}

// asker is what upstream sees of the ResponseWriter.
type asker interface {
	Asked(status, tries int, took time.Duration)
}

func TestSeenTellsWhatBecameOfARequest(t *testing.T) {
	type want struct {
		status   int
		outcome  string
		bytes    int64
		upstream int
		tries    int
		denied   string
	}
	say := func(status int, how, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X-Cache"] = []string{how}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, tc := range map[string]struct {
		opt     router.Options
		handler http.HandlerFunc
		target  string
		fields  []string
		want    want
	}{
		"hit":                  {handler: say(200, "HIT", "secret"), want: want{status: 200, outcome: "HIT", bytes: 6}},
		"an error has none":    {handler: say(403, "HIT", "no"), want: want{status: 403, bytes: 2}},
		"nothing written":      {handler: func(http.ResponseWriter, *http.Request) {}, want: want{status: 200}},
		"the first one counts": {handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); w.WriteHeader(500) }, want: want{status: 204}},
		"information does not": {handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(404) }, want: want{status: 404}},
		"two tries, and one more with the next token": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.(asker).Asked(403, 1, time.Second)
				w.(asker).Asked(200, 2, time.Second)
				_, _ = w.Write([]byte("abc"))
				_, _ = w.Write([]byte("de"))
			},
			want: want{status: 200, bytes: 5, upstream: 200, tries: 3},
		},
		"no request header": {opt: router.Options{RequireRequestHeader: true}, want: want{status: 412, bytes: 50, denied: `missing "X-Vault-Request" header`}},
		"a rule":            {opt: router.Options{Rights: router.Rights{Rules: []router.AccessRule{{Path: "db/*", Deny: true}}}}, want: want{status: 403, bytes: 64, denied: "rule 1 of this listener of Leasehold denies this"}},
		"own":               {target: "/proxy/v1/cache-clear", opt: router.Options{CacheOff: true}, want: want{status: 405, bytes: 49}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("GET", "/v1/db/creds/app", "", tc.fields...)
			if tc.target != "" {
				r = newRequest("GET", tc.target, "")
			}
			x := seen(t, tc.opt, tc.handler, r)
			if got := (want{x.Status, x.Outcome, x.Bytes, x.Upstream, x.Tries, x.Denied}); got != tc.want {
				t.Errorf("exchange = %+v, want %+v", got, tc.want)
			}
			if x.Aborted {
				t.Error("it is said to have been aborted")
			}
		})
	}
}

func TestSeenTakesTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		x := seen(t, router.Options{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.(asker).Asked(200, 1, 2*time.Second)
			w.WriteHeader(200)
			time.Sleep(3 * time.Second) // a body that streams
		}), newRequest("GET", "/v1/db/creds/app", ""))
		if x.Took != 3*time.Second || !x.Began.Equal(began) || x.UpstreamTook != 2*time.Second {
			t.Errorf("began %v, took %v, Vault took %v", x.Began, x.Took, x.UpstreamTook)
		}
	})
}

func TestSeenKnowsWhoseTokenItWas(t *testing.T) {
	for name, tc := range map[string]struct {
		opt    router.Options
		fields []string
		token  string
		lent   bool
	}{
		"lent": {router.Options{TokenUse: router.WhenAbsent}, nil, autoToken, true},
		"own":  {router.Options{TokenUse: router.WhenAbsent}, []string{"X-Vault-Token", "hvs.own"}, "hvs.own", false},
		"none": {router.Options{}, nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			x := seen(t, tc.opt, http.NotFoundHandler(), newRequest("GET", "/v1/db/creds/app", "", tc.fields...))
			if x.Token.Reveal() != tc.token || x.Lent != tc.lent {
				t.Errorf("token %q, lent %v", x.Token.Reveal(), x.Lent)
			}
		})
	}
}

func TestSeenOfAPanic(t *testing.T) {
	var all []router.Exchange
	var active atomic.Int64
	h := watched(router.Options{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if got := active.Load(); got != 1 {
			t.Errorf("active = %d during the request, want 1", got)
		}
		w.WriteHeader(200)
		panic(http.ErrAbortHandler)
	}), &all, &active)
	func() {
		defer func() {
			if got := recover(); got != http.ErrAbortHandler {
				t.Errorf("the panic became %v", got)
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), newRequest("GET", "/v1/secret/data/app", ""))
	}()
	if len(all) != 1 || !all[0].Aborted || all[0].Status != 200 {
		t.Errorf("exchanges = %+v, want one that was aborted after status 200", all)
	}
	if got := active.Load(); got != 0 {
		t.Errorf("active = %d afterwards, want 0", got)
	}
}

// TestWatchedWriter: what a server's ResponseWriter can do, it can still do.
func TestWatchedWriter(t *testing.T) {
	read := make(chan struct{})
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		check   func(t *testing.T, conn net.Conn, in *bufio.Reader)
		want    router.Exchange
	}{
		"flush": {
			func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "now")
				if err := http.NewResponseController(w).Flush(); err != nil {
					panic(err)
				}
				<-read // the client has it before the handler ends
			},
			func(t *testing.T, _ net.Conn, in *bufio.Reader) {
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 3)
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != "now" {
					t.Errorf("body = %q, error %v", got, err)
				}
				read <- struct{}{}
			},
			router.Exchange{Status: 200, Bytes: 3},
		},
		"hijack": {
			func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					panic(err)
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
				_ = conn.Close()
			},
			func(t *testing.T, _ net.Conn, in *bufio.Reader) {
				if line, err := in.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 101 ") {
					t.Errorf("first line = %q, error %v", line, err)
				}
			},
			router.Exchange{Status: 101},
		},
	} {
		t.Run(name, func(t *testing.T) {
			over := make(chan router.Exchange, 1)
			s := httptest.NewServer(router.New(router.Parts{
				Answer: answering{tc.handler}, Metrics: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler), Seen: func(x *router.Exchange) { over <- *x },
			}, router.Options{}))
			defer s.Close()
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "GET /v1/sys/monitor HTTP/1.1\r\nHost: leasehold\r\n\r\n")
			tc.check(t, conn, bufio.NewReader(conn))
			if x := <-over; x.Status != tc.want.Status || x.Bytes != tc.want.Bytes || x.Aborted {
				t.Errorf("status %d, %d bytes, aborted %v; want %+v", x.Status, x.Bytes, x.Aborted, tc.want)
			}
		})
	}
}

// TestTooLargeClosesTheConnection holds although the ResponseWriter is not the server's own: the server must not read what is still to come.
func TestTooLargeClosesTheConnection(t *testing.T) {
	s := httptest.NewServer(router.New(router.Parts{
		Answer: answering{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var large *http.MaxBytesError
			if _, err := io.ReadAll(r.Body); !errors.As(err, &large) {
				t.Errorf("the body's error is %v", err)
			}
			w.WriteHeader(413)
		})},
		Metrics: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler), Seen: func(*router.Exchange) {},
	}, router.Options{MaxRequestSize: 10}))
	defer s.Close()
	// A reader of unknown type: the request is chunked, and does not say how long it is.
	resp, err := http.Post(s.URL+"/v1/secret/data/app", "application/json", io.MultiReader(strings.NewReader(strings.Repeat("x", 100))))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if !resp.Close {
		t.Error("the connection stays open")
	}
}
