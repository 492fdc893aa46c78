package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"
)

// connection speaks just enough HTTP/1.1 over one keep-alive connection. It shares the machine with what it measures, so it does as
// little as it can: the request is ready to be sent, and of the answer only what must be known is looked at.
type connection struct {
	net.Conn
	got       []byte // of the present answer, from its first byte; the buffer is used again for the next
	latencies []time.Duration
}

// exchange sends a request and reads its answer whole. The answer must be 200 and have mark in its header.
func (c *connection) exchange(request, mark []byte) error {
	c.got = c.got[:0]
	if _, err := c.Write(request); err != nil {
		return err
	}
	end, err := c.after("\r\n\r\n", 0)
	if err != nil {
		return err
	}
	header := c.got[:end]
	if !bytes.HasPrefix(header, []byte("HTTP/1.1 200 ")) || !bytes.Contains(header, mark) {
		return fmt.Errorf("the answer should be 200 with %q, and is\n%s", mark, header)
	}
	if _, rest, ok := bytes.Cut(header, []byte("\r\nContent-Length: ")); ok {
		length, err := number(rest, 10)
		if err != nil {
			return err
		}
		return c.fill(end + length)
	}
	if bytes.Contains(header, []byte("\r\nTransfer-Encoding: chunked\r\n")) {
		return c.chunks(end)
	}
	return errors.New("the answer has neither Content-Length nor chunks")
}

// chunks reads a chunked body that begins at from, with no trailers.
func (c *connection) chunks(from int) error {
	for {
		data, err := c.after("\r\n", from)
		if err != nil {
			return err
		}
		size, err := number(c.got[from:], 16)
		if err != nil {
			return err
		}
		from = data + size + len("\r\n")
		if err := c.fill(from); err != nil || size == 0 {
			return err
		}
	}
}

// number reads the digits before the end of a line.
func number(line []byte, base int) (int, error) {
	digits, _, _ := bytes.Cut(line, []byte("\r\n"))
	n, err := strconv.ParseUint(string(digits), base, 31)
	return int(n), err
}

// after reads until sep was received at or behind from, and returns where it ends.
func (c *connection) after(sep string, from int) (int, error) {
	for {
		if i := bytes.Index(c.got[from:], []byte(sep)); i >= 0 {
			return from + i + len(sep), nil
		}
		if err := c.fill(len(c.got) + 1); err != nil {
			return 0, err
		}
	}
}

// fill reads until at least n bytes of the answer were received.
func (c *connection) fill(n int) error {
	c.got = slices.Grow(c.got, max(n-len(c.got), 0))
	for len(c.got) < n {
		more, err := c.Read(c.got[len(c.got):cap(c.got)])
		c.got = c.got[:len(c.got)+more]
		if err != nil {
			return err
		}
	}
	return nil
}
