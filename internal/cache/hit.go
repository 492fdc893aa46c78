package cache

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/lease"
)

// Header values are shared between answers; net/http does not change them.
var (
	hitValue  = []string{"HIT"}
	missValue = []string{"MISS"}
)

// writeHit writes a stored answer with what is left of its lease. Date is net/http's own, in UTC.
func writeHit(w http.ResponseWriter, e *lease.Entry, now time.Time, replay bool) {
	a := e.Answer()
	before, digits, after := a.Split()
	if !replay {
		var b [20]byte
		digits = strconv.AppendInt(b[:0], max(int64(e.Remaining(now)/time.Second), 1), 10)
	}
	h := w.Header()
	for _, f := range a.Header.Fields {
		h[f.Name] = f.Values
	}
	values := [...]string{
		strconv.FormatInt(max(int64(now.Sub(a.Received)/time.Second), 0), 10),
		strconv.Itoa(len(before) + len(digits) + len(after)),
	}
	h["X-Cache"] = hitValue
	h["Age"] = values[0:1:1]
	h["Content-Length"] = values[1:2:2]
	w.WriteHeader(a.Status)
	for _, b := range [...][]byte{before, digits, after} {
		if _, err := w.Write(b); err != nil {
			return // the client left
		}
	}
}

// target is the raw path of a request as the client sent it.
func target(r *http.Request) string {
	t, _, _ := strings.Cut(r.RequestURI, "?")
	if t == "" {
		return r.URL.EscapedPath()
	}
	return t
}
