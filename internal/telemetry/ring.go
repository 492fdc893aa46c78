package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// ringSize is how many records a Ring keeps.
const ringSize = 50

// maxText bounds each text of a Kept, in bytes.
const maxText = 1 << 10

// Kept is a record of the log, in texts. What hides itself in a log is hidden here.
type Kept struct {
	At      time.Time
	Level   slog.Level
	Message string
	Details map[string]string // by key, with the groups before it; nil for none
}

// Ring is a slog handler that hands records on and keeps the last of warnings and errors, for who asks the running process. It is safe for concurrent use.
type Ring struct {
	kept *kept
	next slog.Handler

	group   string            // with a dot at the end
	details map[string]string // of With
}

// kept is what all handlers of one ring share.
type kept struct {
	mu   sync.Mutex
	all  [ringSize]Kept
	next int // counts, and is never reset
}

// NewRing returns a ring before next.
func NewRing(next slog.Handler) *Ring { return &Ring{kept: &kept{}, next: next} }

// Last returns what is kept, the oldest first.
func (r *Ring) Last() []Kept {
	k := r.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next < ringSize {
		return slices.Clone(k.all[:k.next])
	}
	at := k.next % ringSize
	return slices.Concat(k.all[at:], k.all[:at])
}

// Enabled implements slog.Handler. Warnings and errors are kept also where they are not written.
func (r *Ring) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || r.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (r *Ring) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelWarn {
		r.keep(record)
	}
	if !r.next.Enabled(ctx, record.Level) {
		return nil
	}
	return r.next.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (r *Ring) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := *r
	own.next, own.details = r.next.WithAttrs(attrs), r.with(attrs)
	return &own
}

// WithGroup implements slog.Handler.
func (r *Ring) WithGroup(name string) slog.Handler {
	own := *r
	own.next = r.next.WithGroup(name)
	if name != "" {
		own.group += name + "."
	}
	return &own
}

func (r *Ring) keep(record slog.Record) {
	attrs := make([]slog.Attr, 0, record.NumAttrs())
	record.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	one := Kept{At: record.Time, Level: record.Level, Message: bounded(record.Message), Details: r.with(attrs)}
	k := r.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[k.next%ringSize] = one
	k.next++
}

// with is a copy of the details with attrs, as texts: nothing that a record holds on to, or that may change, is kept.
func (r *Ring) with(attrs []slog.Attr) map[string]string {
	all := map[string]string{}
	for key, text := range r.details {
		all[key] = text
	}
	for _, a := range attrs {
		spread(all, r.group, a)
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// spread puts an attribute into all, a group one by one. Values that know how they are to be logged are asked.
func spread(all map[string]string, group string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		if a.Key != "" {
			all[group+a.Key] = bounded(value.String())
		}
		return
	}
	if a.Key != "" {
		group += a.Key + "."
	}
	for _, inner := range value.Group() {
		spread(all, group, inner)
	}
}

func bounded(text string) string {
	if len(text) > maxText {
		return text[:maxText] + "..."
	}
	return text
}
