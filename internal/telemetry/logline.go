package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	lineTime = "2006-01-02T15:04:05.000Z" // in UTC, so that the Z is true
	lineName = "proxy"                    // Vault's root name of a logger
)

// lineHandler writes Vault's lines: time [LEVEL] proxy: message: key=value. slog's own text handler writes the pairs, so that quoting, groups and
// LogValuer are its affair.
type lineHandler struct {
	shared *lineBuffer
	pairs  slog.Handler // writes to shared.buf
}

// lineBuffer is what all handlers of one logger share.
type lineBuffer struct {
	mu    sync.Mutex // guards buf and heads, and keeps lines whole
	buf   bytes.Buffer
	heads int // how many of a record's own fields, level and message, the text handler has yet to ask about
	out   io.Writer
	level slog.Leveler
}

func newLineHandler(w io.Writer, level slog.Leveler) *lineHandler {
	b := &lineBuffer{out: w, level: level}
	return &lineHandler{b, slog.NewTextHandler(&b.buf, &slog.HandlerOptions{Level: level, ReplaceAttr: b.dropHeads})}
}

// dropHeads leaves the record's own level and message out of the pairs. Attributes may have the same names: what tells them apart is that the text
// handler asks about the record's own first.
func (b *lineBuffer) dropHeads(_ []string, a slog.Attr) slog.Attr {
	if b.heads == 0 {
		return a
	}
	b.heads--
	return slog.Attr{}
}

func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.shared.level.Level()
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.shared.mu.Lock() // attributes of a With are asked about at once
	defer h.shared.mu.Unlock()
	return &lineHandler{h.shared, h.pairs.WithAttrs(attrs)}
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	return &lineHandler{h.shared, h.pairs.WithGroup(name)}
}

func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	b := h.shared
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Reset()
	b.buf.WriteString(r.Time.UTC().Format(lineTime))
	b.buf.WriteByte(' ')
	b.buf.WriteString(bracket(r.Level))
	b.buf.WriteString(" " + lineName + ": ")
	b.buf.WriteString(oneLine(r.Message))
	end := b.buf.Len()
	b.buf.WriteString(": ")
	begin := b.buf.Len()
	r.Time, b.heads = time.Time{}, 2 // a record without a time has none in the pairs
	if err := h.pairs.Handle(ctx, r); err != nil {
		return err
	}
	if b.buf.Len() == begin+1 { // nothing but the end of the line
		b.buf.Truncate(end)
		b.buf.WriteByte('\n')
	}
	_, err := b.out.Write(b.buf.Bytes())
	return err
}

// bracket pads as Vault does, so that names stand below each other.
func bracket(level slog.Level) string {
	switch {
	case level < slog.LevelDebug:
		return "[TRACE]"
	case level < slog.LevelInfo:
		return "[DEBUG]"
	case level < slog.LevelWarn:
		return "[INFO] "
	case level < slog.LevelError:
		return "[WARN] "
	default:
		return "[ERROR]"
	}
}

// oneLine keeps a message from looking like several.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
