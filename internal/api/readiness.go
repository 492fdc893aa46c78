package api

import (
	"strings"
	"time"
)

// Readiness is the answer of readyz: whether requests can be answered, and how the parts are that this depends on.
type Readiness struct {
	Ready bool        `json:"ready"` // every part is
	Parts []PartState `json:"parts"`
}

// PartState is how one part is.
type PartState struct {
	Name     string    `json:"name"` // "listeners", "auto_auth", `auto_auth "NAME"`, "sink file PATH", "state_file", "upstream" or "clock"
	Ready    bool      `json:"ready"`
	Degraded bool      `json:"degraded,omitempty"` // it is not as it should be, and requests are answered all the same
	State    string    `json:"state"`              // for people
	Reason   string    `json:"reason,omitempty"`   // why it is so, when it is not as it should be
	Since    time.Time `json:"since"`              // of State; of a login, of there being its token, or none
	Pending  int       `json:"pending,omitempty"`  // records that are to be written

	// Of auto_auth alone.
	Expires   *time.Time `json:"expires,omitempty"`             // when the token ends, unless it does not
	Safe      *int       `json:"safe_outage_seconds,omitempty"` // how long Vault can be away before that
	Next      string     `json:"next,omitempty"`                // "login", "renewal" or "lookup"
	NextAt    *time.Time `json:"next_at,omitempty"`             // nil while that is under way
	Failures  int        `json:"failures,omitempty"`            // since the last success
	LastError string     `json:"last_error,omitempty"`          // of the last of these
}

// Kind is what readyz's require means the part by, beside its name: the parts of all logins are "auto_auth", those of all sinks "sinks".
func (p PartState) Kind() string {
	kind, _, _ := strings.Cut(p.Name, " ")
	if kind == "sink" {
		return "sinks"
	}
	return kind
}

// Liveness is the answer of livez: whether the process works, or is to be started anew.
type Liveness struct {
	Alive  bool      `json:"alive"`
	Reason string    `json:"reason,omitempty"` // why not
	Since  time.Time `json:"since"`            // of Alive
}
