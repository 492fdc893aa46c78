package load_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/test/e2e/cmd/bench/load"
)

// serve answers every request with h and counts them.
func serve(t *testing.T, h http.HandlerFunc) (address string, asked *atomic.Int64) {
	asked = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), asked
}

func get(path string) []byte { return []byte("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n") }

func TestEachReadsEveryKindOfAnswerWhole(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"empty":       func(http.ResponseWriter, *http.Request) {},
		"with length": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 1000)) },
		"larger than the buffer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			io.WriteString(w, strings.Repeat("x", 100000))
		},
		"in chunks": func(w http.ResponseWriter, _ *http.Request) {
			for _, part := range []string{"one", strings.Repeat("\r\n", 5000), "three"} {
				io.WriteString(w, part)
				http.NewResponseController(w).Flush()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			address, asked := serve(t, h)
			// What is left of one answer would be taken for the next.
			if err := load.Each(t.Context(), address, 2, 9, func(int) []byte { return get("/") }); err != nil {
				t.Fatal(err)
			}
			if n := asked.Load(); n != 9 {
				t.Errorf("%d requests arrived, want 9", n)
			}
		})
	}
}

func TestEachSendsEveryRequestOnce(t *testing.T) {
	var sum atomic.Int64
	address, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) { sum.Add(int64(len(r.URL.Path))) })
	path := func(i int) []byte { return get("/" + strings.Repeat("x", i)) }
	if err := load.Each(t.Context(), address, 3, 10, path); err != nil {
		t.Fatal(err)
	}
	if got := sum.Load(); got != 55 {
		t.Errorf("sum over the requests = %d, want 55", got)
	}
}

func TestWhatTheTargetDoesNotPromiseIsAnError(t *testing.T) {
	address, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Cache", "MISS")
		if r.URL.Path == "/sealed" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	for name, target := range map[string]load.Target{
		"status": {Requests: [][]byte{get("/sealed")}},
		"mark":   {Requests: [][]byte{get("/")}, Mark: "\r\nX-Cache: HIT\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			target.Address = address
			if _, err := load.Compare(t.Context(), 2, 1, time.Hour, target); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestTheEndOfTheContextEndsARound(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := load.Compare(ctx, 2, 1, time.Hour, load.Target{Address: address, Requests: [][]byte{get("/")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
}

func TestSpread(t *testing.T) {
	for name, tc := range map[string]struct {
		values []float64
		want   load.Spread
	}{
		"one":  {[]float64{3}, load.Spread{Median: 3, Min: 3, Max: 3}},
		"odd":  {[]float64{9, 1, 2}, load.Spread{Median: 2, Min: 1, Max: 9}},
		"even": {[]float64{4, 1, 3, 2}, load.Spread{Median: 2.5, Min: 1, Max: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := load.NewSpread(tc.values); got != tc.want {
				t.Errorf("spread = %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestRatioIsTakenRoundByRound(t *testing.T) {
	slowing := []load.Round{{PerSecond: 90}, {PerSecond: 9}}
	other := []load.Round{{PerSecond: 100}, {PerSecond: 10}}
	if got, want := load.Ratio(slowing, other, load.Throughput), (load.Spread{Median: 0.9, Min: 0.9, Max: 0.9}); got != want {
		t.Errorf("ratio = %+v, want %+v", got, want)
	}
}
