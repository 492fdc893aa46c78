package listener_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/listener"
)

// slowly is a body that comes in parts.
type slowly struct {
	parts, size int
	every       time.Duration
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.parts == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.every)
	s.parts--
	return copy(p, bytes.Repeat([]byte("x"), s.size)), nil
}

// An upload may take as long as it likes while it goes on, and so may Vault to take it and to answer.
func TestUploadsMayTakeLong(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"steady": func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if n != 1<<20 || err != nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
		},
		"taken slowly": func(_ http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.CopyN(io.Discard, r.Body, 200_000); err == io.EOF {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Minute)
			}
		},
		"answered late": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-time.After(time.Hour):
			case <-r.Context().Done():
				t.Error("the request was cancelled meanwhile")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, h, listener.Settings{ReadTimeout: 30 * time.Second}, time.Second)
				for _, method := range []string{"POST", "GET"} { // the second on the same connection
					var body io.Reader
					if method == "POST" {
						body = &slowly{parts: 64, size: 16 << 10, every: 7 * time.Second}
					} else if name == "steady" {
						break
					}
					r, err := http.NewRequestWithContext(t.Context(), method, "http://leasehold/", body)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := s.client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					if _, err = io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
						t.Errorf("%s: %d, %v", method, resp.StatusCode, err)
					}
					_ = resp.Body.Close()
				}
				s.stop()
				if err := <-s.done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A body that comes too slowly ends with an error that says so, and the client can still be told.
func TestASlowBodyTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			_, err := io.Copy(io.Discard, r.Body)
			var slow net.Error
			if !errors.As(err, &slow) || !slow.Timeout() || time.Since(start) != 30*time.Second {
				t.Errorf("read: %v after %v, want a timeout after 30s", err, time.Since(start))
			}
			synctest.Wait() // the server cancels the request as if the client had left
			var told interface{ ClientStatus() int }
			if cause := context.Cause(r.Context()); !errors.As(cause, &told) {
				t.Errorf("the request ended with %v", cause)
				return
			}
			w.WriteHeader(told.ClientStatus())
		}, listener.Settings{ReadTimeout: 30 * time.Second}, time.Second)
		// No part is due at the very moment of the timeout: the client would not know whether it could still send it.
		resp, err := s.client.Post("http://leasehold/", "", &slowly{parts: 1000, size: 100, every: 4 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestTimeout {
			t.Errorf("answer = %d", resp.StatusCode)
		}
		time.Sleep(time.Minute) // until the client notices, too
		s.stop()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
}

func TestHeadersAreBounded(t *testing.T) {
	for size, want := range map[int]int{10_000: http.StatusOK, 100_000: http.StatusRequestHeaderFieldsTooLarge} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, func(http.ResponseWriter, *http.Request) {}, listener.Settings{MaxHeaderSize: 64 << 10}, time.Second)
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://leasehold/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Long", strings.Repeat("x", size))
			resp, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%d bytes: %d, want %d", size, resp.StatusCode, want)
			}
			s.stop()
			if err := <-s.done; err != nil {
				t.Error(err)
			}
		})
	}
}
