package upstream_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vaulttest"
)

// pattern is a body whose bytes tell where they belong.
func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i>>10) ^ byte(i)
	}
	return b
}

// sized is a request whose body can be read once and says how long it is; chunked is one that does not say it.
func sized(body []byte) *http.Request {
	r := chunked(body)
	r.ContentLength = int64(len(body))
	return r
}

func chunked(body []byte) *http.Request {
	return httptest.NewRequest("POST", "/v1/sys/storage/raft/snapshot", io.MultiReader(bytes.NewReader(body)))
}

func TestBodiesAreSentAgainWhenTheyCanBe(t *testing.T) {
	const mib = 1 << 20
	replayable := func(body []byte) *http.Request {
		r := sized(body)
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		return r
	}
	for name, tc := range map[string]struct {
		request  func([]byte) *http.Request
		size     int
		limit    int64 // max_replay_size
		left     int   // of the memory for all bodies; 0: all of it
		refused  bool  // the first try finds no connection, instead of a 503
		arrivals int
	}{
		"replayable":                          {request: replayable, size: 100, arrivals: 2},
		"replayable, whatever the limit":      {request: replayable, size: 100, limit: -1, arrivals: 2},
		"replayable, refused":                 {request: replayable, size: 100, refused: true, arrivals: 1},
		"sized":                               {request: sized, size: 3 * mib, arrivals: 2},
		"sized, at the limit":                 {request: sized, size: mib, limit: mib, arrivals: 2},
		"sized, above the limit":              {request: sized, size: mib + 1, limit: mib, arrivals: 1},
		"sized, above the limit, but unread":  {request: sized, size: mib + 1, limit: mib, refused: true, arrivals: 1},
		"chunked":                             {request: chunked, size: 100, arrivals: 2},
		"chunked, at its limit":               {request: chunked, size: 4 * mib, arrivals: 2},
		"chunked, above its limit":            {request: chunked, size: 4*mib + 1, arrivals: 1},
		"chunked, at a lower limit":           {request: chunked, size: 1000, limit: 1000, arrivals: 2},
		"chunked, above a lower limit":        {request: chunked, size: 1001, limit: 1000, arrivals: 1},
		"chunked, above it, but unread":       {request: chunked, size: 1001, limit: 1000, refused: true, arrivals: 1},
		"nothing is to be kept":               {request: sized, size: 100, limit: -1, arrivals: 1},
		"nothing is to be kept, chunked":      {request: chunked, size: 100, limit: -1, arrivals: 1},
		"nothing is to be kept, and unread":   {request: chunked, size: 100, limit: -1, refused: true, arrivals: 1},
		"others have taken the memory":        {request: sized, size: 2 * mib, left: mib, arrivals: 1},
		"others have left just enough memory": {request: sized, size: mib, left: mib + 1, arrivals: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRigWith(t, upstream.Settings{NumRetries: 3, Retry: upstream.Retry{MaxReplaySize: tc.limit}})
				if tc.left > 0 {
					b.Fill(tc.left)
				}
				before := b.Kept()
				if tc.refused {
					b.vault.Refuse(true)
					time.AfterFunc(time.Second-time.Nanosecond, func() { b.vault.Refuse(false) })
				} else {
					b.vault.Fail(vaulttest.Times(1, vaulttest.On("", "/")), vaulttest.Answer(503, nil, ""))
				}
				b.vault.Fail(vaulttest.On("POST", "/"), vaulttest.Answer(204, nil, ""))
				body, want := pattern(tc.size), 204
				if !tc.refused && tc.arrivals == 1 {
					want = 503
				}
				w, _, err := b.forward(tc.request(body))
				if err != nil || w.Code != want {
					t.Fatalf("answer %d, %v; want %d", w.Code, err, want)
				}
				got := b.vault.Requests()
				if len(got) != tc.arrivals {
					t.Errorf("arrived %d times, want %d", len(got), tc.arrivals)
				}
				for i, r := range got {
					if !bytes.Equal(r.Body, body) {
						t.Errorf("arrival %d: %d bytes, want the %d that were sent", i, len(r.Body), len(body))
					}
				}
				synctest.Wait()
				if left := b.Kept() - before; left != 0 {
					t.Errorf("%d bytes are still kept after the exchange", left)
				}
			})
		})
	}
}

// tryFunc is a transport of its own for each try.
type tryFunc func(n int, r *http.Request) (*http.Response, error)

func (f tryFunc) asTransport() http.RoundTripper { return &numbered{f: f} }

type numbered struct {
	f tryFunc
	n int
}

func (t *numbered) RoundTrip(r *http.Request) (*http.Response, error) {
	t.n++
	return t.f(t.n, r)
}

var errRefused = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}

