package router

import (
	"encoding/json"
	"net/http"

	"github.com/go-chi/chi/v5"

	"leasehold/internal/api"
)

// insider tells what goes on inside the daemon. Its errors are clientErrors, or mean that the answer is not to be had.
type insider interface {
	Status(full bool) api.Status // full: with accessors
	Leases(q api.LeaseQuery, full bool) (api.LeasePage, error)
	Explain(q Question) (api.Explanation, error)
}

// lookInside adds the endpoints that look inside. They have no secret in them, but tell which paths are used, so that they are guarded as others are.
func (rt *router) lookInside(m *chi.Mux, app string) {
	rt.own(m, app+"status", rt.private(true, rt.tellStatus), http.MethodGet)
	rt.own(m, app+"leases", rt.private(true, rt.tellLeases), http.MethodGet)
	rt.own(m, app+"explain", rt.private(true, rt.explain), http.MethodGet)
	if rt.Feed != nil {
		rt.own(m, app+"events", rt.private(true, rt.tellEvents), http.MethodGet)
		rt.showPage(m, app)
	}
}

func (rt *router) tellStatus(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, rt.Inside.Status(rt.opt.Admin))
}

// writeJSON answers with what an endpoint of ours has to say.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		writeError(w, http.StatusInternalServerError, "the answer cannot be written as JSON")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// Loggable shortens a path and hides what may be a token in it, as in the log.
func Loggable(path string) string { return loggable(path) }
