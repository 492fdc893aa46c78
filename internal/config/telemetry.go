package config

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Telemetry is the telemetry stanza. Without one it has the defaults: Prometheus text can be asked for, and nothing is sent anywhere.
type Telemetry struct {
	Pos                     Pos           // zero without a telemetry stanza
	MetricsPrefix           string        // metrics_prefix: stands before Vault's names; vault by default
	DisableHostname         bool          // disable_hostname
	EnableHostnameLabel     bool          // enable_hostname_label
	PrometheusRetentionTime time.Duration // prometheus_retention_time: 0 turns Prometheus text off; 24h by default
	FilterDefault           bool          // filter_default: what no prefix matches passes; true by default
	PrefixFilter            []string      // prefix_filter: each + or - and a prefix
	StatsdAddress           string        // host:port, IP literals normalised; "" means none, as in the next two
	StatsiteAddress         string
	DogstatsdAddr           string // or unix:// and a path
	DogstatsdTags           []string
	OTLP                    *OTLP   // nil means none
	Traces                  *Traces // nil means none; else OTLP is there
}

// OTLP is the otlp block of telemetry: a collector of OpenTelemetry.
type OTLP struct {
	Pos      Pos               // zero when the environment alone asks for it
	Endpoint string            // a URL, http or https; "" leaves it, with all that is not given, to the variables OTEL_EXPORTER_OTLP_*
	Protocol string            // "http" or "grpc"
	Headers  map[string]string // may hold secrets
	Interval time.Duration     // between two exports of metrics; 60s by default
	CACert   string            // a PEM file; "" means the system's roots
	Metrics  bool              // metrics are sent
}

var telemetryKeys = table{
	"metrics_prefix":            {kind: text, preset: "vault", doc: "The first component of the names of Vault's metrics; those that begin with `leasehold` have none. What a name cannot have becomes `_`; Prometheus text has a `_` before a leading digit."},
	"disable_hostname":          {kind: boolean, doc: "Leaves the host's name out of the names of gauges. It stands there for statsd and statsite alone, and when metrics have two ways out at least, as in Vault; `prometheus_retention_time` counts as one."},
	"enable_hostname_label":     {kind: boolean, doc: "Adds the host's name to every metric as the label `host`, and not to names."},
	"prometheus_retention_time": {kind: duration, preset: 24 * time.Hour, doc: "0 turns Prometheus text off; else nothing is ever forgotten."},
	"filter_default":            {kind: boolean, preset: true, doc: "Lets metrics pass that no `prefix_filter` matches."},
	"prefix_filter":             {kind: filters, doc: "Metrics that pass, by a prefix after +, and that do not, by a prefix after -; the longest prefix that matches decides. Names have dots here: `vault.proxy.cache`."},
	"statsd_address":            {kind: text, example: `"127.0.0.1:8125"`, doc: "The statsd server that metrics are sent to, over UDP, every 10 s."},
	"statsite_address":          {kind: text, example: `"127.0.0.1:8125"`, doc: "The statsite server that metrics are sent to, over TCP, every 10 s."},
	"dogstatsd_addr":            {kind: text, example: `"127.0.0.1:8125"`, doc: "The DogStatsD server that metrics are sent to, over UDP or, as `unix:///path`, over a socket, every 10 s."},
	"dogstatsd_tags":            {kind: texts, example: `["env:prod"]`, doc: "Tags that every metric for DogStatsD carries."},
	"otlp":                      {block: single, ours: true, doc: "A collector of OpenTelemetry that metrics are sent to. Without the block `OTEL_EXPORTER_OTLP_ENDPOINT` in the environment does the same."},
	"traces":                    {block: single, ours: true, doc: "Traces of requests, renewals and logins, sent to the collector of `otlp`. Without the block there are none."},
	"circonus_api_token":        {kind: text, secret: true, doc: "Circonus is not supported; one warning names all of its keys."},
	"stackdriver_debug_logs":    {kind: boolean, doc: "Stackdriver is not supported; one warning names all of its keys."},

	// Vault reads these, and has no use for them outside a server.
	"usage_gauge_period":                 serverCount(duration, 10*time.Minute),
	"maximum_gauge_cardinality":          serverCount(whole, 500),
	"lease_metrics_epsilon":              serverCount(duration, time.Hour),
	"num_lease_metrics_buckets":          serverCount(whole, 168),
	"add_lease_metrics_namespace_labels": serverCount(boolean, false),
	"add_mount_point_rollback_metrics":   serverCount(boolean, false),
}.
	with(rule{kind: text, doc: "As `circonus_api_token`."},
		"circonus_api_app", "circonus_api_url", "circonus_submission_interval", "circonus_submission_url", "circonus_check_id",
		"circonus_check_force_metric_activation", "circonus_check_instance_id", "circonus_check_search_tag", "circonus_check_tags",
		"circonus_check_display_name", "circonus_broker_id", "circonus_broker_select_tag").
	with(rule{kind: text, doc: "As `stackdriver_debug_logs`."}, "stackdriver_project_id", "stackdriver_location", "stackdriver_namespace")