// net/http may still read the body for a try that is over.
func TestAnOldTryTakesNothingFromTheNext(t *testing.T) {
	for name, tc := range map[string]struct{ closes bool }{"closed": {true}, "left alone": {false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body, pen := io.Pipe()
				var old int
				var oldErr error
				c := newClient(t, upstream.Settings{Address: "http://vault.test", NumRetries: 1, Transport: tryFunc(func(n int, r *http.Request) (*http.Response, error) {
					if n == 1 {
						go func() { // the try ends while this waits for the client
							var read []byte
							read, oldErr = io.ReadAll(r.Body)
							old = len(read)
						}()
						io.WriteString(pen, "first ")
						synctest.Wait()
						if tc.closes {
							r.Body.Close()
						}
						return nil, errRefused
					}
					go func() {
						io.WriteString(pen, "second ")
						synctest.Wait()
						io.WriteString(pen, "third")
						pen.Close()
					}()
					return canned("").echo(r)
				}).asTransport()})
				w := httptest.NewRecorder()
				err := c.Forward(w, httptest.NewRequest("POST", "/v1/x", body), root, nil)
				if err != nil || w.Body.String() != "first second third" {
					t.Errorf("Vault read %q, %v", w.Body, err)
				}
				synctest.Wait()
				if old != len("first ") || !errors.Is(oldErr, http.ErrBodyReadAfterClose) {
					t.Errorf("the old try read %d bytes, %v; want the first part and no more", old, oldErr)
				}
			})
		})
	}
}

// echo answers with the request's body.
func (canned) echo(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return canned(body).RoundTrip(r)
}

// The kept part of a body goes when the headers of the answer are here, or when the last try has read it after all.
func TestMemoryIsGivenBackWithTheHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 3)
		b.vault.Fail(vaulttest.Times(1, vaulttest.On("", "/")), func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			if b.Kept() < 1<<20 {
				t.Errorf("%d bytes are kept while the answer is open, want all", b.Kept())
			}
			w.WriteHeader(503)
		})
		b.vault.Fail(vaulttest.On("POST", "/"), vaulttest.Answer(204, nil, ""))
		err := b.Forward(httptest.NewRecorder(), sized(pattern(1<<20)), root, func(resp *http.Response) error {
			if resp.StatusCode != 204 || b.Kept() != 0 {
				t.Errorf("with the headers of the %d %d bytes are kept, want none", resp.StatusCode, b.Kept())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestAnAnswerBeforeTheBodyWasSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := pattern(100_000)
		done := make(chan []byte, 1)
		c := newClient(t, upstream.Settings{Address: "http://vault.test", NumRetries: 1, Transport: tryFunc(func(n int, r *http.Request) (*http.Response, error) {
			if n == 1 {
				io.CopyN(io.Discard, r.Body, 50_000)
				return nil, errRefused
			}
			resp, err := canned("early").RoundTrip(r)
			resp.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader("early"), readerFunc(func([]byte) (int, error) {
				got, _ := io.ReadAll(r.Body) // only now does Vault read what it was sent
				r.Body.Close()
				done <- got
				return 0, io.EOF
			})), resp.Body}
			return resp, err
		}).asTransport()})
		if err := c.Forward(httptest.NewRecorder(), sized(body), root, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(<-done, body) {
			t.Error("the body arrived changed")
		}
		if c.Kept() != 0 {
			t.Errorf("%d bytes are still kept", c.Kept())
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// What goes wrong with a client's body is not Vault's failure.
func TestBrokenUploads(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		status int
	}{
		"broken off":       {io.ErrUnexpectedEOF, 400},
		"bad chunking":     {errors.New("malformed chunked encoding"), 400},
		"too slow":         {os.ErrDeadlineExceeded, 408},
		"too slow, by net": {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, 408},
		"reset":            {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, 5)
				body := io.MultiReader(bytes.NewReader(pattern(100_000)), readerFunc(func([]byte) (int, error) { return 0, tc.err }))
				_, took, err := b.forward(httptest.NewRequest("GET", "/v1/secret/data/app", body))
				var told interface{ ClientStatus() int }
				if !errors.As(err, &told) || told.ClientStatus() != tc.status || !errors.Is(err, tc.err) {
					t.Errorf("Forward = %v, want an error for status %d with its cause", err, tc.status)
				}
				if took != 0 || b.sent.tries.Load() != 1 {
					t.Errorf("%d tries in %v, want one", b.sent.tries.Load(), took)
				}
			})
		})
	}
}

func TestAnAnswerBesideABrokenUploadStands(t *testing.T) {
	c := newClient(t, upstream.Settings{Address: "http://vault.test", Transport: tryFunc(func(_ int, r *http.Request) (*http.Response, error) {
		io.Copy(io.Discard, r.Body)
		return canned("permission denied").RoundTrip(r)
	}).asTransport()})
	body := readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF })
	w := httptest.NewRecorder()
	if err := c.Forward(w, httptest.NewRequest("POST", "/v1/x", body), root, nil); err != nil || w.Body.String() != "permission denied" {
		t.Errorf("got %q, %v; want Vault's answer", w.Body, err)
	}
}
