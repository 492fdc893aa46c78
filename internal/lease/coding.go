package lease

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"net/http"
	"slices"
	"time"

	"leasehold/internal/vault"
)

func nanosOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}

func appendText[T ~string | ~[]byte](b []byte, text T) []byte {
	return append(appendNumber(b, len(text)), text...)
}

func appendNumber(b []byte, n int) []byte {
	return binary.AppendUvarint(b, uint64(n))
}

func appendNanos(b []byte, times ...int64) []byte {
	for _, t := range times {
		b = binary.BigEndian.AppendUint64(b, uint64(t))
	}
	return b
}

// appendHolds adds the holders of an auto-auth token, in the order of their names.
func appendHolds(b []byte, holds []hold) []byte {
	b = appendNumber(b, len(holds))
	for _, h := range holds {
		b = appendNanos(appendText(b, h.name), h.since)
	}
	return b
}

// parseHolds reads what cursor.holds has found to be some.
func parseHolds(b []byte) (holds []hold) {
	for c := (cursor{rest: b}); len(c.rest) > 0; {
		holds = append(holds, hold{vault.AutoAuthName(c.text()), c.nanos()})
	}
	return holds
}

// appendFields adds header fields, which are in the order of their names.
func appendFields(b []byte, fields []Field) []byte {
	for _, f := range fields {
		b = appendNumber(appendText(b, f.Name), len(f.Values))
		for _, v := range f.Values {
			b = appendText(b, v)
		}
	}
	return b
}

// parseFields is its counterpart. A field takes more memory than bytes, by a constant factor.
func parseFields(b []byte) ([]Field, error) {
	var fields []Field
	for c := (cursor{rest: b}); len(c.rest) > 0; {
		f := Field{Name: string(c.text())}
		n := c.number()
		if n > len(c.rest) { // each value has a length of at least a byte
			return nil, errRecord
		}
		if n > 0 {
			f.Values = make([]string, n)
		}
		for i := range f.Values {
			f.Values[i] = string(c.text())
		}
		if c.failed || len(fields) > 0 && fields[len(fields)-1].Name >= f.Name {
			return nil, errRecord
		}
		fields = append(fields, f)
	}
	return slices.Clip(fields), nil
}

// sorted are the fields of h by name.
func sorted(h http.Header) []Field {
	fields := make([]Field, 0, len(h))
	for name, values := range h {
		fields = append(fields, Field{name, values})
	}
	slices.SortFunc(fields, func(a, b Field) int { return cmp.Compare(a.Name, b.Name) })
	return fields
}

// copied is b in a slice of its own and of exactly its size.
func copied(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	c := make([]byte, len(b))
	copy(c, b)
	return c
}

// cursor reads from the front of a record. Where that is wrong it has failed, and reads nothing but zeros from there on.
type cursor struct {
	rest   []byte
	failed bool
}

func (c *cursor) fail() { c.rest, c.failed = nil, true }

func (c *cursor) take(n int) []byte {
	if n > len(c.rest) {
		c.fail()
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

// number reads a uvarint in its shortest form. None is greater than a record can be long.
func (c *cursor) number() int {
	n, size := binary.Uvarint(c.rest)
	if size <= 0 || (size > 1 && c.rest[size-1] == 0) || n > math.MaxInt32 {
		c.fail()
		return 0
	}
	c.rest = c.rest[size:]
	return int(n)
}

func (c *cursor) text() []byte { return c.take(c.number()) }

// holds skips the holders of an auto-auth token, of which there is at least one, and returns what stands behind their number.
func (c *cursor) holds() []byte {
	n := c.number()
	all := c.rest
	var last []byte
	for i := range n {
		name := c.text()
		c.nanos()
		if c.failed || i > 0 && bytes.Compare(last, name) >= 0 {
			c.fail()
			return nil
		}
		last = name
	}
	if n == 0 {
		c.fail()
		return nil
	}
	return all[:len(all)-len(c.rest)]
}

func (c *cursor) nanos() int64 {
	b := c.take(8)
	if b == nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}
