package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// accessQueue is how many lines wait for a destination that is slow. What comes when they do is dropped: no request waits for its line.
const accessQueue = 4096

// accessTell is how often it is said that lines were dropped.
const accessTell = 10 * time.Second

// AccessSettings say where a line for each request goes, and how it is written.
type AccessSettings struct {
	Path   string // "stdout", "stderr", or a file, which gets mode 0640 and is appended to
	Format string // "json", or "text" for key=value pairs
	Stdout io.Writer
	Stderr io.Writer // also for what is wrong with the file
}

// AccessLog writes a line for each request, if it has somewhere to write to. Requests hand their lines over; one goroutine, Run's, writes them. Safe for
// concurrent use.
type AccessLog struct {
	to      atomic.Pointer[AccessOutput]
	lines   chan accessLine
	dropped *atomic.Int64
	overrun atomic.Int64 // of these, the lines that were too many, and of which nothing was said yet
	log     *slog.Logger

	changed chan struct{} // capacity 1: there are retired outputs
	mu      sync.Mutex    // guards retired
	retired []*AccessOutput
}

// AccessOutput is where lines go until a reload says otherwise.
type AccessOutput struct {
	handler slog.Handler
	file    *logFile  // nil for a stream
	stream  io.Writer // nil for a file
}

// accessLine is a line and where it goes: one that was written before a reload goes where it would have gone then.
type accessLine struct {
	to   *AccessOutput
	text []byte
}

// NewAccessLog returns one that has nowhere to write to. Lines that are dropped are added to dropped, and told to log.
func NewAccessLog(dropped *atomic.Int64, log *slog.Logger) *AccessLog {
	return &AccessLog{lines: make(chan accessLine, accessQueue), changed: make(chan struct{}, 1), dropped: dropped, log: log}
}

// Open opens an output for Use. Its error is a sentence for the operator.
func (l *AccessLog) Open(s AccessSettings) (*AccessOutput, error) {
	o := &AccessOutput{}
	switch s.Path {
	case "stdout":
		o.stream = s.Stdout
	case "stderr":
		o.stream = s.Stderr
	default:
		o.file = &logFile{key: "access_log", where: "are lost", path: fileIn(s.Path, defaultAccessName), stderr: s.Stderr}
		if err := o.file.open(); err != nil {
			return nil, fmt.Errorf("access_log: %w; name a file that this user may write, in a directory that exists", err)
		}
	}
	options := &slog.HandlerOptions{ReplaceAttr: dropHeads}
	queue := accessWriter{l, o}
	if s.Format == "text" {
		o.handler = slog.NewTextHandler(queue, options)
	} else {
		o.handler = slog.NewJSONHandler(queue, options)
	}
	return o, nil
}

// dropHeads leaves level and message out: a line is not said by anybody.
func dropHeads(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

// Use writes to o from now on; nil ends the writing. The output before is closed when it has its last line.
func (l *AccessLog) Use(o *AccessOutput) {
	l.mu.Lock()
	if old := l.to.Swap(o); old != nil {
		l.retired = append(l.retired, old)
	}
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default: // Run has yet to hear of the change before, and looks then
	}
}

// Enabled reports whether lines are written.
func (l *AccessLog) Enabled() bool { return l.to.Load() != nil }

// Log hands over the line of a request that began at this time. It does not wait.
func (l *AccessLog) Log(ctx context.Context, began time.Time, attrs ...slog.Attr) {
	o := l.to.Load()
	if o == nil {
		return
	}
	r := slog.NewRecord(began, slog.LevelInfo, "", 0)
	r.AddAttrs(attrs...)
	_ = o.handler.Handle(ctx, r) // accessWriter has no error
}

// accessWriter is what a handler writes to, a line with each call.
type accessWriter struct {
	log *AccessLog
	to  *AccessOutput
}

func (w accessWriter) Write(line []byte) (int, error) {
	select {
	case w.log.lines <- accessLine{w.to, append([]byte(nil), line...)}:
	default:
		w.log.dropped.Add(1)
		w.log.overrun.Add(1)
	}
	return len(line), nil
}

// Reopen opens the file anew by its name, for a logrotate that has moved it. On an error the file that was open stays in use.
func (l *AccessLog) Reopen() error {
	o := l.to.Load()
	if o == nil || o.file == nil {
		return nil
	}
	if err := o.file.Reopen(); err != nil {
		return fmt.Errorf("access_log: %w; what was open stays in use", err)
	}
	return nil
}

// Run writes until ctx ends, then what is left, and closes the file. A stream that nobody reads holds it up, as it does the log.
func (l *AccessLog) Run(ctx context.Context) {
	tell := rate.Sometimes{Interval: accessTell}
	for {
		select {
		case line := <-l.lines:
			l.write(line)
			if l.overrun.Load() > 0 {
				tell.Do(l.tellOverrun)
			}
		case <-l.changed:
			l.retire()
		case <-ctx.Done():
			l.Use(nil)
			l.retire()
			if l.overrun.Load() > 0 {
				l.tellOverrun()
			}
			return
		}
	}
}

func (l *AccessLog) tellOverrun() {
	l.log.Warn("access_log cannot keep up, and lacks lines; write it to something faster, or exclude what need not be in it", slog.Int64("lines", l.overrun.Swap(0)))
}

// retire writes the lines that are there, and then closes the outputs that are not in use any more.
func (l *AccessLog) retire() {
	l.mu.Lock()
	old := l.retired
	l.retired = nil
	l.mu.Unlock()
	l.drain()
	for _, o := range old {
		if o.file != nil {
			_ = o.file.Close() // each write to it has told its error
		}
	}
}

// drain writes the lines that are there.
func (l *AccessLog) drain() {
	for {
		select {
		case line := <-l.lines:
			l.write(line)
		default:
			return
		}
	}
}

func (l *AccessLog) write(line accessLine) {
	if line.to.file != nil {
		if !line.to.file.write(line.text) {
			l.dropped.Add(1)
		}
		return
	}
	if _, err := line.to.stream.Write(line.text); err != nil {
		l.dropped.Add(1)
	}
}
