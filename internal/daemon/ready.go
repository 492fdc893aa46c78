package daemon

import (
	"time"

	"leasehold/internal/autoauth"
	"leasehold/internal/router"
	"leasehold/internal/telemetry"
)

// resumed is what auto-auth is while it uses the token of the last run and Vault has not confirmed it yet.
const resumed = "restored, not logged in"

// handedOut is what it is with the wrap_ttl of a method.
const handedOut = "handed out wrapped"

// readiness tells of each part whether requests can be answered with it, and how it is.
func (p *parts) readiness() router.Readiness {
	var out router.Readiness
	for _, one := range p.logins {
		out.Parts = append(out.Parts, one.state())
		out.Parts = append(out.Parts, one.sinkStates()...)
	}
	if p.persists() {
		out.Parts = append(out.Parts, p.fileState())
	}
	out.Ready = true
	for _, part := range out.Parts {
		out.Ready = out.Ready && part.Ready
	}
	return out
}

// state is what there is to tell of a login, but for what would tell a client more than it may know: accessors are not among it.
func (l *login) state() router.PartState {
	now := l.manager.Status()
	part := router.PartState{
		Name: l.name.Stanza(), State: string(now.State), Since: now.Since,
		Next: now.Next, Failures: now.Failures, LastError: now.LastError,
	}
	switch now.State {
	case autoauth.Holding, autoauth.Renewing, autoauth.Replacing:
		part.Ready = true
	}
	switch {
	case now.Wrapped:
		part.State = handedOut
	case now.Resuming:
		part.State = resumed
	}
	if !now.NextAt.IsZero() {
		part.NextAt = &now.NextAt
	}
	if left, known := now.SafeOutage(time.Now()); known {
		seconds := int(left.Seconds())
		part.Expires, part.Safe = &now.Expires, &seconds
	}
	return part
}

// fileState never keeps the daemon from being ready, but for a file that waits for Vault: hits and misses are answered without it.
func (p *parts) fileState() router.PartState {
	part := router.PartState{Name: "state_file", Ready: true, State: "open", Since: p.started}
	select {
	case <-p.opened:
	default:
		part.Ready, part.State = false, "waiting for Vault's transit engine"
		return part
	}
	pending, failing, since := p.index.JournalState()
	switch {
	case p.detached:
		part.State = "not in use: the cache is in memory only"
	case failing:
		part.State, part.Since, part.Pending = "the disk refuses it", since, pending
	}
	return part
}

// stateOf is the state file as the meters have it.
func (p *parts) stateOf() telemetry.StateFile {
	s := p.journal.store.Load()
	if s == nil {
		return telemetry.StateFile{}
	}
	pending, failing, _ := p.index.JournalState()
	n := s.Stats()
	return telemetry.StateFile{
		Commits: n.Commits, Failed: n.Failed, Checkpoints: n.Checkpoints, Compactions: n.Compactions,
		FileBytes: n.FileBytes, AheadBytes: n.WALBytes, Pending: int64(pending), Failing: failing,
	}
}
