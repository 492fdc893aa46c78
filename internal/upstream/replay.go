package upstream

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

const (
	// defaultMaxReplaySize is Retry.MaxReplaySize when that is zero.
	defaultMaxReplaySize = 32 << 20
	// maxReplayUnknown bounds what is kept of a body that does not say how long it is.
	maxReplayUnknown = 4 << 20
	// maxReplayMemory bounds what one client keeps of all bodies together.
	maxReplayMemory = 256 << 20
	// minReplayBuffer is what the first byte kept takes of that, unless the whole body is smaller.
	minReplayBuffer = 4 << 10
)

// prepare gives r a body that can be sent again, and keeps net/http from sending again by itself what may have reached Vault.
func (x *exchange) prepare(r *http.Request) *http.Request {
	switch {
	case r.Body == nil && x.risk == creating:
		return withBody(r, onlyOnce{})
	case r.Body == nil:
		return r
	case r.GetBody != nil:
		x.getBody = r.GetBody
		if x.risk == creating {
			r = withBody(r, r.Body)
			r.GetBody = nil
		}
		return r
	}
	x.upload = newUpload(r.Body, x.terms.Retry.limit(r.ContentLength), &x.client.kept, x.extend)
	x.getBody = x.upload.next
	body, _ := x.upload.next() // nothing was read yet
	r = withBody(r, body)
	if x.risk != creating {
		r.GetBody = x.getBody
	}
	return r
}

// onlyOnce is the empty body of a GET that net/http must not repeat. Of a GET that has none it believes that a server which drops a reused
// connection cannot have acted on it. On the wire this body is none.
type onlyOnce struct{}

func (onlyOnce) Read([]byte) (int, error) { return 0, io.EOF }
func (onlyOnce) Close() error             { return nil }

// rewound returns r ready to be sent once more, unless part of its body is gone.
func (x *exchange) rewound(r *http.Request) (*http.Request, bool) {
	if x.getBody == nil {
		return r, true
	}
	body, err := x.getBody()
	if err != nil {
		return nil, false
	}
	return withBody(r, body), true
}

func withBody(r *http.Request, body io.ReadCloser) *http.Request {
	r = r.WithContext(r.Context()) // a shallow copy: a RoundTripper does not change what it was given
	r.Body = body
	return r
}

// extend gives Vault the whole time again: while a client is still sending, Vault cannot answer.
func (x *exchange) extend() {
	x.timer.Reset(x.client.timeout)
}

// limit is how many bytes of a body of the given length, -1 when unknown, are kept; -1 is none at all.
func (r Retry) limit(length int64) int64 {
	most := cmp.Or(r.MaxReplaySize, defaultMaxReplaySize)
	switch {
	case most < 0 || length > most:
		return -1
	case length < 0:
		return min(most, maxReplayUnknown)
	}
	return length
}

// memory counts the bytes that all uploads of a client keep.
type memory struct{ taken atomic.Int64 }

func (m *memory) take(n int) bool {
	if m.taken.Add(int64(n)) <= maxReplayMemory {
		return true
	}
	m.give(n)
	return false
}

func (m *memory) give(n int) { m.taken.Add(int64(-n)) }

// upload is a body that the client sends once and that several tries may need. Each try has a reader of its own, which repeats what is kept and
// then goes on with src; what it reads there is kept for the next one, up to limit bytes. Nothing is read before a try asks for it.
//
// Only the latest reader lives. net/http may still be inside an older one, whose bytes are then kept and not lost. All methods are safe for
// concurrent use, and may be called on nil.
type upload struct {
	src    io.Reader
	onRead func()
	memory *memory
	limit  int64

	mu      sync.Mutex
	turn    sync.Cond     // reading has ended, or there is another latest reader
	latest  *uploadReader // nil when the last try has let go of the body
	reading bool          // somebody is inside src.Read
	keeping bool          // kept is all that was read of src
	kept    []byte
	end     error // of src
	settled bool  // there will be no other reader
}

