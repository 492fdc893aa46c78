package listener

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// paceSize is how much of a body, in bytes, must come within each ReadTimeout.
const paceSize = 64 << 10

// errSlow is the cause with which the context of a request ends when its body comes too slowly.
const errSlow = slowBody("the request's body came too slowly; send it again, or raise http_read_timeout of the listener")

type slowBody string

func (e slowBody) Error() string { return string(e) }

// ClientStatus is the HTTP status for the client.
func (slowBody) ClientStatus() int { return http.StatusRequestTimeout }

// paced bounds how slowly a request's body may come, and not how long it may be. net/http's own ReadTimeout would end large uploads, and would
// also cancel every request whose answer takes longer, since the server goes on reading to notice that a client has left.
func paced(h http.Handler, timeout time.Duration) http.Handler {
	if timeout <= 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == http.NoBody {
			h.ServeHTTP(w, r)
			return
		}
		now := time.Now()
		body := &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), timeout: timeout, left: timeout, start: now}
		body.expire(now.Add(timeout)) // of a body that nobody reads, the server reads the rest
		// The server cancels a request when reading fails, for whatever reason.
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
		defer cancel(nil)
		defer context.AfterFunc(r.Context(), func() { cancel(body.cause()) })()
		r = r.WithContext(ctx)
		r.Body = body
		h.ServeHTTP(w, r)
	})
}

// pacedBody is a body against the clock, which runs only while somebody waits for the client: a Vault that is slow to take an upload does not count.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	left    time.Duration // for what is missing of paceSize
	read    int           // of paceSize
	start   time.Time
	until   atomic.Int64 // the deadline in nanoseconds after start; 0 is none
}

func (b *pacedBody) Read(p []byte) (int, error) {
	begun := time.Now()
	b.expire(begun.Add(b.left))
	n, err := b.ReadCloser.Read(p)
	b.left -= time.Since(begun)
	if b.read += n; b.read >= paceSize {
		b.read, b.left = 0, b.timeout
	}
	if err == io.EOF {
		b.expire(time.Time{}) // the answer may take as long as it likes
	}
	return n, err
}

func (b *pacedBody) expire(at time.Time) {
	var until int64
	if !at.IsZero() {
		until = int64(at.Sub(b.start))
	}
	b.until.Store(until)
	_ = b.control.SetReadDeadline(at) // fails only on a connection that is closed, as the next Read does
}

// cause tells why the server has cancelled the request.
func (b *pacedBody) cause() error {
	if until := b.until.Load(); until != 0 && int64(time.Since(b.start)) >= until {
		return errSlow
	}
	return context.Canceled
}
