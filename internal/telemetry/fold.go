package telemetry

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	// foldFirst is how long the same failure is only counted after it was said, and foldAfter after it was said how often it has come since.
	foldFirst = 10 * time.Second
	foldAfter = time.Minute
	// maxFolds bounds the failures that are counted at a time. What is beyond is written as it comes.
	maxFolds = 256
)

// Folding is a handler that summarises what fails again and again: when Vault is away, each of ten thousand leases would say so. The first of them is
// written at once; those that follow are counted, and one line says how many there were, ten seconds later and then once a minute. When a minute
// was quiet the next is a first one again.
//
// It is for failures only: warnings and errors that have an error as an attribute. A change of state is never held back.
type Folding struct {
	next   slog.Handler
	with   string // the attributes that all of its records have
	shared *folds
}

var _ slog.Handler = (*Folding)(nil)

// folds are the failures that were said lately, of all handlers that come from one Fold.
type folds struct {
	mu     sync.Mutex // guards what follows, and is not held while a line is written
	open   map[string]*fold
	closed bool
}

// fold is one of them.
type fold struct {
	since time.Time // of the last line about it
	more  int       // since then
	last  slog.Record
	next  slog.Handler
	timer *time.Timer
}

// Fold returns a handler in front of next. Close ends its timers.
func Fold(next slog.Handler) *Folding {
	return &Folding{next: next, shared: &folds{open: map[string]*fold{}}}
}

// Enabled implements slog.Handler.
func (f *Folding) Enabled(ctx context.Context, level slog.Level) bool {
	return f.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (f *Folding) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := f.with
	for _, a := range attrs {
		with += "\x00" + a.String()
	}
	return &Folding{next: f.next.WithAttrs(attrs), with: with, shared: f.shared}
}

// WithGroup implements slog.Handler.
func (f *Folding) WithGroup(name string) slog.Handler {
	return &Folding{next: f.next.WithGroup(name), with: f.with + "\x00" + name + ".", shared: f.shared}
}

// Handle implements slog.Handler.
func (f *Folding) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		if key, ok := failureOf(r); ok && f.shared.has(f.with+"\x00"+key, r, f.next) {
			return nil
		}
	}
	return f.next.Handle(ctx, r)
}

// has counts the failure if it was said lately. If not, it is to be said now.
func (s *folds) has(key string, r slog.Record, next slog.Handler) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.open[key]; one != nil {
		one.more++
		one.last, one.next = r.Clone(), next
		return true
	}
	if s.closed || len(s.open) >= maxFolds {
		return false
	}
	s.open[key] = &fold{since: time.Now(), timer: time.AfterFunc(foldFirst, func() { s.tell(key) })}
	return false
}

// tell says how often a failure has come since it was last said, or forgets it.
func (s *folds) tell(key string) {
	s.mu.Lock()
	one := s.open[key]
	if one == nil {
		s.mu.Unlock()
		return // closed meanwhile
	}
	if one.more == 0 {
		delete(s.open, key)
		s.mu.Unlock()
		return
	}
	say := one.summary()
	one.timer.Reset(foldAfter)
	s.mu.Unlock()
	say()
}

// summary makes the line, and begins to count anew. The attributes are those of the last failure.
func (f *fold) summary() (say func()) {
	now := time.Now()
	r := slog.NewRecord(now, f.last.Level, "repeated: "+f.last.Message, 0)
	r.AddAttrs(slog.Int("times", f.more), slog.Duration("within", now.Sub(f.since)))
	f.last.Attrs(func(a slog.Attr) bool {
		r.AddAttrs(a)
		return true
	})
	next := f.next
	f.since, f.more, f.last, f.next = now, 0, slog.Record{}, nil
	return func() { _ = next.Handle(context.Background(), r) } // as slog.Logger does with what a handler returns
}

// Close says what was only counted, and holds nothing back from then on.
func (f *Folding) Close() {
	s := f.shared
	s.mu.Lock()
	var all []func()
	for _, one := range s.open {
		one.timer.Stop()
		if one.more > 0 {
			all = append(all, one.summary())
		}
	}
	s.open, s.closed = map[string]*fold{}, true
	s.mu.Unlock()
	for _, say := range all {
		say()
	}
}

// sender is the part of a network error that is another each time: the port that a connection was made from.
var sender = regexp.MustCompile(`:\d+->`)

// failureOf is what makes a record the same failure as another: level, message, errors and texts. Which lease or token it was, which request, and what
// counts or measures is left out. ok is false for what is no failure.
func failureOf(r slog.Record) (key string, ok bool) {
	var b strings.Builder
	b.WriteString(r.Level.String() + "\x00" + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "lease", "accessor", "method":
			return true
		}
		v := a.Value.Resolve()
		switch v.Kind() {
		case slog.KindString, slog.KindBool:
			b.WriteString("\x00" + a.Key + "=" + v.String())
		case slog.KindAny:
			if err, is := v.Any().(error); is {
				ok = true
				b.WriteString("\x00" + a.Key + "=" + sender.ReplaceAllString(err.Error(), ":*->"))
			}
		}
		return true
	})
	return b.String(), ok
}
