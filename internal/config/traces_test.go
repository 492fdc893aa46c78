package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"leasehold/internal/config"
)

func TestTraces(t *testing.T) {
	const otlp = "otlp { endpoint = \"http://c:4318\" }\n"
	fromFile := &config.OTLP{Endpoint: "http://c:4318", Protocol: "http", Interval: time.Minute, Metrics: true}
	for name, tc := range map[string]struct {
		src  string
		env  map[string]string
		want *config.Traces
		otlp *config.OTLP
	}{
		"no block":         {otlp, nil, nil, fromFile},
		"defaults":         {otlp + "traces {}", nil, &config.Traces{SampleRatio: 1, TrustParent: true}, fromFile},
		"all of it":        {otlp + "traces {\n sample_ratio = 0.25\n trust_parent = false\n}", nil, &config.Traces{SampleRatio: 0.25}, fromFile},
		"none but clients": {otlp + "traces { sample_ratio = 0 }", nil, &config.Traces{TrustParent: true}, fromFile},
		"a collector of the environment": {
			"traces {}", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
			&config.Traces{SampleRatio: 1, TrustParent: true}, &config.OTLP{Protocol: "http", Interval: time.Minute, Metrics: true},
		},
		"one for traces alone": {
			"traces {}", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/t"},
			&config.Traces{SampleRatio: 1, TrustParent: true}, &config.OTLP{Protocol: "http", Interval: time.Minute},
		},
		"one for traces alone that speaks gRPC": {
			"traces {}", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
			&config.Traces{SampleRatio: 1, TrustParent: true}, &config.OTLP{Protocol: "grpc", Interval: time.Minute},
		},
		"the environment asks for no traces by itself": {"", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/t"}, nil, nil},
		"turned off": {"traces {}", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := telemetry(t, "telemetry {\n"+tc.src+"\n}", tc.env)
			if err != nil {
				t.Fatal(err)
			}
			if got.Traces != nil {
				if (got.Traces.Pos == config.Pos{}) {
					t.Error("the block stands nowhere")
				}
				got.Traces.Pos = config.Pos{}
			}
			if got.OTLP != nil {
				got.OTLP.Pos = config.Pos{}
			}
			if !reflect.DeepEqual(got.Traces, tc.want) || !reflect.DeepEqual(got.OTLP, tc.otlp) {
				t.Errorf("traces = %+v to %+v, want %+v to %+v", got.Traces, got.OTLP, tc.want, tc.otlp)
			}
		})
	}
}

func TestTracesRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"no collector": {"traces {}", "t.hcl:6: telemetry: traces have nowhere to go; add otlp {"},
		"too much":     {"otlp { endpoint = \"http://c\" }\ntraces { sample_ratio = 2 }", "traces.sample_ratio must be a share from 0 to 1, not 2; write for example sample_ratio = 0.1"},
		"too little":   {"otlp { endpoint = \"http://c\" }\ntraces { sample_ratio = -1 }", "traces.sample_ratio must be"},
		"twice":        {"otlp { endpoint = \"http://c\" }\ntraces {}\ntraces {}", `only one "traces" block is permitted`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := telemetry(t, "telemetry {\n"+tc.src+"\n}", nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestDiffOfTraces(t *testing.T) {
	const otlp = "otlp { endpoint = \"http://c\" }\n"
	old := diffA + "telemetry {\n" + otlp + "traces {}\n}"
	for name, tc := range map[string]struct {
		next string
		want []string
	}{
		"the ratio": {"telemetry {\n" + otlp + "traces { sample_ratio = \"50%\" }\n}", []string{"telemetry.traces.sample_ratio: 1 -> 0.5"}},
		"the trust": {"telemetry {\n" + otlp + "traces { trust_parent = false }\n}", []string{"telemetry.traces.trust_parent: true -> false"}},
		"the block": {"telemetry {\n" + otlp + "}", []string{"telemetry.traces:  -> "}},
		"its place": {"telemetry {\n" + otlp + "\n\ntraces {}\n}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := diff(t, old, diffA+tc.next); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("Diff = %q, want %q", got, tc.want)
			}
		})
	}
}
