package telemetry

import "time"

// Sources are what meters ask for when they are read. All are safe for concurrent use.
type Sources struct {
	Holdings  Holdings
	StateFile func() StateFile
	Leases    func() Leases
	Logins    func() []Login
	Nodes     func() (nodes []Node, open bool) // open: the circuit breaker is, since no node can be reached
}

// Holdings tells how much the lease index holds; it is asked at each scrape.
type Holdings interface {
	Stats() (entries int, size int64, tokens int)
}

// StateFile is how the state file does; it is asked for at each scrape.
type StateFile struct {
	Commits, Failed, Checkpoints, Compactions int64 // since the start
	FileBytes, AheadBytes                     int64 // of the file, and of what is written ahead of it
	Pending                                   int64 // records that are to be written
	Failing                                   bool  // the disk refused the last commit
}

// Leases is how the kept leases and tokens do.
type Leases struct {
	Fresh, Due, Failing, Ending int // numbers of entries by state; each is in one

	NextRenewal   time.Duration    // until it is due; less than 0 when there is none
	NearestExpiry time.Duration    // until the first of them ends; less than 0 when there is none
	Runway        [2]time.Duration // how long half of the hits, and 95 % of them, would go on if Vault were away from now on; 0 when nothing is kept
	Lag           time.Duration    // how long the renewal that is due longest has been waiting
}

// Login is how an auto_auth stanza does.
type Login struct {
	Name  string // "" for the one without
	State string // one of States

	Left time.Duration // of the token's life; less than 0 when there is none, or no end
	Next time.Duration // until the next renewal or login; less than 0 when none is planned, or one is under way

	SinkWrites, SinkFailures int64 // of all its sinks, since the start
}

// Node is an address of Vault.
type Node struct {
	Host string // host:port, or the path of a socket
	Up   bool   // it can answer, as far as is known
}
