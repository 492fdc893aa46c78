package listener

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// A client that was answered in plain HTTP gets so long, and may send so much more, before the connection closes: closed with unread bytes it would be
// reset, and the answer be lost.
const (
	plainPatience = time.Second
	plainLeft     = 256 << 10 // bytes
)

// plainAnswer is the body for a client that forgot the s of https. Its first sentence is net/http's.
const plainAnswer = `{"errors":["Client sent an HTTP request to an HTTPS server. Write https:// in the address that the client uses, for example in VAULT_ADDR"]}` + "\n"

var errPlain = errors.New("client sent an HTTP request to an HTTPS server")

// plainWatch lies below TLS and answers whoever speaks HTTP without it. net/http does that itself, but in plain text, which no client of Vault shows, and
// not for LIST, PATCH and DELETE. One goroutine reads, that of the handshake first.
type plainWatch struct {
	net.Conn
	seen bool // the first byte was looked at
}

// Read fails with errPlain after it has answered.
func (c *plainWatch) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.seen || n == 0 {
		return n, err
	}
	c.seen = true
	if b[0] < 'A' || b[0] > 'Z' { // a method begins with a letter, and no record of TLS does
		return n, err
	}
	c.refuse()
	return 0, errPlain
}

// refuse answers under the handshake's write deadline. What fails, fails with the connection.
func (c *plainWatch) refuse() {
	answer := http.Response{
		StatusCode: http.StatusBadRequest, ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header:        http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(plainAnswer)), Body: io.NopCloser(strings.NewReader(plainAnswer)),
	}
	if answer.Write(c.Conn) != nil {
		return
	}
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.Conn.SetReadDeadline(time.Now().Add(plainPatience)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.Conn, plainLeft)
}
