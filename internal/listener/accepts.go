package listener

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// acceptPatience is how long a connection may wait to be accepted before a look at the socket fails.
const acceptPatience = 2 * time.Second

// acceptLook is between two looks at whether it was.
const acceptLook = 10 * time.Millisecond

// Accepts reports whether connections are still accepted. When none was since the last call it makes one, and closes it at once. What has never been seen
// to work is not judged, nor what cannot be tried: our own user may not be let in, or the path be another's by now. It returns within 2 s, and false when ctx
// ends before it knows. One goroutine asks.
func (s *Socket) Accepts(ctx context.Context) bool {
	before := s.accepted.Load()
	if before != s.seen {
		s.seen = before
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, acceptPatience)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, s.addr.Network(), s.addr.String())
	if err != nil {
		return before == 0 || !stuck(err)
	}
	defer func() { _ = conn.Close() }() // nothing was written
	for s.accepted.Load() == before {
		select {
		case <-time.After(acceptLook):
		case <-ctx.Done():
			return before == 0
		}
	}
	s.seen = s.accepted.Load()
	return true
}

// stuck reports whether a connection failed for what a listener that does not accept leads to: nobody there, a queue that is full, no descriptor left.
func stuck(err error) bool {
	for _, cause := range []error{syscall.ECONNREFUSED, syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, os.ErrDeadlineExceeded, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}
