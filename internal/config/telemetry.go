package config

import (
	"strings"
	"time"
)

// telemetryKeys are read and checked, so that a mistake does not wait for the day they have an effect. The stanza as a whole has none yet.
var telemetryKeys = table{
	"metrics_prefix":            {kind: text, preset: "vault", doc: "The first component of every metric's name."},
	"disable_hostname":          {kind: boolean, doc: "Leaves the host's name out of the names of gauges."},
	"enable_hostname_label":     {kind: boolean, doc: "Adds the host's name to every metric as a label."},
	"prometheus_retention_time": {kind: duration, preset: 24 * time.Hour, doc: "How long a metric that no longer changes is shown; 0 turns Prometheus off."},
	"filter_default":            {kind: boolean, preset: true, doc: "Lets metrics pass that no prefix_filter matches."},
	"prefix_filter":             {kind: filters, doc: "Metrics that pass, by a prefix after +, and that do not, by a prefix after -."},
	"statsd_address":            {kind: text, doc: "The statsd server that metrics are sent to."},
	"statsite_address":          {kind: text, doc: "The statsite server that metrics are sent to."},
	"dogstatsd_addr":            {kind: text, doc: "The dogstatsd server that metrics are sent to."},
	"dogstatsd_tags":            {kind: texts, doc: "Tags that every metric for dogstatsd carries."},
	"circonus_api_token":        {kind: text, secret: true, doc: "The API token of Circonus."},
	"stackdriver_debug_logs":    {kind: boolean, doc: "Logs what is sent to Stackdriver."},

	// Vault reads these, and has no use for them outside a server.
	"usage_gauge_period":                 {kind: duration, preset: 10 * time.Minute, doc: "Between counts of what a server holds."},
	"maximum_gauge_cardinality":          {kind: whole, preset: 500, doc: "Labels that a gauge of a server may have."},
	"lease_metrics_epsilon":              {kind: duration, preset: time.Hour, doc: "The width of the buckets that a server counts leases in."},
	"num_lease_metrics_buckets":          {kind: whole, preset: 168, doc: "How many such buckets there are."},
	"add_lease_metrics_namespace_labels": {kind: boolean, doc: "Adds namespaces to these counts."},
	"add_mount_point_rollback_metrics":   {kind: boolean, doc: "Counts rollbacks by mount."},
}.
	with(rule{kind: text, doc: "A setting of Circonus, as its client library takes it."},
		"circonus_api_app", "circonus_api_url", "circonus_submission_interval", "circonus_submission_url", "circonus_check_id",
		"circonus_check_force_metric_activation", "circonus_check_instance_id", "circonus_check_search_tag", "circonus_check_tags",
		"circonus_check_display_name", "circonus_broker_id", "circonus_broker_select_tag").
	with(rule{kind: text, doc: "A setting of Stackdriver."}, "stackdriver_project_id", "stackdriver_location", "stackdriver_namespace")

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

// telemetry checks the stanza.
func (d *decoder) telemetry(top section) {
	if b, ok := d.only(top, "telemetry"); ok {
		d.section("telemetry", b, telemetryKeys)
	}
}
