package upstream

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"leasehold/internal/vault"
)

const (
	// defaultMaxWait is Retry.MaxWait when that is zero.
	defaultMaxWait = 10 * time.Second
	// maxStale is how many stale connections a request may meet before that counts as failure.
	maxStale = 3
	// maxDrain is how much of an answer that is not used is read to save its connection.
	maxDrain = 4 << 10
)

// Retry says what is sent again, and for how long.
type Retry struct {
	SafeOnly      bool          // repeat nothing but GET, HEAD and LIST
	MaxWait       time.Duration // bounds the sum of the waits between the tries of one request; 0 is 10 s
	MaxReplaySize int64         // bytes of the largest body that is kept to be sent again; 0 is 32 MiB, negative keeps none
}

// try sends r until an answer or an error stands. This is the only retry layer on the way to Vault. A read is a GET, HEAD or LIST that creates
// nothing in Vault, as far as its shape tells (createsNothing); any other GET may create a lease or a token.
//
//	failure                                             read    other GET    other methods
//	no connection, or nothing was sent on it            again   again        again
//	reset, end or timeout after the request was sent    again   no           no             Vault may have acted (APX-11)
//	certificate, TLS alert, http against https          no      no           no
//	the client left or its body broke off, deadline     no      no           no
//	412, 429, 503                                       again   again        again          Vault says that it has not acted
//	500                                                 again   again        no             Vault takes a lease back that it could not grant
//	501                                                 no      no           no
//	502, 504 and what else is above 500                 again   no           no             of something in between: Vault may have acted
//	any of these statuses from a health endpoint        no      no           no             it is the answer (APX-10)
//
// With Retry.SafeOnly the last column is "no" throughout. A connection that Vault closed while it was idle, so that nothing was sent, is replaced
// at once and is no retry, and neither is a redirect. A body is sent again when it was kept whole (upload), or when none of it was read.
//
// There are at most retries further tries. The wait before the nth is n × 1.0 to 1.5 s, or what Retry-After says on 429 and 503. When that
// would carry the waits past MaxWait or the request past its deadline, the last answer or error stands at once (APX-9).
func (x *exchange) try(r *http.Request) (*http.Response, error) {
	x.risk = riskOf(r, x.target)
	r = x.prepare(r)
	defer x.upload.settle()
	maxWait := cmp.Or(x.terms.Retry.MaxWait, defaultMaxWait)
	var waited time.Duration
	for n := 1; ; n++ {
		x.tries = n
		resp, err := x.once(r)
		if broken := x.upload.failure(); err != nil && broken != nil {
			return nil, uploadError(broken)
		}
		if n > x.terms.retries || !x.mayRepeat(x.fateOf(r, resp, err)) {
			return resp, err
		}
		wait := pause(n, resp)
		if waited+wait > maxWait || x.tooLate(r, wait) {
			return resp, err
		}
		next, ok := x.rewound(r)
		if !ok {
			return resp, err
		}
		x.logRetry(r.Context(), r.Method, n, wait, resp, err)
		x.client.countRetry(resp, err)
		x.client.waits(r.Context(), n, wait)
		discard(resp)
		if err := sleep(r.Context(), wait); err != nil {
			return nil, err
		}
		waited, r = waited+wait, next
	}
}

// discard lets go of an answer that is not used, and keeps its connection if that is cheap.
func discard(resp *http.Response) {
	if resp != nil {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
		_ = resp.Body.Close()
	}
}

// pause is the wait before retry n.
func pause(n int, resp *http.Response) time.Duration {
	if resp != nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) {
		if d, ok := retryAfter(resp.Header.Get("Retry-After")); ok {
			return d
		}
	}
	return time.Duration(float64(n) * (1 + rand.Float64()/2) * float64(time.Second))
}

// retryAfter reads both forms of Retry-After: seconds and an HTTP date.
func retryAfter(v string) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if date, err := http.ParseTime(v); err == nil {
		return max(time.Until(date), 0), true
	}
	return 0, false
}

// tooLate reports whether after the wait there is no time left for a try.
func (x *exchange) tooLate(r *http.Request, wait time.Duration) bool {
	then := time.Now().Add(wait)
	if d, ok := r.Context().Deadline(); ok && !then.Before(d) {
		return true
	}
	return !then.Before(x.deadline)
}

func (x *exchange) logRetry(ctx context.Context, method string, n int, wait time.Duration, resp *http.Response, err error) {
	cause := slog.Any("error", err)
	if resp != nil {
		cause = slog.Int("status", resp.StatusCode)
	}
	x.client.log.DebugContext(ctx, "asking Vault again", slog.String("method", vault.LogMethod(method)), slog.Int("retry", n), slog.Duration("wait", wait), cause)
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
