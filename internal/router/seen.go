package router

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"

	"leasehold/internal/vault"
)

// Exchange is what became of one request. It is valid only while Parts.Seen has it.
type Exchange struct {
	Request *http.Request // as the client sent it: its path and header may hold secrets
	Route   string        // one of Routes
	Status  int           // what the client got; 0 when nothing was written, 101 for a tunnel
	Outcome string        // what X-Cache said of an answer that is no error: HIT, MISS, COALESCED, BYPASS or STALE; else ""
	Bytes   int64         // of the answer's body; those of a tunnel do not count
	Began   time.Time
	Took    time.Duration // until the last byte was handed to the connection
	Aborted bool          // the handler panicked: the answer broke off, or there is a bug
	Stream  bool          // the answer goes on for as long as the client wants to hear more

	Upstream     int           // the status of Vault's last answer; 0 when none came, and for what did not go to Vault
	Tries        int           // how often Vault was asked; those who waited for another's answer have 0
	UpstreamTook time.Duration // until the headers of Vault's answers, with the waits between the tries

	Token    vault.Token    // what the request was sent with, lent or its own; zero when there was none, and for what was not to go to Vault
	Lent     bool           // Token is an auto-auth token
	Accessor vault.Accessor // of Token, when Parts.Accessor knew it before the request
	Denied   string         // why it was refused before anybody looked at what it asks for; "" when it was not
}

// Outcomes are the words of Exchange.Outcome, that for none last.
func Outcomes() []string {
	return []string{"HIT", "MISS", "COALESCED", "BYPASS", "STALE", ""}
}

// recorder fills an Exchange while the answer is written. What else a ResponseWriter can do, http.ResponseController finds behind Unwrap.
type recorder struct {
	http.ResponseWriter
	x Exchange
}

// recorders lends recorders, so that a hit costs no allocation.
var recorders = sync.Pool{New: func() any { return new(recorder) }}

// watch is the middleware that tells Seen of every request, and Active of those that have begun and not ended.
func (rt *router) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.Active != nil {
			rt.Active.Add(1)
			defer rt.Active.Add(-1)
		}
		rec, _ := recorders.Get().(*recorder)
		*rec = recorder{ResponseWriter: w, x: Exchange{Request: r, Route: routeOf(r.URL.Path), Began: time.Now(), Aborted: true}}
		defer func() {
			rec.x.Took = time.Since(rec.x.Began)
			rt.Seen(&rec.x)
			if !rec.x.Aborted { // else somebody may still write to it
				*rec = recorder{}
				recorders.Put(rec)
			}
		}()
		next.ServeHTTP(rec, r)
		rec.x.Aborted = false // without a recover: whoever reads of the panic wants to see where it was
		if rec.x.Status == 0 {
			rec.wrote(http.StatusOK) // as net/http does for a handler that writes nothing
		}
	})
}

// wrote notes the status that counts: the first that is not merely information.
func (rec *recorder) wrote(status int) {
	if rec.x.Status != 0 || status < http.StatusOK && status != http.StatusSwitchingProtocols {
		return
	}
	rec.x.Status = status
	if status >= http.StatusMultipleChoices {
		return // Vault's own, or that of a cache behind us
	}
	if how := rec.Header()["X-Cache"]; len(how) == 1 {
		rec.x.Outcome = how[0]
	}
}

// WriteHeader implements http.ResponseWriter.
func (rec *recorder) WriteHeader(status int) {
	rec.wrote(status)
	rec.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (rec *recorder) Write(b []byte) (int, error) {
	rec.wrote(http.StatusOK)
	n, err := rec.ResponseWriter.Write(b)
	rec.x.Bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// Hijack implements http.Hijacker: an Upgrade becomes a tunnel, and nobody calls WriteHeader.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(rec.ResponseWriter).Hijack()
	if err == nil {
		rec.wrote(http.StatusSwitchingProtocols)
	}
	return conn, rw, err
}

// Asked is called by whoever has asked Vault for the answer, each time that it did: status is that of Vault's answer or 0, took the time until its headers.
func (rec *recorder) Asked(status, tries int, took time.Duration) {
	rec.x.Upstream = status
	rec.x.Tries += tries
	rec.x.UpstreamTook += took
}

// exchangeOf returns what is recorded of the request that w answers, nil when nothing is.
func exchangeOf(w http.ResponseWriter) *Exchange {
	if rec, ok := w.(*recorder); ok {
		return &rec.x
	}
	return nil
}

// bare is the server's own ResponseWriter, which http.MaxBytesReader tells to close a connection that sends too much.
func bare(w http.ResponseWriter) http.ResponseWriter {
	if rec, ok := w.(*recorder); ok {
		return rec.ResponseWriter
	}
	return w
}

// deny notes why a request was refused.
func deny(w http.ResponseWriter, reason string) {
	if x := exchangeOf(w); x != nil {
		x.Denied = reason
	}
}