func serverCount(k kind, preset any) rule {
	return rule{kind: k, preset: preset, standing: noEffect, because: "only a Vault server reads it"}
}

var otlpKeys = table{
	"endpoint": {kind: text, example: `"https://collector.example:4318"`, ours: true, doc: "The collector's URL; `/v1/metrics` is added for `http`. Required unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set."},
	"protocol": {kind: oneOf("http", "grpc"), ours: true, doc: "`http` (protobuf, usually port 4318) or `grpc` (4317)."},
	"headers":  {kind: textMap, secret: true, example: `{ "Authorization" = "Bearer ..." }`, ours: true, doc: "Headers of each export, such as credentials. Never shown."},
	"interval": {kind: interval, preset: time.Minute, ours: true, doc: "Between two exports of metrics."},
	"ca_cert":  {kind: text, implied: "system roots", ours: true, doc: "A PEM file of CAs that the collector's certificate is verified against."},
	"metrics":  {kind: boolean, preset: true, ours: true, doc: "Sends metrics; false is for a collector of traces."},
}

// filters is a list of rules like "+vault.token" and "-vault.core".
var filters = kind{
	want: "a list of prefixes, each after + or -", example: `["+vault.token", "-vault.core"]`, zero: []string(nil), json: jsonFilters,
	read: func(v value) (any, bool) {
		list, isList := v.data.([]value)
		all := make([]string, 0, len(list))
		for _, element := range list {
			s, _ := element.data.(string)
			if len(s) < 2 || !strings.ContainsAny(s[:1], "+-") {
				return nil, false
			}
			all = append(all, s)
		}
		return all, isList
	},
}

// textMap is an object whose values are texts.
var textMap = kind{
	want: "an object of texts", example: `{ name = "..." }`, zero: map[string]string(nil),
	json: object{"type": "object", "additionalProperties": jsonText},
	read: func(v value) (any, bool) {
		object, ok := v.data.(*body)
		if !ok {
			return nil, false
		}
		all := map[string]string{}
		for _, it := range object.items {
			s, isText := it.value.data.(string)
			if !isText || len(it.labels) > 0 {
				return nil, false
			}
			all[it.key] = s
		}
		return all, true
	},
}

// telemetry checks the stanza.
func (d *decoder) telemetry(top section) Telemetry {
	b, given := d.only(top, "telemetry")
	s := d.section("telemetry", b, telemetryKeys)
	t := Telemetry{
		MetricsPrefix:           s.String("metrics_prefix"),
		DisableHostname:         s.Bool("disable_hostname"),
		EnableHostnameLabel:     s.Bool("enable_hostname_label"),
		PrometheusRetentionTime: s.Duration("prometheus_retention_time"),
		FilterDefault:           s.Bool("filter_default"),
		PrefixFilter:            setting[[]string](s.Settings, "prefix_filter"),
		StatsdAddress:           d.pushAddress(s, "statsd_address"),
		StatsiteAddress:         d.pushAddress(s, "statsite_address"),
		DogstatsdAddr:           d.pushAddress(s, "dogstatsd_addr"),
		DogstatsdTags:           setting[[]string](s.Settings, "dogstatsd_tags"),
		OTLP:                    d.otlp(s),
	}
	t.Traces = d.traces(s, &t)
	if !prefixes(t.MetricsPrefix) {
		d.fail(s.problem(s.place("metrics_prefix"), "metrics_prefix must have a letter or a digit, and no control characters", `write for example metrics_prefix = "vault"`))
	}
	if given {
		t.Pos = s.pos
	}
	d.unsupported(s, "circonus_", "Circonus")
	d.unsupported(s, "stackdriver_", "Stackdriver")
	return t
}

