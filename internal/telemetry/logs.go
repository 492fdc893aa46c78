package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// LogSettings say what is logged, how and where. Its zero value logs at info to standard error alone.
type LogSettings struct {
	Level  slog.Level
	Format string // "standard" (Vault's lines, also for ""), "json" or "logfmt"

	File           string        // log_file: written in addition; "" means none
	RotateBytes    int64         // of File, before it is set aside; 0 or less means never by size
	RotateDuration time.Duration // since File was opened, before it is set aside; 0 or less means never by time
	RotateMaxFiles int           // how many files set aside are kept; 0 keeps all, -1 none
}

// Logs are where log lines go: standard error, and a file if there is one. Safe for concurrent use.
//
// Lines are written as they come. Vault holds those of the start back until it is over, because it prints a banner; here there is none, and a start
// that waits for Vault may take hours, which are just the ones that a log is read for.
type Logs struct {
	logger *slog.Logger
	level  slog.LevelVar
	format string
	file   *logFile // nil without log_file
}

// OpenLogs opens the log file, if there is one. Its error is a sentence for the operator.
func OpenLogs(stderr io.Writer, s LogSettings) (*Logs, error) {
	l := &Logs{format: s.Format}
	l.level.Set(s.Level)
	out := stderr
	if s.File != "" {
		var err error
		if l.file, err = openLogFile(s, stderr); err != nil {
			return nil, fmt.Errorf("log_file: %w; name a file that this user may write, in a directory that exists", err)
		}
		out = both{stderr, l.file}
	}
	l.logger = NewLogger(out, &l.level, s.Format)
	return l, nil
}

// Logger is the one logger of the process.
func (l *Logs) Logger() *slog.Logger { return l.logger }

// SetLevel changes from which level on lines are written.
func (l *Logs) SetLevel(level slog.Level) { l.level.Set(level) }

// Fatal writes the error that ends the process to the log file alone: on standard error it is the last word anyway.
func (l *Logs) Fatal(err error) {
	if l.file != nil {
		NewLogger(both{io.Discard, l.file}, slog.LevelError, l.format).Error("ended", slog.Any("error", err))
	}
}

// Reopen opens the log file anew by its name, for a logrotate that has moved it. On an error the file that was open stays in use.
func (l *Logs) Reopen() error {
	if l.file == nil {
		return nil
	}
	if err := l.file.Reopen(); err != nil {
		return fmt.Errorf("log_file: %w; what was open stays in use", err)
	}
	return nil
}

// Close closes the log file. Lines that come later go to standard error only.
func (l *Logs) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// both writes to each, whatever the other says.
type both struct {
	stderr io.Writer
	file   *logFile
}

func (b both) Write(line []byte) (int, error) {
	b.file.write(line)
	return b.stderr.Write(line)
}
