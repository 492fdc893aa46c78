package cache

import (
	"net/http"
	"strings"
	"time"

	"leasehold/internal/lease"
)

// What Cache-Control may ask for costs Vault a lease each time, so all clients together may do so ten times a second, and each key once.
const (
	controlRate  = 10 // a second
	controlBurst = 20
	controlEvery = time.Second
)

// limited is the X-Cache-Reason of an answer whose request has asked for more than that.
const limited = "refresh limited"

// wish is what a request's Cache-Control asks for.
type wish uint8

const (
	plain   wish = iota
	noCache      // answer from Vault, and keep that instead
	noStore      // answer from Vault, and leave the cache as it is
)

// wishOf reads Cache-Control (RFC 9111, section 5.2.1). Directives other than these two mean nothing here.
func (c *Cache) wishOf(h http.Header) (w wish, note string) {
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			switch strings.ToLower(strings.TrimSpace(directive)) {
			case "no-store":
				w = noStore
			case "no-cache":
				w = max(w, noCache)
			}
		}
	}
	if w == noStore && !c.limit.Allow() {
		return plain, limited
	}
	return w, ""
}

// refuseRefresh tells why a no-cache is not heeded, if it is not.
func (c *Cache) refuseRefresh(e *lease.Entry, now time.Time) string {
	if now.Sub(e.Answer().Received) < controlEvery || !c.limit.Allow() {
		return limited
	}
	return ""
}
