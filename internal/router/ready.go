package router

import (
	"encoding/json"
	"net/http"
	"time"
)

// Readiness tells whether requests can be answered, and how the parts are that this depends on.
type Readiness struct {
	Ready bool        `json:"ready"`
	Parts []PartState `json:"parts"`
}

// PartState is how one part is.
type PartState struct {
	Name    string    `json:"name"`
	Ready   bool      `json:"ready"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
	Pending int       `json:"pending,omitempty"` // records that are to be written

	// Of auto_auth alone.
	Expires   *time.Time `json:"expires,omitempty"`             // when the token ends, unless it does not
	Safe      *int       `json:"safe_outage_seconds,omitempty"` // how long Vault can be away before that
	Next      string     `json:"next,omitempty"`                // "login", "renewal" or "lookup"
	NextAt    *time.Time `json:"next_at,omitempty"`             // nil while that is under way
	Failures  int        `json:"failures,omitempty"`            // since the last success
	LastError string     `json:"last_error,omitempty"`          // of the last of these
}

// tellReady serves readyz: 200, or 503 with the same body.
func (rt *router) tellReady(w http.ResponseWriter, _ *http.Request) {
	now := rt.Ready()
	if now.Parts == nil {
		now.Parts = []PartState{}
	}
	for i := range now.Parts {
		part := &now.Parts[i]
		part.Since = part.Since.UTC().Truncate(time.Second)
		for _, at := range []*time.Time{part.Expires, part.NextAt} {
			if at != nil {
				*at = at.UTC().Truncate(time.Second)
			}
		}
	}
	body, err := json.Marshal(now)
	status := http.StatusOK
	if err != nil || !now.Ready {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}