// prefixes reports whether something of a prefix stays in all forms of names: each replaces what it cannot have. Without one it is Vault's.
func prefixes(prefix string) bool {
	names := func(r rune) bool { return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
	return prefix == "" || strings.ContainsFunc(prefix, names) && !strings.ContainsFunc(prefix, unicode.IsControl)
}

// pushAddress is where metrics are sent to.
func (d *decoder) pushAddress(s section, key string) string {
	address := normalizeAddress(s.String(key))
	if path, ok := strings.CutPrefix(address, "unix://"); ok && key == "dogstatsd_addr" && strings.HasPrefix(path, "/") {
		return address
	}
	if host, _, err := net.SplitHostPort(address); address != "" && (err != nil || host == "" || !listenable(address)) {
		d.fail(s.problem(s.place(key), key+" must be host:port", telemetryKeys[key].assign(key)))
	}
	return address
}

// unsupported warns once of all keys of a service that metrics are not sent to.
func (d *decoder) unsupported(s section, prefix, service string) {
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(s.at)), func(key string) bool { return !strings.HasPrefix(key, prefix) })
	if len(keys) == 0 {
		return
	}
	first := slices.MinFunc(keys, func(a, b string) int { return d.byPlace(Problem{Pos: s.at[a]}, Problem{Pos: s.at[b]}) })
	verb, remedy := " has no effect: ", "remove it"
	if len(keys) > 1 {
		verb, remedy = " have no effect: ", "remove them"
	}
	d.warn(s.problem(s.at[first], strings.Join(keys, ", ")+verb+"metrics are not sent to "+service, remedy+", and use dogstatsd_addr, statsd_address or otlp"))
}

// otlp reads the block, or what the environment says instead of it.
func (d *decoder) otlp(s section) *OTLP {
	fromEnv := d.variable("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || d.variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") != ""
	b, given := d.only(s, "otlp")
	if !given && (!fromEnv || strings.EqualFold(d.variable("OTEL_SDK_DISABLED"), "true")) {
		return nil
	}
	o := d.section("telemetry.otlp", b, otlpKeys)
	out := &OTLP{
		Endpoint: o.String("endpoint"), Protocol: o.String("protocol"), Headers: setting[map[string]string](o.Settings, "headers"),
		Interval: o.Duration("interval"), CACert: o.String("ca_cert"), Metrics: o.Bool("metrics"),
	}
	if !given {
		if d.variable("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" {
			out.Protocol = "grpc"
		}
		out.Metrics = d.variable("OTEL_METRICS_EXPORTER") != "none"
		return out
	}
	out.Pos = o.pos
	if problem := checkEndpoint(out.Endpoint, out.Protocol); problem != "" && (out.Endpoint != "" || !fromEnv) {
		d.fail(o.problem(o.place("endpoint"), o.name("endpoint")+" "+problem, otlpKeys["endpoint"].assign("endpoint")))
	}
	return out
}

// checkEndpoint says what is wrong with a collector's URL, and never shows it: it may hold a password.
func checkEndpoint(endpoint, protocol string) string {
	u, err := url.Parse(endpoint)
	switch {
	case endpoint == "":
		return "is required"
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
		return "must be a URL, http or https"
	case u.User != nil:
		return "must have no user name and password; they belong in headers"
	case protocol == "grpc" && strings.Trim(u.Path, "/") != "":
		return "must have no path with grpc"
	}
	return ""
}