func newUpload(src io.Reader, limit int64, m *memory, onRead func()) *upload {
	u := &upload{src: src, onRead: onRead, memory: m, limit: limit, keeping: true}
	u.turn.L = &u.mu
	return u
}

var errNotKept = errors.New("the body was not kept")

// next returns a reader of the whole body, and ends the one before. It fails when some of the body was read and not kept.
func (u *upload) next() (io.ReadCloser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.keeping {
		return nil, errNotKept
	}
	u.latest = &uploadReader{upload: u}
	u.turn.Broadcast()
	return u.latest, nil
}

// settle says that no try will follow, so that memory is kept no longer than the last one needs it.
func (u *upload) settle() {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.settled = true
	u.trim()
}

// failure is the error with which the client's body ended, nil when it did not.
func (u *upload) failure() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if errors.Is(u.end, io.EOF) {
		return nil
	}
	return u.end
}

// uploadReader is the body of one try.
type uploadReader struct {
	*upload
	off int // in kept, while there is something
}

func (b *uploadReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.latest == b {
		switch {
		case b.off < len(b.kept):
			n := copy(p, b.kept[b.off:])
			b.off += n
			b.trim()
			return n, nil
		case b.reading:
			b.turn.Wait()
		case b.end != nil:
			return 0, b.end
		default:
			return b.readOn(p)
		}
	}
	return 0, http.ErrBodyReadAfterClose
}

// readOn reads from src, with mu released meanwhile. What may arrive has its place in kept before, so that it is not lost when b is not the
// latest any more.
func (b *uploadReader) readOn(p []byte) (int, error) {
	if b.keeping {
		room := max(b.limit+1-int64(len(b.kept)), 0) // one byte more than the limit tells whether the body ends there
		part := p[:min(int64(len(p)), room)]
		if room > 0 && !b.settled && b.reserve(len(part)) {
			p = part
		} else {
			b.drop()
		}
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.src.Read(p)
	b.onRead()
	b.mu.Lock()
	b.reading, b.end = false, err
	if b.keeping {
		b.kept = append(b.kept, p[:n]...)
		b.off += n
	}
	b.turn.Broadcast()
	b.trim()
	if b.latest != b {
		return 0, http.ErrBodyReadAfterClose
	}
	return n, err
}

// Close ends the try, not the body: that is the server's, which closes it after the handler.
func (b *uploadReader) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest == b {
		b.latest = nil
		b.turn.Broadcast()
		b.trim()
	}
	return nil
}

// reserve makes room for n more bytes. The buffer doubles, up to limit and the one byte that shows that there is more.
func (u *upload) reserve(n int) bool {
	need := len(u.kept) + n
	if need <= cap(u.kept) {
		return true
	}
	size := max(need, int(min(int64(max(2*cap(u.kept), minReplayBuffer)), u.limit+1)))
	if !u.memory.take(size - cap(u.kept)) {
		return false
	}
	u.kept = append(make([]byte, 0, size), u.kept...)
	return true
}

// trim lets go of what nobody will read again.
func (u *upload) trim() {
	if u.settled && !u.reading && (u.latest == nil || u.latest.off == len(u.kept)) {
		u.drop()
	}
}

func (u *upload) drop() {
	u.memory.give(cap(u.kept))
	u.kept, u.keeping = nil, false
	if u.latest != nil {
		u.latest.off = 0
	}
}

// uploadError is the error for a request whose body did not come: the client's fault and not Vault's, so that it is not asked again. What the
// server says of a body that is too large stays as it is.
func uploadError(cause error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(cause, &tooLarge) {
		return cause
	}
	return fmt.Errorf("%w: %w", brokenUpload{cause}, cause)
}

type brokenUpload struct{ cause error }

func (brokenUpload) Error() string { return "the request's body could not be read; send it again" }

// ClientStatus is 408 for a body that came too slowly and 400 for one that broke off.
func (e brokenUpload) ClientStatus() int {
	var slow net.Error
	if errors.As(e.cause, &slow) && slow.Timeout() {
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}
