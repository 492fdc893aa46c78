package daemon

import (
	"time"

	"leasehold/internal/router"
	"leasehold/internal/telemetry"
)

// resumed is what auto-auth is while it uses the token of the last run and Vault has not confirmed it yet.
const resumed = "restored, not logged in"

// readiness tells of each part whether requests can be answered with it, and how it is.
func (p *parts) readiness() router.Readiness {
	var out router.Readiness
	if p.tokens != nil {
		out.Parts = append(out.Parts, p.authState())
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

func (p *parts) authState() router.PartState {
	part := router.PartState{Name: "auto_auth", Since: time.Unix(0, p.held.changed.Load())}
	switch {
	case p.tokens.Resuming():
		part.Ready, part.State = true, resumed
	case p.tokens.Token().IsZero():
		part.State = "not logged in"
	default:
		part.Ready, part.State = true, "logged in"
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
