package daemon

import (
	"maps"
	"os"
	"strings"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/config"
	"leasehold/internal/lease"
	"leasehold/internal/telemetry"
)

// Status tells how the daemon is. full adds accessors.
func (p inside) Status(full bool) api.Status {
	now := time.Now()
	counts, held := p.meters.Counts(), p.index.Survey(now)
	s := api.Status{
		Version: p.version, PID: os.Getpid(), Started: seconds(p.started), Uptime: int64(now.Sub(p.started) / time.Second),
		Ready: p.readiness().Ready, Listeners: []api.Listener{}, AutoAuth: []api.Login{}, Problems: []api.Problem{}, Configuration: p.configuration(),
		Clock: api.Clock{NextDue: known(held.NextRenewal), Lag: held.Backlog.Seconds(), Renewals: counts.Renewals, Failed: counts.RenewalsFailed},
		Requests: api.Requests{
			Success: counts.Success, ClientError: counts.ClientError, Failed: counts.Failed,
			Abandoned: counts.Abandoned, Refused: counts.Refused, Denied: counts.Denied,
		},
	}
	for _, l := range *p.open.Load() {
		s.Listeners = append(s.Listeners, api.Listener{Address: l.url, Role: l.listener.Role.String(), AutoAuth: string(l.listener.AutoAuth), Rights: l.rights})
	}
	nodes, open := p.upstream.Nodes()
	s.Vault.Refused = open
	for _, n := range nodes {
		s.Vault.Nodes = append(s.Vault.Nodes, api.Node{
			Address: n.Address, InUse: n.InUse, State: n.State, Since: seconds(n.Since), LastError: n.LastError, ErrorAt: known(n.ErrorAt),
		})
	}
	for _, one := range p.logins {
		s.AutoAuth = append(s.AutoAuth, p.loginStatus(one, full))
	}
	if c := p.now.Load().Cache; c != nil {
		s.Cache = p.cacheStatus(c, counts, held)
	}
	if p.persists() {
		s.StateFile = p.stateFileStatus(counts)
	}
	for _, k := range p.ring.Last() {
		s.Problems = append(s.Problems, api.Problem{At: seconds(k.At), Level: k.Level.String(), Message: k.Message, Details: p.details(k.Details, full)})
	}
	return s
}

// details are those of a record. A lease has the name there that leases tells: some may be revoked by whoever knows their ids. Accessors are shown where
// full is, and else named as well.
func (p inside) details(of map[string]string, full bool) map[string]string {
	shown := maps.Clone(of)
	for key, text := range of {
		if last := key[strings.LastIndexByte(key, '.')+1:]; last == "lease" || last == "accessor" && !full {
			shown[key] = p.hasher.Of(text)
		}
	}
	return shown
}

func (p inside) loginStatus(one *login, full bool) api.Login {
	now := one.manager.Status()
	s := api.Login{
		Name: string(one.name), Method: "token", State: one.state().State, Since: seconds(now.Since), AccessorHash: p.hasher.Of(string(now.Accessor)),
		Expires: known(now.Expires), Next: now.Next, NextAt: known(now.NextAt), Failures: now.Failures, LastError: now.LastError, Sinks: []api.Sink{},
	}
	if one.stanza != nil {
		s.Method = one.stanza.Method.Type
	}
	if full {
		s.Accessor = string(now.Accessor)
	}
	for _, sink := range one.manager.SinkStates() {
		told := api.Sink{Name: sink.Name, Stored: sink.Stored, Behind: sink.Behind, Since: seconds(sink.Since)}
		if sink.Err != nil {
			told.Error = sink.Err.Error()
		}
		s.Sinks = append(s.Sinks, told)
	}
	return s
}

func (p inside) cacheStatus(c *config.Cache, counts telemetry.Counts, held lease.Survey) *api.Cache {
	s := &api.Cache{MaxEntries: max(c.MaxEntries, 0), MaxBytes: max(c.MaxSize, 0), Hits: counts.Hits, Misses: counts.Misses, Full: counts.Full}
	s.Entries, s.Bytes, s.Tokens = p.index.Stats()
	s.Outcomes = p.requests.Outcomes()
	s.States = map[string]int{
		string(lease.Fresh): held.Fresh, string(lease.Due): held.Due, string(lease.Failing): held.Failing, string(lease.Ending): held.Ending,
	}
	return s
}

func (p inside) stateFileStatus(counts telemetry.Counts) *api.StateFile {
	state, n := p.fileState(), p.stateOf()
	return &api.StateFile{
		Path: p.statePath(), State: state.State, Since: seconds(state.Since), FileBytes: n.FileBytes, AheadBytes: n.AheadBytes,
		Commits: n.Commits, CommitsFailed: n.Failed, Pending: int(n.Pending), Restored: int(counts.Restored),
	}
}

// configuration is where the settings are from.
func (p inside) configuration() api.Configuration {
	c := api.Configuration{Files: append([]string{}, p.now.Load().Files...), NeedsRestart: []string{}} // never null
	if last := p.reload.Load(); last != nil {
		c.LastReload, c.NeedsRestart = &last.Reload, append(c.NeedsRestart, last.waiting...)
	}
	return c
}
