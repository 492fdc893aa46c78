package api

import "time"

// Readiness is the answer of readyz: whether requests can be answered, and how the parts are that this depends on.
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
