package router

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"leasehold/internal/vault"
)

// line keeps a crowd of denials from filling the log: one a second is written, with the number of those that were not.
type line struct {
	pace  rate.Sometimes
	quiet atomic.Int64
}

// newLines returns n of them.
func newLines(n int) []line {
	all := make([]line, n)
	for i := range all {
		all[i].pace.Interval = time.Second
	}
	return all
}

// The refusals that are not a matter of rights, each with a line of its own in router.refusals.
const (
	refusedHeader = iota
	refusedCrowd
	refusedSize
	refusedMethod
	refusedSite
	refusals // how many there are
)

// refuse notes and logs that a request was refused before anybody looked at what it asks for; answering is the caller's.
func (rt *router) refuse(w http.ResponseWriter, r *http.Request, kind int, reason string) {
	deny(w, reason)
	rt.refusals[kind].denied(rt, r, rt.callerOf(r), reason, r.URL.Path)
}

// denied writes the line, or counts it. path is "" when it should not be shown.
func (l *line) denied(rt *router, r *http.Request, c Caller, reason, path string, more ...slog.Attr) {
	logged := false
	l.pace.Do(func() {
		logged = true
		attrs := []slog.Attr{slog.String("reason", reason), slog.String("method", vault.LogMethod(r.Method)), slog.String("path", loggable(path))}
		attrs = append(attrs, more...)
		if c.HasIDs {
			attrs = append(attrs, slog.Uint64("uid", uint64(c.UID)))
		} else if r.RemoteAddr != "" && r.RemoteAddr != "@" {
			attrs = append(attrs, slog.String("address", r.RemoteAddr))
		}
		if c.Cert != nil {
			attrs = append(attrs, slog.String("client_cn", clip(c.Cert.Subject.CommonName)))
		}
		if n := l.quiet.Swap(0); n > 0 {
			attrs = append(attrs, slog.Int64("not_logged", n))
		}
		rt.Log.LogAttrs(r.Context(), slog.LevelInfo, "request denied", attrs...)
	})
	if !logged {
		l.quiet.Add(1)
	}
}
