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
	hitValue       = []string{"HIT"}
	missValue      = []string{"MISS"}
	coalescedValue = []string{"COALESCED"} // kept while this request waited for the same one
	bypassValue    = []string{"BYPASS"}    // not looked for in the cache
	staleValue     = []string{"STALE"}     // due to be replaced, but Vault did not answer
)

// writeHit writes a stored answer with what is left of its lease. Date is net/http's own, in UTC.
func writeHit(w http.ResponseWriter, e *lease.Entry, now time.Time, replay bool, how []string) {
	a := e.Answer()
	before, digits, after := a.Split()
	var kept struct { // what w holds on to, in one allocation
		digits [20]byte
		values [2]string
	}
	if !replay {
		digits = strconv.AppendInt(kept.digits[:0], max(int64(e.Remaining(now)/time.Second), 1), 10)
	}
	h := w.Header()
	for _, f := range a.Header.Fields {
		h[f.Name] = f.Values
	}
	var b [40]byte
	age := strconv.AppendInt(b[:0], max(int64(now.Sub(a.Received)/time.Second), 0), 10)
	both := string(strconv.AppendInt(age, int64(len(before)+len(digits)+len(after)), 10))
	kept.values = [...]string{both[:len(age)], both[len(age):]}
	h["X-Cache"] = how
	h["Age"] = kept.values[0:1:1]
	h["Content-Length"] = kept.values[1:2:2]
	w.WriteHeader(a.Status)
	for _, b := range [...][]byte{before, digits, after} {
		if _, err := w.Write(b); err != nil {
			return // the client left
		}
	}
}

// target is the raw path of a request as the client sent it, without the host of an absolute one.
func target(r *http.Request) string {
	t, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(t, "/") {
		return r.URL.EscapedPath()
	}
	return t
}
