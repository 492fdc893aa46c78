package telemetry

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observe makes the gauges that are asked for when meters are read. What belongs together is asked for once.
func (m *Meters) observe(meter metric.Meter, from Sources) error {
	g := &gauges{meter: meter}
	info := g.whole("leasehold.build.info")
	about := metric.WithAttributes(attribute.String("version", m.settings.Version), attribute.String("go", runtime.Version()))
	g.callback(func(o metric.Observer) { o.ObserveInt64(info, 1, about) })
	observeLeases(g, from.Leases)
	observeLogins(g, from.Logins)
	observeNodes(g, from.Nodes)
	observeRuntime(g, ownPrefix+"runtime.")
	return errors.Join(g.errs...)
}

// gauges makes gauges and the callbacks that fill them.
type gauges struct {
	meter metric.Meter
	made  []metric.Observable // since the last callback
	errs  []error
}

func (g *gauges) whole(name string) metric.Int64ObservableGauge {
	i, err := g.meter.Int64ObservableGauge(name)
	g.made, g.errs = append(g.made, i), append(g.errs, err)
	return i
}

func (g *gauges) seconds(name string) metric.Float64ObservableGauge {
	i, err := g.meter.Float64ObservableGauge(name, metric.WithUnit("s"))
	g.made, g.errs = append(g.made, i), append(g.errs, err)
	return i
}

func (g *gauges) counter(name string) metric.Int64ObservableCounter {
	i, err := g.meter.Int64ObservableCounter(name)
	g.made, g.errs = append(g.made, i), append(g.errs, err)
	return i
}

// callback fills the gauges that were made since the last one.
func (g *gauges) callback(f func(metric.Observer)) {
	_, err := g.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		f(o)
		return nil
	}, g.made...)
	g.made, g.errs = nil, append(g.errs, err)
}

func label(key, value string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String(key, value))
}

func observeLeases(g *gauges, ask func() Leases) {
	states, runway := g.whole("leasehold.leases"), g.seconds("leasehold.outage.runway")
	next, nearest, lag := g.seconds("leasehold.renewal.next"), g.seconds("leasehold.lease.nearest_expiry"), g.seconds("leasehold.clock.lag")
	fresh, due, failing, ending := label("state", "fresh"), label("state", "due"), label("state", "failing"), label("state", "ending")
	half, most := label("quantile", "0.5"), label("quantile", "0.95")
	g.callback(func(o metric.Observer) {
		l := ask()
		o.ObserveInt64(states, int64(l.Fresh), fresh)
		o.ObserveInt64(states, int64(l.Due), due)
		o.ObserveInt64(states, int64(l.Failing), failing)
		o.ObserveInt64(states, int64(l.Ending), ending)
		o.ObserveFloat64(runway, l.Runway[0].Seconds(), half)
		o.ObserveFloat64(runway, l.Runway[1].Seconds(), most)
		o.ObserveFloat64(lag, l.Lag.Seconds())
		if l.NextRenewal >= 0 {
			o.ObserveFloat64(next, l.NextRenewal.Seconds())
		}
		if l.NearestExpiry >= 0 {
			o.ObserveFloat64(nearest, l.NearestExpiry.Seconds())
		}
	})
}

// States are all that a login can be in, and no other has a gauge.
var States = []string{"unauthenticated", "logging_in", "held", "renewing", "replacing", "wrapped", "restored"}

func observeLogins(g *gauges, ask func() []Login) {
	state, ttl, next := g.whole("leasehold.token.state"), g.seconds("leasehold.token.ttl"), g.seconds("leasehold.token.next_renewal")
	writes, failures := g.counter("leasehold.sink.writes"), g.counter("leasehold.sink.failures")
	g.callback(func(o metric.Observer) {
		for _, l := range ask() {
			name := attribute.String("auto_auth", l.Name)
			o.ObserveInt64(writes, l.SinkWrites, metric.WithAttributes(name))
			o.ObserveInt64(failures, l.SinkFailures, metric.WithAttributes(name))
			for _, s := range States {
				o.ObserveInt64(state, number(s == l.State), metric.WithAttributes(name, attribute.String("state", s)))
			}
			if l.Left >= 0 {
				o.ObserveFloat64(ttl, l.Left.Seconds(), metric.WithAttributes(name))
			}
			if l.Next >= 0 {
				o.ObserveFloat64(next, l.Next.Seconds(), metric.WithAttributes(name))
			}
		}
	})
}

func observeNodes(g *gauges, ask func() ([]Node, bool)) {
	up, open := g.whole("leasehold.upstream.node.up"), g.whole("leasehold.upstream.breaker.open")
	g.callback(func(o metric.Observer) {
		nodes, isOpen := ask()
		o.ObserveInt64(open, number(isOpen))
		for _, n := range nodes {
			o.ObserveInt64(up, number(n.Up), label("node", n.Host))
		}
	})
}

// observeRuntime has the gauges of go-metrics.
func observeRuntime(g *gauges, prefix string) {
	names := []string{
		"/sched/goroutines:goroutines", "/memory/classes/heap/objects:bytes", "/memory/classes/total:bytes", "/gc/heap/allocs:objects", "/gc/heap/frees:objects",
		"/gc/heap/objects:objects",
	}
	var all []metric.Int64ObservableGauge
	for _, name := range [...]string{"num_goroutines", "alloc_bytes", "sys_bytes", "malloc_count", "free_count", "heap_objects"} {
		all = append(all, g.whole(prefix+name))
	}
	pauses, runs := g.whole(prefix+"total_gc_pause_ns"), g.whole(prefix+"total_gc_runs")
	g.callback(func(o metric.Observer) {
		samples := make([]metrics.Sample, len(names)) // its own, since readers may ask at the same time
		for i, name := range names {
			samples[i].Name = name
		}
		metrics.Read(samples)
		for i, s := range samples {
			if s.Value.Kind() == metrics.KindUint64 {
				o.ObserveInt64(all[i], int64(min(s.Value.Uint64(), 1<<62)))
			}
		}
		var gc debug.GCStats
		debug.ReadGCStats(&gc)
		o.ObserveInt64(pauses, int64(gc.PauseTotal))
		o.ObserveInt64(runs, gc.NumGC)
	})
}
