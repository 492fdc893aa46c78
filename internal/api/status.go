package api

import "time"

// Status is the answer of status: what a daemon is and how it does. Times are in UTC; those that are not known are missing.
type Status struct {
	Version       string        `json:"version"`
	PID           int           `json:"pid"`
	Started       time.Time     `json:"started"`
	Uptime        int64         `json:"uptime_seconds"`
	Ready         bool          `json:"ready"` // as readyz has it
	Listeners     []Listener    `json:"listeners"`
	Vault         Vault         `json:"vault"`
	AutoAuth      []Login       `json:"auto_auth"` // of each stanza, in the order of the file
	Cache         *Cache        `json:"cache,omitempty"`
	Clock         Clock         `json:"clock"`
	StateFile     *StateFile    `json:"state_file,omitempty"`
	Configuration Configuration `json:"configuration"`
	Requests      Requests      `json:"requests"`
	Problems      []Problem     `json:"problems"` // the last warnings and errors of the log, the oldest first
}

// Listener is a socket that is open.
type Listener struct {
	Address  string `json:"address"` // a URL
	Role     string `json:"role"`    // "default", "metrics_only" or "admin"
	AutoAuth string `json:"auto_auth,omitempty"`
	Rights   bool   `json:"rights"` // it has allow_ keys or rules
}

// Vault is how Vault is, as far as requests and checks have found out.
type Vault struct {
	Nodes   []Node `json:"nodes"`
	Refused bool   `json:"breaker_open"` // no node can be reached, so that requests are refused at once
}

// Node is one address of Vault.
type Node struct {
	Address   string     `json:"address"` // without a user name and password
	InUse     bool       `json:"in_use"`  // requests go there
	State     string     `json:"state"`   // "up", "recovering", "unable" (sealed, not initialized, a secondary) or "down"
	Since     time.Time  `json:"since"`
	LastError string     `json:"last_error,omitempty"` // of a connection; it stays when the node is up again
	ErrorAt   *time.Time `json:"last_error_at,omitempty"`
}

// Login is how the login of an auto_auth stanza is.
type Login struct {
	Name         string     `json:"name"`               // "" of the stanza without one
	Method       string     `json:"method"`             // "token" of a start without a file
	State        string     `json:"state"`              // as readyz has it
	Since        time.Time  `json:"since"`              // of there being this token, or none
	AccessorHash string     `json:"accessor_hash"`      // of the token; "" when there is none, or nobody here has it
	Accessor     string     `json:"accessor,omitempty"` // only where Lease.Accessor is shown
	Expires      *time.Time `json:"expires,omitempty"`  // of the token, unless it does not
	Next         string     `json:"next,omitempty"`     // "login", "renewal" or "lookup"
	NextAt       *time.Time `json:"next_at,omitempty"`  // missing while that is under way
	Failures     int        `json:"failures"`           // since the last success
	LastError    string     `json:"last_error,omitempty"`
	Sinks        []Sink     `json:"sinks"`
}

// Sink is how a sink of a login is.
type Sink struct {
	Name   string    `json:"name"`
	Stored bool      `json:"stored"` // it has had a token in this run
	Behind bool      `json:"behind"` // it lacks the newest one
	Since  time.Time `json:"since"`  // of Behind
	Error  string    `json:"error,omitempty"`
}

// Cache is what is held, and how often it answered.
type Cache struct {
	Entries    int            `json:"entries"`
	Tokens     int            `json:"tokens"` // that are known; those of auto-auth among them
	Bytes      int64          `json:"bytes"`
	MaxEntries int            `json:"max_entries"` // 0: no limit
	MaxBytes   int64          `json:"max_bytes"`   // 0: no limit
	Hits       int64          `json:"hits"`
	Misses     int64          `json:"misses"`
	Full       int64          `json:"full"`   // leases that were not kept for want of room
	States     map[string]int `json:"states"` // entries by state: every state of a Lease, also where it is 0

	Outcomes map[string]int64 `json:"outcomes"` // requests by what X-Cache said: every word, also where it is 0
}

// Requests are counts since the start, of all listeners together.
type Requests struct {
	Success     int64 `json:"success"` // answers below 400, hits included
	ClientError int64 `json:"client_error"`
	Failed      int64 `json:"failed"`    // no answer of Vault
	Abandoned   int64 `json:"abandoned"` // the client did not wait
	Refused     int64 `json:"refused"`   // by a limit of Leasehold, or what could not be read
	Denied      int64 `json:"denied"`    // by rights
}

// Clock is what renews.
type Clock struct {
	NextDue  *time.Time `json:"next_due,omitempty"`
	Lag      float64    `json:"lag_seconds"` // for how long renewals have been waiting without a break
	Renewals int64      `json:"renewals"`    // that went well
	Failed   int64      `json:"renewals_failed"`
}

// StateFile is how the state file does.
type StateFile struct {
	Path          string    `json:"path"`
	State         string    `json:"state"` // as readyz has it
	Since         time.Time `json:"since"`
	FileBytes     int64     `json:"file_bytes"`
	AheadBytes    int64     `json:"write_ahead_bytes"`
	Commits       int64     `json:"commits"`
	CommitsFailed int64     `json:"commits_failed"`
	Pending       int       `json:"pending"` // records that are to be written
	Restored      int       `json:"restored"`
}

// Configuration is where the settings are from, and what of the files is not in force.
type Configuration struct {
	Files        []string `json:"files"`
	LastReload   *Reload  `json:"last_reload,omitempty"`
	NeedsRestart []string `json:"needs_restart"` // settings that the last reload found different and could not change
}

// Reload is how the last reload ended.
type Reload struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
}

// Problem is a record of the log.
type Problem struct {
	At      time.Time         `json:"at"`
	Level   string            `json:"level"` // "WARN" or "ERROR"
	Message string            `json:"message"`
	Details map[string]string `json:"details,omitempty"`
}
