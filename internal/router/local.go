package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"leasehold/internal/api"
)

// maxClear bounds the body of a cache-clear.
const maxClear = 1 << 20

// clearCache serves cache-clear as Vault Proxy documents it.
func (rt *router) clearCache(w http.ResponseWriter, r *http.Request) {
	if rt.opt.CacheOff {
		return // 200: nothing is cached
	}
	var q struct {
		Type      string `json:"type"`
		Value     string `json:"value"`
		Namespace string `json:"namespace"`
	}
	err := json.NewDecoder(http.MaxBytesReader(bare(w), r.Body, maxClear)).Decode(&q)
	if errors.Is(err, io.EOF) {
		err = errors.New("empty JSON provided")
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, "failed to parse JSON input: "+err.Error())
		return
	}
	gone, err := rt.Clear.Clear(q.Type, q.Value, q.Namespace)
	var told clientError
	switch {
	case errors.As(err, &told):
		writeError(w, told.ClientStatus(), told.Error())
		return
	case err != nil:
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set(api.ClearedHeader, strconv.Itoa(gone))
	rt.Log.Info("cache cleared", slog.String("type", q.Type), slog.Int("entries", gone))
}

// quit answers first: the stop that it begins lets this answer out.
func (rt *router) quit(http.ResponseWriter, *http.Request) {
	rt.Log.Info("quit was asked for")
	rt.Quit()
}

// reauthWait bounds how long reauth is waited for; the login goes on after that.
const reauthWait = 30 * time.Second

// reauth answers when the login is done.
func (rt *router) reauth(w http.ResponseWriter, r *http.Request) {
	rt.Log.Info("reauth was asked for")
	ctx, cancel := context.WithTimeout(r.Context(), reauthWait)
	defer cancel()
	err := rt.Reauth(ctx)
	switch {
	case err == nil:
	case r.Context().Err() != nil:
		rt.Log.Debug("the client did not wait for reauth")
	case ctx.Err() != nil:
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("the login is not done after %v; it goes on, see Leasehold's log", reauthWait))
	default: // with the remedy: whoever may ask for it is the one who reads the log
		writeError(w, http.StatusServiceUnavailable, err.Error())
	}
}

// unknown answers for paths that are ours but, with this method or at all, name nothing on this listener.
func (rt *router) unknown(w http.ResponseWriter, r *http.Request) {
	if allow := rt.allow[r.URL.Path]; allow != "" {
		w.Header().Set("Allow", allow)
		writeError(w, http.StatusMethodNotAllowed, "method not allowed; use "+allow)
		return
	}
	writeError(w, http.StatusNotFound, "no such endpoint on this listener; quit needs enable_quit, reauth needs enable_reauth and auto_auth, status, leases, explain, events and ui need enable_status, and what there is stands in api/openapi.yaml")
}
