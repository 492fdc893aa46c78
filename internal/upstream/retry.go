package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxWaits bounds the sum of the waits between the tries of one request: past it, a client is better off with Vault's last answer.
	maxWaits = 10 * time.Second
	// maxDrain is how much of an answer that is not used is read to save its connection.
	maxDrain = 4 << 10
)

// try sends r until an answer or an error stands. This is the only retry layer on the way to Vault:
//
//	failure                                        GET, HEAD, LIST    all other methods
//	no connection could be made                    again              again
//	certificate, TLS alert, http against https     no                 no
//	the client left, the deadline passed           no                 no
//	any other failure to get an answer             again              no: Vault may have acted (APX-11)
//	412, 429, 503                                  again              again: Vault says that it has not acted
//	other 5xx but 501                              again              no: Vault may have acted
//	any of these statuses from a health endpoint   no                 no: it is the answer (APX-10)
//
// There are at most retries further tries. The wait before the nth is n × 1.0 to 1.5 s, or what Retry-After says on 429 and 503. When that
// would carry the waits past maxWaits or the request past its deadline, the last answer or error stands at once (APX-9). A body is sent again
// when r.GetBody gives it once more, or when none of it was read.
func (x *exchange) try(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.GetBody == nil {
		r = withBody(r, &upload{src: r.Body, onRead: x.extend})
	}
	var waited time.Duration
	for n := 1; ; n++ {
		resp, err := x.client.send(r, x.target, x.parsed)
		if n > x.client.retries || !x.again(r, resp, err) {
			return resp, err
		}
		wait := pause(n, resp)
		if waited+wait > maxWaits || x.tooLate(r, wait) {
			return resp, err
		}
		next, ok := rewound(r)
		if !ok {
			return resp, err
		}
		x.logRetry(r.Method, n, wait, resp, err)
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
			_ = resp.Body.Close()
		}
		if err := sleep(r.Context(), wait); err != nil {
			return nil, err
		}
		waited, r = waited+wait, next
	}
}

// again decides by the table above.
func (x *exchange) again(r *http.Request, resp *http.Response, err error) bool {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == "LIST"
	if err != nil {
		return r.Context().Err() == nil && !tlsFailure(err) && (read || notConnected(err))
	}
	var retried bool
	switch s := resp.StatusCode; s {
	case http.StatusPreconditionFailed, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		retried = true
	case http.StatusNotImplemented:
	default:
		retried = read && s >= 500
	}
	return retried && !healthEndpoint(x.target)
}

// notConnected reports whether err means that no connection was there to send anything on.
func notConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// tlsFailure reports whether the two sides disagree on TLS or on certificates: asking again changes nothing.
func tlsFailure(err error) bool {
	var verification *tls.CertificateVerificationError
	var op *net.OpError
	return errors.As(err, &verification) || errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &op) && op.Op == "remote error"
}

// healthEndpoint reports whether the status of the answer is the answer: Vault's health checks say 429, 472, 473, 501 and 503 of a node that
// is perfectly able to answer. Namespaces may stand in front.
func healthEndpoint(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	for _, name := range [...]string{"health", "seal-status", "leader", "init"} {
		if before, ok := strings.CutSuffix(path, "/sys/"+name); ok {
			return strings.HasSuffix(before, "/v1") || strings.Contains(before, "/v1/")
		}
	}
	return false
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

func (x *exchange) logRetry(method string, n int, wait time.Duration, resp *http.Response, err error) {
	cause := slog.Any("error", err)
	if resp != nil {
		cause = slog.Int("status", resp.StatusCode)
	}
	x.client.log.Debug("asking Vault again", slog.String("method", method), slog.Int("retry", n), slog.Duration("wait", wait), cause)
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

func withBody(r *http.Request, body io.ReadCloser) *http.Request {
	r = r.WithContext(r.Context()) // a shallow copy: a RoundTripper does not change what it was given
	r.Body = body
	return r
}

// rewound returns r ready to be sent once more, unless part of its body is gone.
func rewound(r *http.Request) (*http.Request, bool) {
	if r.Body == nil {
		return r, true
	}
	if u, ok := r.Body.(*upload); ok {
		return withBody(r, &upload{src: u.src, onRead: u.onRead}), u.abandon()
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, false
	}
	return withBody(r, body), true
}
