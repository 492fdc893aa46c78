package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"leasehold/internal/vault"
)

// Meters counts. What a hit counts is one atomic add each, so that it costs no more; OpenTelemetry reads the counts when it is asked.
type Meters struct {
	hits, misses                 atomic.Int64
	success, clientError, failed atomic.Int64
	authSuccess, authFailure     atomic.Int64
	authenticated                atomic.Int64
	renewals, renewalsFailed     atomic.Int64
	renewalsRefused              atomic.Int64
	abandoned, refused           atomic.Int64
	full                         atomic.Int64
	reloads, reloadsFailed       atomic.Int64
	reloaded                     atomic.Int64 // Unix seconds
	denied                       atomic.Int64

	restored                               atomic.Int64
	expired, orphaned, unreadable, revoked atomic.Int64 // not restored

	seldom recorders

	settings Settings
	provider *sdk.MeterProvider
	registry *prometheus.Registry
	recent   *recent // for the summary
}

// New returns meters that also report what sources tell, and begins to send them where settings say. It opens no connection.
func New(settings Settings, sources Sources) (*Meters, error) {
	m := &Meters{settings: settings, registry: prometheus.NewRegistry()}
	readers, err := m.readers()
	if err != nil {
		return nil, err
	}
	options := []sdk.Option{sdk.WithView(settings.view), sdk.WithResource(traceResource(settings.Version))}
	for _, r := range readers {
		options = append(options, sdk.WithReader(r))
	}
	m.provider = sdk.NewMeterProvider(options...)
	if err := m.instruments(sources); err != nil {
		return nil, errors.Join(fmt.Errorf("create instruments: %w", err), m.provider.Shutdown(context.Background()))
	}
	return m, nil
}

func (m *Meters) instruments(from Sources) error {
	meter := m.provider.Meter("leasehold")
	// Vault Proxy documents proxy.* and emits agent.*: users have both.
	for _, app := range [...]string{ownPrefix + "proxy.", ownPrefix + "agent."} {
		for name, count := range map[string]*atomic.Int64{
			"cache.hit": &m.hits, "cache.miss": &m.misses,
			"proxy.success": &m.success, "proxy.client_error": &m.clientError, "proxy.error": &m.failed,
			"auth.success": &m.authSuccess, "auth.failure": &m.authFailure,
		} {
			if err := counter(meter, app+name, count); err != nil {
				return err
			}
		}
		if err := gauge(meter, app+"authenticated", m.authenticated.Load); err != nil {
			return err
		}
	}
	for name, count := range map[string]*atomic.Int64{
		"leasehold.renewals": &m.renewals, "leasehold.renewals.failed": &m.renewalsFailed, "leasehold.renewals.refused": &m.renewalsRefused,
		"leasehold.cache.full": &m.full,
		"leasehold.reloads":    &m.reloads, "leasehold.reloads.failed": &m.reloadsFailed,
		"leasehold.requests.denied":    &m.denied,
		"leasehold.requests.abandoned": &m.abandoned, "leasehold.requests.refused": &m.refused,
	} {
		if err := counter(meter, name, count); err != nil {
			return err
		}
	}
	for name, read := range map[string]func() int64{
		"leasehold.reload.last.success": m.reloaded.Load,

		"leasehold.cache.entries": func() int64 { n, _, _ := from.Holdings.Stats(); return int64(n) },
		"leasehold.cache.bytes":   func() int64 { _, n, _ := from.Holdings.Stats(); return n },
		"leasehold.cache.tokens":  func() int64 { _, _, n := from.Holdings.Stats(); return int64(n) },
	} {
		if err := gauge(meter, name, read); err != nil {
			return err
		}
	}
	return errors.Join(m.stateFile(meter, from.StateFile), m.seldom.make(meter), m.observe(meter, from))
}

