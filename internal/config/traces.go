package config

import (
	"strings"
	"time"
)

// Traces is the traces block of telemetry: spans go to the collector of OTLP, which is there when this is.
type Traces struct {
	Pos         Pos
	SampleRatio float64 // sample_ratio: from 0 to 1, of the traces that begin here; 1 by default
	TrustParent bool    // trust_parent: a client's traceparent is gone on with; true by default
}

var tracesKeys = table{
	"sample_ratio": {kind: ratio, preset: 1.0, ours: true, doc: "Share of the traces that are recorded, of those that begin here: requests without a trusted `traceparent`, renewals, logins."},
	"trust_parent": {kind: boolean, preset: true, ours: true, doc: "Goes on with the trace that a request's `traceparent` names, and records it if the client does. false begins a trace of its own, with a link to the client's."},
}

// ratio is a share that may be all.
var ratio = kind{
	want: "a share from 0 to 1", example: "0.1", zero: 0.0, json: jsonRatio,
	read: func(v value) (any, bool) {
		n, percent, ok := parseFloat(v)
		if percent {
			n /= 100
		}
		return n, ok && n >= 0 && n <= 1
	},
}

// traces reads the block, behind otlp. A collector that the environment has for traces alone becomes t.OTLP.
func (d *decoder) traces(s section, t *Telemetry) *Traces {
	b, given := d.only(s, "traces")
	if !given {
		return nil
	}
	r := d.section("telemetry.traces", b, tracesKeys)
	if t.OTLP == nil && strings.EqualFold(d.variable("OTEL_SDK_DISABLED"), "true") {
		return nil
	}
	if t.OTLP == nil && d.variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		t.OTLP = &OTLP{Protocol: "http", Interval: time.Minute}
		if d.variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") == "grpc" || d.variable("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" {
			t.OTLP.Protocol = "grpc"
		}
	}
	if t.OTLP == nil {
		d.fail(r.problem(r.pos, "traces have nowhere to go", `add otlp { endpoint = "https://collector.example:4318" } beside them`))
	}
	return &Traces{Pos: r.pos, SampleRatio: setting[float64](r.Settings, "sample_ratio"), TrustParent: r.Bool("trust_parent")}
}
