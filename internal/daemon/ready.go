package daemon

import (
	"fmt"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/autoauth"
	"leasehold/internal/lease"
	"leasehold/internal/telemetry"
)

// resumed is what auto-auth is while it uses the token of the last run and Vault has not confirmed it yet.
const resumed = "restored, not logged in"

// handedOut is what it is with the wrap_ttl of a method.
const handedOut = "handed out wrapped"

// lookPatience is how long readyz waits for a Vault that nothing was heard of. It is short, because a probe of Kubernetes waits for a second.
const lookPatience = 500 * time.Millisecond

// readiness tells of each part whether requests can be answered with it, and how it is.
func (p *parts) readiness() api.Readiness {
	p.upstream.Look(lookPatience)
	out := api.Readiness{Ready: true, Parts: p.partStates()}
	for _, part := range out.Parts {
		out.Ready = out.Ready && part.Ready
	}
	return out
}

// partStates are the parts that the configuration asks for. It waits for nothing but locks.
func (p *parts) partStates() []api.PartState {
	all := []api.PartState{p.listenersState()}
	for _, one := range p.logins {
		all = append(all, one.state())
		all = append(all, one.sinkStates()...)
	}
	if p.persists() {
		all = append(all, p.fileState())
	}
	all = append(all, p.vaultState())
	if p.cfg.Cache != nil {
		all = append(all, p.clockState())
	}
	return all
}

// listenersState is for probes that were under way when the stop began: later ones are not accepted.
func (p *parts) listenersState() api.PartState {
	part := api.PartState{Name: "listeners", Ready: true, State: "open", Since: p.bound}
	if since := p.stopping.Load(); since != nil {
		part.Ready, part.State, part.Since = false, "closing", *since
		part.Reason = "Leasehold was asked to stop; requests under way are finished"
	}
	return part
}

// state is what there is to tell of a login, but for what would tell a client more than it may know: accessors are not among it.
func (l *login) state() api.PartState {
	now := l.manager.Status()
	part := api.PartState{
		Name: l.name.Stanza(), State: string(now.State), Since: now.Since,
		Next: now.Next, Failures: now.Failures, LastError: now.LastError,
	}
	switch now.State {
	case autoauth.Holding, autoauth.Renewing, autoauth.Replacing:
		part.Ready = true
	default:
		part.Reason = now.LastError
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
func (p *parts) fileState() api.PartState {
	part := api.PartState{Name: "state_file", Ready: true, State: "open", Since: p.started}
	select {
	case <-p.opened:
		part.Since = p.fileOpened
	default:
		part.Ready, part.State, part.Reason = false, "waiting for Vault's transit engine", "the file's key comes with a login"
		return part
	}
	pending, failing, since := p.index.JournalState()
	over, trouble := p.index.JournalTrouble()
	switch {
	case p.detached:
		part.State = "not in use: the cache is in memory only"
		if p.fileTrouble != nil {
			part.Degraded, part.Reason = true, p.fileTrouble.Error()
		}
	case failing:
		part.Degraded, part.State, part.Since, part.Pending = true, "the disk refuses it", since, pending
		if trouble != nil { // else it healed just now
			part.Reason = trouble.Error()
		}
	case !over.IsZero():
		part.Since = over
	}
	return part
}

// vaultState does not keep the daemon from being ready while there is something to answer with: a probe that took it out of service would make an outage
// of Vault one of everything that lives on hits.
func (p *parts) vaultState() api.PartState {
	now := p.upstream.Outlook()
	part := api.PartState{Name: "upstream", Ready: true, State: "available", Reason: now.Reason, Since: now.Since}
	if now.Well {
		return part
	}
	if entries, _, _ := p.index.Stats(); entries > 0 {
		part.Degraded, part.State = true, "degraded"
	} else {
		part.Ready, part.State = false, "unavailable"
	}
	return part
}

// clockState is about what renews leases. Logins renew their own tokens.
func (p *parts) clockState() api.PartState {
	part := api.PartState{Name: "clock", Ready: true, State: "on time"}
	clock := p.renewing()
	if clock == nil { // the state file is not open
		part.Ready, part.State, part.Since = false, "not running", p.started
		return part
	}
	now := clock.Pulse()
	part.Since = now.Since
	switch err := stuck(now); {
	case err != nil:
		part.Ready, part.State, part.Since, part.Reason = false, "stuck", time.Now().Add(-now.Still), err.Error()
	case now.Late:
		part.Degraded, part.State = true, "behind"
		part.Reason = fmt.Sprintf("%d renewals wait for Vault's answers to others, or for renew_rate", now.Waiting)
	}
	return part
}

// stuck is what is wrong with a clock that does not move.
func stuck(now lease.Pulse) error {
	if now.Still < lease.StuckAfter {
		return nil
	}
	return fmt.Errorf("the renewal clock has not moved for %v", now.Still.Truncate(time.Second))
}

// renewing is the clock, nil before there is one.
func (p *parts) renewing() *lease.Clock {
	p.tuning.Lock()
	defer p.tuning.Unlock()
	return p.renews
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
