package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/cache"
)

// outcome is how one of several requests ended.
type outcome struct {
	*httptest.ResponseRecorder
	err      error
	panicked any
	leave    context.CancelFunc // the client goes
	done     chan struct{}
}

func (o *outcome) over() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// begin sends a request whose client may leave, and returns when it waits for something or is over.
func (f *fixture) begin(target string) *outcome {
	ctx, leave := context.WithCancel(f.t.Context())
	o := &outcome{ResponseRecorder: httptest.NewRecorder(), leave: leave, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		defer leave()
		defer func() { o.panicked = recover() }()
		o.err = f.Answer(o.ResponseRecorder, newRequest(ctx, http.MethodGet, target, ""), injected)
	}()
	synctest.Wait()
	return o
}

// burst sends n identical requests at once and waits for all.
func (f *fixture) burst(n int, target string) []*httptest.ResponseRecorder {
	answers := make([]*httptest.ResponseRecorder, n)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = f.get(target) })
	}
	wg.Wait()
	return answers
}

func TestIdenticalColdRequestsShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, slowly(leases()), cache.Options{})
		by := map[string]int{}
		for _, w := range f.burst(200, "/v1/db/creds/app") {
			by[w.Header().Get("X-Cache")+" "+read(t, w).LeaseID]++
		}
		f.wantCalls(1)
		if by["MISS db/creds/app/1"] != 1 || by["COALESCED db/creds/app/1"] != 199 {
			t.Errorf("answers = %v, want 1 MISS and 199 COALESCED of one lease", by)
		}
		if got := f.entries(); got != 1 {
			t.Errorf("entries = %d, want 1", got)
		}
	})
}

func TestDifferentRequestsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, slowly(leases()), cache.Options{})
		start := time.Now()
		var wg sync.WaitGroup
		for _, target := range []string{"/v1/db/creds/a", "/v1/db/creds/b", "/v1/db/creds/a?x=1"} {
			wg.Go(func() { f.get(target) })
		}
		wg.Wait()
		if got := time.Since(start); got != time.Second {
			t.Errorf("three different reads took %v, want 1s", got)
		}
		f.wantCalls(3)
	})
}

// What cannot be kept makes no convoy: OpenBao and Vault serialise such requests first and multiply them afterwards.
func TestUncacheableAnswersMakeNoConvoy(t *testing.T) {
	for name, tc := range map[string]struct {
		answer script
		lasts  time.Duration // the memory that nobody should wait; an error may be over in a moment
	}{
		"KV":            {always(http.StatusOK, kvBody), 8 * time.Second},
		"no permission": {always(http.StatusForbidden, `{"errors":["permission denied"]}`), time.Second},
		"not found":     {always(http.StatusNotFound, `{"errors":[]}`), time.Second},
		"no JSON":       {always(http.StatusOK, "PEM", with{"Content-Type", "application/pkix-cert"}), 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, slowly(tc.answer), cache.Options{})
				start := time.Now()
				f.burst(50, "/v1/secret/data/app")
				if got := time.Since(start); got > 2*time.Second {
					t.Errorf("the first 50 took %v, want at most 2s", got)
				}
				f.wantCalls(50)
				for range 5 { // the memory lasts while it is of use
					start = time.Now()
					f.burst(50, "/v1/secret/data/app")
					if got := time.Since(start); got != time.Second {
						t.Errorf("the next 50 took %v, want 1s", got)
					}
					time.Sleep(tc.lasts)
				}
				f.wantCalls(300)
			})
		})
	}
}

// An answer that says nothing about the next one does not turn sharing off.
func TestSharingSurvivesAnOutage(t *testing.T) {
	for name, outage := range map[string]script{
		"sealed":    always(http.StatusServiceUnavailable, `{"errors":["Vault is sealed"]}`),
		"throttled": always(http.StatusTooManyRequests, `{"errors":["request path quota exceeded"]}`),
		"behind":    always(http.StatusPreconditionFailed, `{"errors":["required index state not present"]}`),
		"down":      func(*http.Request) (*http.Response, error) { return nil, errLost },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := false
				f := newFixture(t, slowly(func(r *http.Request) (*http.Response, error) {
					if up {
						return reply(http.StatusOK, leaseBody("db/creds/app/1", 3600)), nil
					}
					return outage(r)
				}), cache.Options{})
				<-f.begin("/v1/db/creds/app").done
				up = true
				f.burst(20, "/v1/db/creds/app")
				f.wantCalls(2)
			})
		})
	}
}

func TestAFollowerLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, slowly(leases()), cache.Options{})
		leader, follower, stays := f.begin("/v1/db/creds/app"), f.begin("/v1/db/creds/app"), f.begin("/v1/db/creds/app")
		follower.leave()
		synctest.Wait()
		if !follower.over() || !errors.Is(follower.err, context.Canceled) || follower.Body.Len() > 0 {
			t.Errorf("follower is over: %v, with error %v; want it gone at once", follower.over(), follower.err)
		}
		if leader.over() || stays.over() {
			t.Error("the others went with it")
		}
		<-leader.done
		<-stays.done
		wantCache(t, leader.ResponseRecorder, "MISS")
		wantCache(t, stays.ResponseRecorder, "COALESCED")
	})
}

func TestAFlightSurvivesItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, slowly(leases()), cache.Options{})
		leader, follower := f.begin("/v1/db/creds/app"), f.begin("/v1/db/creds/app")
		leader.leave()
		<-follower.done
		wantCache(t, follower.ResponseRecorder, "COALESCED")
		<-leader.done
		f.wantCalls(1)
	})
}

func TestAFlightEndsWithItsLastMember(t *testing.T) {
	for name, order := range map[string][]int{"the leader first": {0, 1, 2}, "the leader last": {1, 2, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cancelled atomic.Bool
				f := newFixture(t, func(r *http.Request) (*http.Response, error) {
					<-r.Context().Done()
					cancelled.Store(true)
					return nil, context.Cause(r.Context())
				}, cache.Options{})
				members := []*outcome{f.begin("/v1/db/creds/app"), f.begin("/v1/db/creds/app"), f.begin("/v1/db/creds/app")}
				for i, n := range order {
					if cancelled.Load() {
						t.Fatalf("the call to Vault ended when %d of 3 members had left", i)
					}
					members[n].leave()
					synctest.Wait()
				}
				if !cancelled.Load() {
					t.Error("the call to Vault goes on for nobody")
				}
				for _, m := range members {
					<-m.done
				}
			})
		})
	}
}

// When the answer is not kept it is the leader's alone, and ends with the leader's client.
func TestAnAnswerThatIsNotKeptEndsWithItsClient(t *testing.T) {
	for name, leaves := range map[string]bool{"before the answer": true, "during the answer": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cancelled atomic.Bool
				first := make(chan struct{}, 1)
				first <- struct{}{}
				f := newFixture(t, slowly(func(r *http.Request) (*http.Response, error) {
					select {
					case <-first:
					default:
						return reply(http.StatusOK, kvBody), nil
					}
					resp := reply(http.StatusOK, "", with{"Content-Type", "text/plain"})
					resp.ContentLength = -1
					pr, pw := io.Pipe()
					context.AfterFunc(r.Context(), func() { cancelled.Store(true); pw.CloseWithError(context.Canceled) })
					resp.Body = pr
					return resp, nil
				}), cache.Options{})
				leader, follower := f.begin("/v1/secret/data/app"), f.begin("/v1/secret/data/app")
				if leaves {
					leader.leave()
				}
				<-follower.done
				if got := follower.Body.String(); got != kvBody {
					t.Errorf("follower's answer = %q, want its own", got)
				}
				if !leaves {
					if leader.over() || cancelled.Load() {
						t.Error("the leader's answer ended with the flight")
					}
					leader.leave()
				}
				<-leader.done
				if !cancelled.Load() {
					t.Error("the leader's call goes on for nobody")
				}
			})
		})
	}
}

func TestFollowersOfAFailedLeaderGoOnTheirOwn(t *testing.T) {
	for name, failure := range map[string]func() (*http.Response, error){
		"no answer": func() (*http.Response, error) { return nil, errLost },
		"an error":  func() (*http.Response, error) { return reply(http.StatusBadGateway, `{"errors":["bad gateway"]}`), nil },
		"cut short": func() (*http.Response, error) {
			return broken(leaseBody("db/creds/app/0", 3600), "application/json"), nil
		},
		"aborted":     func() (*http.Response, error) { panic(http.ErrAbortHandler) },
		"aborted mid": func() (*http.Response, error) { return broken("some text", "text/plain"), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int64
				next := leases()
				f := newFixture(t, slowly(func(r *http.Request) (*http.Response, error) {
					if n.Add(1) == 1 {
						return failure()
					}
					return next(r)
				}), cache.Options{})
				leader := f.begin("/v1/db/creds/app")
				followers := []*outcome{f.begin("/v1/db/creds/app"), f.begin("/v1/db/creds/app"), f.begin("/v1/db/creds/app")}
				start := time.Now()
				for _, o := range followers {
					<-o.done
					if o.err != nil || o.Code != http.StatusOK || read(t, o.ResponseRecorder).LeaseID == "" {
						t.Errorf("follower got %d %s, %v", o.Code, o.Body, o.err)
					}
				}
				if got := time.Since(start); got > 2*time.Second {
					t.Errorf("followers were answered after %v, want 2s: side by side", got)
				}
				<-leader.done
				f.wantCalls(4)
				wantCache(t, f.get("/v1/db/creds/app"), "HIT") // no flight is left behind
				f.wantCalls(4)
			})
		})
	}
}

// broken is an answer whose body breaks off.
func broken(begin, contentType string) *http.Response {
	resp := reply(http.StatusOK, begin, with{"Content-Type", contentType})
	resp.ContentLength = -1
	resp.Body = io.NopCloser(io.MultiReader(resp.Body, failing{errLost}))
	return resp
}

// A request that looks for a hit just before the flight ends, and joins just after, must find what was kept and not lead another one.
func TestNoSecondFlightAfterTheFirst(t *testing.T) {
	f := newFixture(t, leases(), cache.Options{})
	const rounds = 300
	for i := range rounds {
		f.burst(30, fmt.Sprintf("/v1/db/creds/round-%d", i))
	}
	f.wantCalls(rounds)
}