// stateFile reports on the state file, and on what was restored from it.
func (m *Meters) stateFile(meter metric.Meter, state func() StateFile) error {
	for name, read := range map[string]func(StateFile) int64{
		"leasehold.state.commits":        func(s StateFile) int64 { return s.Commits },
		"leasehold.state.commits.failed": func(s StateFile) int64 { return s.Failed },
		"leasehold.state.checkpoints":    func(s StateFile) int64 { return s.Checkpoints },
		"leasehold.state.compactions":    func(s StateFile) int64 { return s.Compactions },
	} {
		if err := counting(meter, name, func() int64 { return read(state()) }); err != nil {
			return err
		}
	}
	for name, read := range map[string]func(StateFile) int64{
		"leasehold.state.file.bytes":  func(s StateFile) int64 { return s.FileBytes },
		"leasehold.state.ahead.bytes": func(s StateFile) int64 { return s.AheadBytes },
		"leasehold.state.pending":     func(s StateFile) int64 { return s.Pending },
		"leasehold.state.failing":     func(s StateFile) int64 { return number(s.Failing) },
	} {
		if err := gauge(meter, name, func() int64 { return read(state()) }); err != nil {
			return err
		}
	}
	for name, count := range map[string]*atomic.Int64{
		"leasehold.restore.entries": &m.restored, "leasehold.restore.expired": &m.expired,
		"leasehold.restore.orphaned": &m.orphaned, "leasehold.restore.unreadable": &m.unreadable,
		"leasehold.restore.revoked": &m.revoked,
	} {
		if err := gauge(meter, name, count.Load); err != nil {
			return err
		}
	}
	return nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func counter(meter metric.Meter, name string, count *atomic.Int64) error {
	return counting(meter, name, count.Load)
}

func counting(meter metric.Meter, name string, read func() int64) error {
	_, err := meter.Int64ObservableCounter(name, metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(read())
		return nil
	}))
	return err
}

func gauge(meter metric.Meter, name string, read func() int64) error {
	_, err := meter.Int64ObservableGauge(name, metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(read())
		return nil
	}))
	return err
}

// Close sends what is to be sent one last time, until ctx ends, and ends the meters.
func (m *Meters) Close(ctx context.Context) error { return m.provider.Shutdown(ctx) }

// Hit counts an answer from memory.
func (m *Meters) Hit() { m.hits.Add(1) }

// Miss counts a request that went to Vault although there is a cache.
func (m *Meters) Miss() { m.misses.Add(1) }

// Answered counts an answer by its status, hits included.
func (m *Meters) Answered(status int) {
	if status < http.StatusBadRequest {
		m.success.Add(1)
	} else {
		m.clientError.Add(1)
	}
}

// Failed counts a request for which Vault gave no answer, by the status that the client got instead: only 5xx are faults of Vault, or of ours.
// 499 means that the client did not wait.
func (m *Meters) Failed(status int) {
	switch {
	case status == 499:
		m.abandoned.Add(1)
	case status < http.StatusInternalServerError:
		m.refused.Add(1)
	default:
		m.failed.Add(1)
	}
}

// Denied counts a request that the rights of a listener refused.
func (m *Meters) Denied() { m.denied.Add(1) }

// Full counts a lease that was not kept because the cache is full.
func (m *Meters) Full() { m.full.Add(1) }

// AuthSuccess counts a login or renewal of the auto-auth token.
func (m *Meters) AuthSuccess() { m.authSuccess.Add(1) }

// AuthFailure counts a login or renewal of the auto-auth token that failed.
func (m *Meters) AuthFailure() { m.authFailure.Add(1) }

// Reloaded counts a reload of the configuration by how it ended, and notes when one last succeeded.
func (m *Meters) Reloaded(ok bool, at time.Time) {
	if !ok {
		m.reloadsFailed.Add(1)
		return
	}
	m.reloads.Add(1)
	m.reloaded.Store(at.Unix())
}

// Authenticated says whether an auto-auth token is held, be it the last run's, by every login if there are several.
func (m *Meters) Authenticated(held bool) {
	m.authenticated.Store(number(held))
}

// Restored notes what the start brought back from the state file, and why other records were left out.
func (m *Meters) Restored(entries, expired, orphaned, unreadable, revoked int) {
	m.restored.Store(int64(entries))
	m.expired.Store(int64(expired))
	m.orphaned.Store(int64(orphaned))
	m.unreadable.Store(int64(unreadable))
	m.revoked.Store(int64(revoked))
}

// Renewal counts a renewal of a kept lease or token by how it ended. One that Vault refused for good has failed as well.
func (m *Meters) Renewal(err error) {
	if err == nil {
		m.renewals.Add(1)
		return
	}
	m.renewalsFailed.Add(1)
	if errors.Is(err, vault.ErrRefused) {
		m.renewalsRefused.Add(1)
	}
}
