package listener

import (
	"context"
	"net/http"
	"time"
)

// errLong is the cause with which the context of a request ends when it takes too long.
const errLong = longRequest("the request took longer than max_request_duration of the listener; raise it, or send what lasts longer to another listener")

type longRequest string

func (e longRequest) Error() string { return string(e) }

// ClientStatus is the HTTP status for the client.
func (longRequest) ClientStatus() int { return http.StatusGatewayTimeout }

// bounded ends requests after a time, streamed answers as well: whoever sets the bound wants nothing to last longer.
func bounded(h http.Handler, longest time.Duration) http.Handler {
	if longest <= 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeoutCause(r.Context(), longest, errLong)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}
