package daemon

import (
	"context"
	"fmt"

	"leasehold/internal/api"
	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/sink/encrypted"
	"leasehold/internal/autoauth/sink/file"
	"leasehold/internal/autoauth/sink/wrapped"
	"leasehold/internal/config"
	"leasehold/internal/vault"
)

// sinks opens the sinks of a stanza, for tokens of this namespace. All that are encrypted share one key pair, which lives as long as the process.
func (p *parts) sinks(a *config.AutoAuth, ns vault.Namespace) ([]autoauth.Sink, error) {
	if p.sinkKey == nil {
		own, err := encrypted.NewKey()
		if err != nil {
			return nil, fmt.Errorf("the key pair of the sinks: %w", err)
		}
		p.sinkKey = own
	}
	var all []autoauth.Sink
	for _, s := range a.Sinks {
		sink, err := p.sink(s, ns)
		if err != nil {
			return nil, fmt.Errorf("%sauto_auth: %w", place(s.Pos), err)
		}
		all = append(all, sink)
	}
	return all, nil
}

// sink makes one: what a token passes first is put on last, so it is wrapped, then encrypted, then written.
func (p *parts) sink(s config.Sink, ns vault.Namespace) (autoauth.Sink, error) {
	var sink interface {
		autoauth.Sink
		Store(ctx context.Context, content []byte) error
	}
	sink, err := file.Open(s.Path, file.Options{Mode: s.Mode, Owner: s.Owner, Group: s.Group, KeepExisting: s.KeepExisting})
	if err != nil {
		return nil, err
	}
	if s.DHPath != "" {
		sink = encrypted.New(sink, p.sinkKey, s.DHPath, encrypted.Options{DeriveKey: s.DeriveKey, AAD: []byte(s.AAD)})
	}
	if s.WrapTTL == 0 {
		return sink, nil
	}
	client, err := p.upstream.API()
	if err != nil {
		return nil, err
	}
	return wrapped.New(sink, client, ns, s.WrapTTL), nil
}

// sinkStates tells of each sink whether whoever reads it has got a token. One that had its first token does not keep the daemon from being ready when
// it cannot take the next: requests are answered all the same. Nor does one whose token may still be the last run's.
func (l *login) sinkStates() []api.PartState {
	var all []api.PartState
	for _, s := range l.manager.SinkStates() {
		part := api.PartState{Name: "sink " + s.Name, Since: s.Since, Ready: s.Stored || l.manager.Resuming()}
		switch {
		case s.Err != nil:
			part.State, part.Reason, part.Degraded = "token not stored", s.Err.Error(), part.Ready
		case s.Behind:
			part.State = "token being stored"
		case s.Stored:
			part.State = "token stored"
		default:
			part.State = "waiting for a token"
		}
		all = append(all, part)
	}
	return all
}
