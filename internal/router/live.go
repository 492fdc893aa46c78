package router

import (
	"net/http"
	"time"
)

// tellLive serves livez: 200, or 503 with the same body.
func (rt *router) tellLive(w http.ResponseWriter, r *http.Request) {
	now := rt.Live(r.Context())
	now.Since = now.Since.UTC().Truncate(time.Second)
	tellHealth(w, now.Alive, now)
}
