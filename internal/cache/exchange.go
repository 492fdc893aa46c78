package cache

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// answerWithin bounds how long the body of an answer may take on which identical requests wait.
const answerWithin = 30 * time.Second

// exchange is one request that went to Vault because it may create what is kept.
type exchange struct {
	*Cache
	offer  lease.Offer
	flight *flight      // nil when the request goes alone
	mask   *mask        // nil unless it is sent with the auto-auth token, whoever has brought that
	old    *lease.Entry // what the key has now: due to be replaced, or not wanted
	wish   wish
	note   string // for X-Cache-Reason, when a wish was not heeded
}

// errUnanswered stands for an answer that says no more than that Vault cannot, while there is an entry to answer with.
var errUnanswered = errors.New("Vault could not answer")

// lead forwards for everyone who waits on fl. r carries the flight's context; client is that of the leader's own client.
func (x *exchange) lead(w http.ResponseWriter, r *http.Request, id vault.Identity, fl *flight, client context.Context) error {
	x.flight = fl
	defer fl.cancel()
	defer fl.finish(nil) // when no answer came: those who wait go on their own
	stop := context.AfterFunc(client, func() { fl.leave(true) })
	defer stop()
	return x.forward(w, r, id)
}

func (x *exchange) forward(w http.ResponseWriter, r *http.Request, id vault.Identity) error {
	x.offer.Sent, x.offer.Epoch = time.Now(), x.index.Epoch()
	err := x.send(w, r, id, x.inspect)
	if err == nil || r.Context().Err() != nil || errors.Is(err, errTokenGone) {
		return err
	}
	if x.flight != nil {
		x.flight.fail()
	}
	if x.stale(w) {
		return nil
	}
	return err
}

// inspect keeps the answer if it may be kept, and lets those go on who wait for it.
func (x *exchange) inspect(resp *http.Response) error {
	if resp.StatusCode >= http.StatusInternalServerError && x.old != nil && x.wish != noCache && x.old.Remaining(time.Now()) >= time.Second {
		return errUnanswered
	}
	kept, alone, reason, err := x.keep(resp)
	if err != nil {
		return err
	}
	if x.flight != nil {
		x.flight.finish(kept)
	}
	if kept == nil && alone > 0 {
		x.alone.SetWithTTL(short(x.offer.Key), x.offer.Key, 1, alone)
	}
	if x.note != "" {
		reason = x.note
	}
	x.mark(resp, missValue, reason)
	return nil
}

// keep offers the answer to the index. alone is how long nobody should wait for the same request, since its answer will hardly be kept; reason,
// why it is not.
func (x *exchange) keep(resp *http.Response) (e *lease.Entry, alone time.Duration, reason string, err error) {
	if !isSecret(resp) {
		return nil, aloneAfter(resp.StatusCode), string(lease.NotASecret), nil
	}
	if x.flight != nil { // others wait too: an answer that stalls halfway may not hold them
		stalled := time.AfterFunc(answerWithin, x.flight.cancel)
		defer stalled.Stop()
	}
	body, whole, err := readUpTo(resp.Body, resp.ContentLength, x.maxEntrySize.Load())
	if err != nil {
		return nil, 0, "", fmt.Errorf("read the answer: %w", err)
	}
	if !whole {
		resp.Body = rejoin(body, resp.Body)
		return nil, aloneFor, "the answer is larger than max_entry_size", nil
	}
	_ = resp.Body.Close() // read to its end
	resp.Body = io.NopCloser(bytes.NewReader(body))
	plain, err := decoded(body, resp.Header.Get("Content-Encoding"), x.maxEntrySize.Load())
	if err != nil {
		return nil, aloneFor, "the answer's encoding cannot be read", nil
	}
	if x.mask.isIn(plain) {
		return nil, aloneFor, "the answer tells the auto-auth token", nil // a hit is not masked
	}
	x.offer.RawHeader = resp.Header
	x.offer.Answer = lease.Answer{Status: resp.StatusCode, Body: plain, Received: time.Now()}
	e, verdict := x.index.Keep(x.offer)
	switch {
	case verdict.Kept():
		return e, 0, "", nil
	case verdict == lease.Evicted, verdict == lease.Full:
		return nil, 0, string(verdict), nil
	}
	return nil, aloneFor, string(verdict), nil
}

// aloneAfter an answer that is no secret: what is missing or forbidden now may be made or allowed in a moment, and other errors say nothing at all.
func aloneAfter(status int) time.Duration {
	switch {
	case status < http.StatusMultipleChoices:
		return aloneFor
	case status == http.StatusPreconditionFailed, status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return 0
	default:
		return aloneForError
	}
}

// isSecret tells answers worth reading: the media type counts, not its parameters (balancers add a charset).
func isSecret(resp *http.Response) bool {
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices || resp.Body == http.NoBody {
		return false
	}
	contentType := resp.Header.Get("Content-Type")
	if contentType == "application/json" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/json"
}

// decoded undoes gzip, so that a hit can be written to any client.
func decoded(body []byte, encoding string, limit int64) ([]byte, error) {
	switch encoding {
	case "", "identity":
		return body, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("decode the answer: %w", err)
		}
		plain, whole, err := readUpTo(z, -1, limit)
		if err == nil && !whole {
			err = fmt.Errorf("decoded answer is larger than %d bytes", limit)
		}
		return plain, err
	default:
		return nil, fmt.Errorf("content encoding %q", encoding)
	}
}

// takeBody reads a request's body of up to limit bytes and makes it replayable. A larger one is put back together to be streamed.
func takeBody(r *http.Request, limit int64) (body []byte, whole bool, err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, true, nil
	}
	if r.ContentLength > limit {
		return nil, false, nil
	}
	read, whole, err := readUpTo(r.Body, r.ContentLength, limit)
	if err != nil {
		return nil, false, fmt.Errorf("%w: read the request's body: %w", uploadError{err}, err)
	}
	if !whole {
		r.Body = rejoin(read, r.Body)
		return nil, false, nil
	}
	r.ContentLength = int64(len(read))
	r.TransferEncoding = nil
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(read)), nil }
	r.Body, _ = r.GetBody()
	return read, true, nil
}

// uploadError is a request's body that did not come: the client's fault, not Vault's.
type uploadError struct{ cause error }

func (e uploadError) Error() string { return "the request's body could not be read; send it again" }

// ClientStatus is 408 for a body that came too slowly and 400 for one that broke off.
func (e uploadError) ClientStatus() int {
	var slow net.Error
	if errors.As(e.cause, &slow) && slow.Timeout() {
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// readUpTo reads all of r when that is at most limit bytes; size is what r is said to hold, or -1. Saying so costs a client nothing, so that memory
// beyond a little is taken only for what has arrived.
func readUpTo(r io.Reader, size, limit int64) (b []byte, whole bool, err error) {
	if size > limit {
		return nil, false, nil
	}
	const little = 64 << 10
	buf := bytes.NewBuffer(make([]byte, 0, min(max(size, 0), little)+bytes.MinRead))
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	return buf.Bytes(), n <= limit, err
}

// rejoin returns a body that begins with what was already read of rest.
func rejoin(read []byte, rest io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(read), rest), rest}
}

// short is what ristretto knows a key by; the full key is the value.
func short(key lease.Key) uint64 { return binary.LittleEndian.Uint64(key[:8]) }
