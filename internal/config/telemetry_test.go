package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"leasehold/internal/config"
)

// telemetry loads a file with a listener and src, in an environment of its own.
func telemetry(t *testing.T, src string, env map[string]string) (config.Telemetry, error) {
	t.Helper()
	cfg, err := config.Parse("t.hcl", []byte(diffA+src), config.Options{LookupEnv: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	if err != nil {
		return config.Telemetry{}, err
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
	return cfg.Telemetry, nil
}

func TestTelemetry(t *testing.T) {
	const none = time.Duration(0)
	defaults := config.Telemetry{MetricsPrefix: "vault", PrometheusRetentionTime: 24 * time.Hour, FilterDefault: true}
	for name, tc := range map[string]struct {
		src  string
		env  map[string]string
		want func(*config.Telemetry)
	}{
		"no stanza":    {"", nil, func(*config.Telemetry) {}},
		"empty stanza": {"telemetry {}", nil, func(*config.Telemetry) {}},
		"Vault's keys": {
			`telemetry {
  metrics_prefix = "p"
  disable_hostname = true
  enable_hostname_label = true
  prometheus_retention_time = 0
  filter_default = false
  prefix_filter = ["+a.b", "-a.b.c"]
  statsd_address = "statsd:8125"
  statsite_address = "[0::1]:8125"
  dogstatsd_addr = "unix:///run/dsd.socket"
  dogstatsd_tags = ["a:b", "c"]
}`, nil, func(w *config.Telemetry) {
				*w = config.Telemetry{
					MetricsPrefix: "p", DisableHostname: true, EnableHostnameLabel: true, PrometheusRetentionTime: none, PrefixFilter: []string{"+a.b", "-a.b.c"},
					StatsdAddress: "statsd:8125", StatsiteAddress: "[::1]:8125", DogstatsdAddr: "unix:///run/dsd.socket", DogstatsdTags: []string{"a:b", "c"},
				}
			},
		},
		"a collector": {
			"telemetry {\n otlp {\n endpoint = \"http://c:4318\"\n headers = { a = \"b\" }\n metrics = false\n }\n}", nil, func(w *config.Telemetry) {
				w.OTLP = &config.OTLP{Endpoint: "http://c:4318", Protocol: "http", Headers: map[string]string{"a": "b"}, Interval: time.Minute}
			},
		},
		"a collector that speaks gRPC": {
			"telemetry {\n otlp {\n endpoint = \"https://c:4317/\"\n protocol = \"grpc\"\n interval = 7\n ca_cert = \"/ca.pem\"\n }\n}", nil, func(w *config.Telemetry) {
				w.OTLP = &config.OTLP{Endpoint: "https://c:4317/", Protocol: "grpc", Interval: 7 * time.Second, CACert: "/ca.pem", Metrics: true}
			},
		},
		"the environment alone": {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, func(w *config.Telemetry) {
			w.OTLP = &config.OTLP{Protocol: "grpc", Interval: time.Minute, Metrics: true}
		}},
		"the environment, for metrics": {"", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/m"}, func(w *config.Telemetry) {
			w.OTLP = &config.OTLP{Protocol: "http", Interval: time.Minute, Metrics: true}
		}},
		"the environment, without metrics": {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_METRICS_EXPORTER": "none"}, func(w *config.Telemetry) {
			w.OTLP = &config.OTLP{Protocol: "http", Interval: time.Minute}
		}},
		"the environment, turned off": {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "True"}, func(*config.Telemetry) {}},
		"a block that leaves the endpoint to the environment": {
			"telemetry {\n otlp {\n interval = 5\n }\n}", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, func(w *config.Telemetry) {
				w.OTLP = &config.OTLP{Protocol: "http", Interval: 5 * time.Second, Metrics: true}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := defaults
			tc.want(&want)
			got, err := telemetry(t, tc.src, tc.env)
			if err != nil {
				t.Fatal(err)
			}
			if (got.Pos == config.Pos{}) != (tc.src == "") {
				t.Errorf("the stanza stands at %v", got.Pos)
			}
			got.Pos = config.Pos{}
			if got.OTLP != nil {
				got.OTLP.Pos = config.Pos{}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("telemetry = %+v (%+v)\nwant %+v (%+v)", got, got.OTLP, want, want.OTLP)
			}
		})
	}
}

// What is wrong with an endpoint or an address is said without showing it: people put passwords into URLs.
func TestTelemetryRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"no port":              {`statsd_address = "hush"`, "statsd_address must be host:port"},
		"no host":              {`statsite_address = ":8125"`, "statsite_address must be host:port"},
		"a socket for statsd":  {`statsd_address = "unix:///hush"`, "statsd_address must be host:port"},
		"a relative socket":    {`dogstatsd_addr = "unix://hush"`, "dogstatsd_addr must be host:port"},
		"no endpoint":          {`otlp {}`, "otlp.endpoint is required"},
		"no URL":               {`otlp { endpoint = "hush:4318" }`, "otlp.endpoint must be a URL"},
		"no host in a URL":     {`otlp { endpoint = "http:///hush" }`, "otlp.endpoint must be a URL"},
		"a query":              {`otlp { endpoint = "http://c/?key=hush" }`, "otlp.endpoint must be a URL"},
		"a password":           {`otlp { endpoint = "http://a:hush@c" }`, "they belong in headers"},
		"a path with grpc":     {"otlp {\n endpoint = \"http://c/hush\"\n protocol = \"grpc\"\n}", "must have no path with grpc"},
		"no protocol":          {"otlp {\n endpoint = \"http://c\"\n protocol = \"thrift\"\n}", "otlp.protocol must be"},
		"a header of no text":  {"otlp {\n endpoint = \"http://c\"\n headers = { hush = 5 }\n}", "otlp.headers must be an object of texts"},
		"headers as text":      {"otlp {\n endpoint = \"http://c\"\n headers = \"hush\"\n}", "otlp.headers must be an object of texts"},
		"no time between":      {"otlp {\n endpoint = \"http://c\"\n interval = 0\n}", "otlp.interval must be"},
		"a rule of no prefix":  {`prefix_filter = ["+"]`, "prefix_filter must be"},
		"a rule of no + and -": {`prefix_filter = ["vault"]`, "prefix_filter must be"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := telemetry(t, "telemetry {\n"+tc.src+"\n}", nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

// A reload names what is different and shows neither headers nor endpoints.
func TestDiffOfTelemetry(t *testing.T) {
	old := diffA + "telemetry {\n otlp {\n endpoint = \"http://hush-1\"\n headers = { a = \"hush\" }\n }\n}"
	next := diffA + "telemetry {\n metrics_prefix = \"p\"\n otlp {\n endpoint = \"http://hush-2\"\n headers = { a = \"hush!\" }\n protocol = \"grpc\"\n }\n}"
	want := []string{"telemetry.metrics_prefix: vault -> p", "telemetry.otlp.endpoint:  -> ", "telemetry.otlp.protocol: http -> grpc", "telemetry.otlp.headers:  -> "}
	if got := diff(t, old, next); !reflect.DeepEqual(got, want) {
		t.Errorf("Diff = %q, want %q", got, want)
	}
	if got := diff(t, old, diffA); !reflect.DeepEqual(got, []string{"telemetry.otlp:  -> "}) {
		t.Errorf("Diff = %q, want that the block is gone", got)
	}
}
