package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes records of at least level to w, as JSON when format is "json" and else as text.
func NewLogger(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: traceName}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// traceName names the level below debug, which slog would print as DEBUG-4.
func traceName(groups []string, a slog.Attr) slog.Attr {
	if level, ok := a.Value.Any().(slog.Level); ok && len(groups) == 0 && a.Key == slog.LevelKey && level < slog.LevelDebug {
		return slog.String(slog.LevelKey, "TRACE")
	}
	return a
}
