package upstream

import (
	"io"
	"net/http"
	"sync/atomic"
)

// upload is a body that can be had only once. It remembers whether a try took any of it, and keeps src open for the next one.
type upload struct {
	src    io.ReadCloser
	onRead func()
	state  atomic.Int32
}

const (
	uploadFresh int32 = iota
	uploadTouched
	uploadAbandoned
)

func (u *upload) Read(p []byte) (int, error) {
	if !u.state.CompareAndSwap(uploadFresh, uploadTouched) && u.state.Load() == uploadAbandoned {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := u.src.Read(p)
	u.onRead()
	return n, err
}

// Close ends the try, not the body: that is the server's, which closes it after the handler.
func (u *upload) Close() error {
	u.abandon()
	return nil
}

// abandon reports whether nothing was read, and sees to it that nothing will be.
func (u *upload) abandon() bool {
	return u.state.CompareAndSwap(uploadFresh, uploadAbandoned) || u.state.Load() == uploadAbandoned
}

// extend gives Vault the whole time again: while a client is still sending, Vault cannot answer.
func (x *exchange) extend() {
	x.timer.Reset(x.client.timeout)
}
