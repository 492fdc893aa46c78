package daemon

import (
	"net/http"
	"strings"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"leasehold/internal/config"
	"leasehold/internal/telemetry"
)

// collector is where OpenTelemetry's signals go; nil for nowhere.
func collector(c *config.OTLP) *telemetry.OTLP {
	if c == nil {
		return nil
	}
	return &telemetry.OTLP{Endpoint: c.Endpoint, GRPC: c.Protocol == "grpc", Headers: c.Headers, CACert: c.CACert, Interval: c.Interval}
}

// newMeters makes the meters. They may be read before all parts are there.
func (p *parts) newMeters(version string) (*telemetry.Meters, error) {
	t := p.cfg.Telemetry
	if t.OTLP != nil {
		telemetry.HandleErrors(p.log, t.OTLP.Headers)
	}
	return telemetry.New(telemetry.Settings{
		Prefix: t.MetricsPrefix, Version: version, DisableHostname: t.DisableHostname, HostLabel: t.EnableHostnameLabel,
		NoPrometheus: t.PrometheusRetentionTime == 0, Filter: t.PrefixFilter, BlockOthers: !t.FilterDefault,
		Statsd: t.StatsdAddress, Statsite: t.StatsiteAddress, Dogstatsd: t.DogstatsdAddr, DogstatsdTags: t.DogstatsdTags,
		OTLP: metricsTo(t.OTLP), Producers: []sdk.Producer{p.requests}, Log: p.log,
	}, telemetry.Sources{
		Holdings: p.index, StateFile: p.stateOf, Leases: p.leasesNow, Logins: p.loginsNow, Nodes: p.nodesNow,
	})
}

// metricsTo is the collector of metrics.
func metricsTo(c *config.OTLP) *telemetry.OTLP {
	if c == nil || !c.Metrics {
		return nil
	}
	return collector(c)
}

// leasesNow is how what is kept does.
func (p *parts) leasesNow() telemetry.Leases {
	now := time.Now()
	s := p.index.Survey(now)
	return telemetry.Leases{
		Fresh: s.Fresh, Due: s.Due, Failing: s.Failing, Ending: s.Ending, NextRenewal: until(s.NextRenewal, now), NearestExpiry: until(s.NearestExpiry, now),
		Runway: s.Runway, Lag: s.Backlog,
	}
}

// loginsNow is how the logins do; none before all are built.
func (p *parts) loginsNow() (all []telemetry.Login) {
	if !p.built.Load() {
		return nil
	}
	now := time.Now()
	for _, one := range p.logins {
		s := one.manager.Status()
		word := strings.ReplaceAll(string(s.State), " ", "_")
		switch {
		case s.Wrapped:
			word = "wrapped"
		case s.Resuming:
			word = "restored"
		}
		login := telemetry.Login{Name: string(one.name), State: word, Left: until(s.Expires, now), Next: until(s.NextAt, now)}
		for _, sink := range one.manager.SinkStates() {
			login.SinkWrites += sink.Writes
			login.SinkFailures += sink.Failures
		}
		all = append(all, login)
	}
	return all
}

// scraped serves the metrics, which tell no more of Vault than readyz does, and no less: an idle Leasehold hears nothing of it by itself.
func (p *parts) scraped() http.Handler {
	metrics := p.meters.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.upstream.Look(lookPatience)
		metrics.ServeHTTP(w, r)
	})
}

// nodesNow is how Vault's addresses do; none before all is built. Where metrics are sent to hears of a check that this causes the next time: readers
// wait for each other, and the last of them for nobody who could check.
func (p *parts) nodesNow() (nodes []telemetry.Node, open bool) {
	if !p.built.Load() {
		return nil, false
	}
	p.upstream.Look(0)
	all, open := p.upstream.Nodes()
	for _, n := range all {
		nodes = append(nodes, telemetry.Node{Host: n.Host, Up: n.Up()})
	}
	return nodes, open
}

// until is the time left, 0 when it has passed; less than 0 for no time at all.
func until(then, now time.Time) time.Duration {
	if then.IsZero() {
		return -1
	}
	return max(then.Sub(now), 0)
}
