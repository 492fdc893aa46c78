package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes records of at least level to w, each with one Write: as JSON when format is "json", as key=value pairs when
// it is "logfmt", and else as lines in Vault's form. What is logged with the context of a trace has its trace_id.
func NewLogger(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: traceName}
	switch format {
	case "json":
		return slog.New(traceHandler{slog.NewJSONHandler(w, options)})
	case "logfmt":
		return slog.New(traceHandler{slog.NewTextHandler(w, options)})
	default:
		return slog.New(traceHandler{newLineHandler(w, level)})
	}
}

// traceName names the level below debug, which slog would print as DEBUG-4.
func traceName(groups []string, a slog.Attr) slog.Attr {
	if level, ok := a.Value.Any().(slog.Level); ok && len(groups) == 0 && a.Key == slog.LevelKey && level < slog.LevelDebug {
		return slog.String(slog.LevelKey, "TRACE")
	}
	return a
}
