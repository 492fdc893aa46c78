package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// option is one key of the language: a value that is right and what it means, what the key means when it is absent, and a value that is wrong.
// All but the meanings are HCL.
type option struct{ good, want, absent, bad string }

func textual(absent string) option  { return option{`"x"`, "x", absent, `["x"]`} }
func listed() option                { return option{`["x", "y"]`, "[x y]", "[]", `[1]`} }
func accountList() option           { return option{`["x", 7]`, "[x 7]", "[]", `[true]`} }
func truth(absent string) option    { return option{`"1"`, "true", absent, `"yes"`} }
func number(absent string) option   { return option{`0x10`, "16", absent, `"many"`} }
func bounded(absent string) option  { return option{`7`, "7", absent, `-1`} }
func period(absent string) option   { return option{`"2d"`, "48h0m0s", absent, `"2 days"`} }
func interval(absent string) option { return option{`90`, "1m30s", absent, `"0s"`} }
func amount(absent string) option   { return option{`"2MiB"`, "2097152", absent, `"2 apples"`} }
func share(absent string) option    { return option{`"50%"`, "0.5", absent, `1`} }
func rate(absent string) option     { return option{`12.5`, "12.5", absent, `"fast"`} }
func word(good, absent string) option {
	return option{`"` + strings.ToUpper(good) + `"`, good, absent, `"` + good + `x"`}
}
func block() option   { return option{`{}`, "<nil>", "<nil>", `5`} }
func useless() option { return option{good: `"x"`} } // any value; it has no effect

// options has every key of the language.
var options = map[string]option{
	"vault": block(), "auto_auth": block(), "api_proxy": block(), "cache": block(), "listener": block(), "telemetry": block(), "access_log": block(),
	"template": block(), "env_template": block(), "exec": block(), "template_config": block(),
	"pid_file": textual(""), "log_level": textual(""), "log_format": textual(""), "exit_after_auth": truth("false"),
	"shutdown_timeout": period("10s"),
	"log_file":         textual(""), "log_rotate_bytes": amount("0"), "log_rotate_duration": period("24h0m0s"), "log_rotate_max_files": number("0"),
	"disable_idle_connections": {`["auto-auth", "caching"]`, "[auto-auth caching]", "[]", `["Auto-Auth"]`},
	"disable_keep_alives":      {`"proxying, templating"`, "[proxying templating]", "[]", `["auto_auth"]`},

	"access_log.path": textual("stdout"), "access_log.format": word("text", "json"), "access_log.exclude": listed(),

	"vault.address": textual(""), "vault.addresses": listed(), "vault.ca_cert": textual(""), "vault.ca_path": textual(""), "vault.client_cert": textual(""),
	"vault.client_key": textual(""), "vault.tls_skip_verify": truth("false"), "vault.tls_server_name": textual(""), "vault.namespace": textual(""),
	"vault.retry": block(), "vault.health_check_interval": period("5s"), "vault.pass_redirects": truth("false"), "vault.redirect_hosts": listed(),
	"vault.retry.num_retries": number("0"), "vault.retry.safe_only": truth("false"), "vault.retry.max_wait": period("10s"),
	"vault.retry.max_replay_size": amount("33554432"),

	"api_proxy.use_auto_auth_token":          {`"FORCE"`, "force", "false", `"always"`},
	"api_proxy.prepend_configured_namespace": truth("false"), "api_proxy.x_forwarded_for": word("append", "off"),
	"api_proxy.enforce_consistency": word("always", "never"), "api_proxy.when_inconsistent": word("forward", "fail"),

	"cache.persist": block(), "cache.rule": block(), "cache.report_remaining_ttl": truth("true"), "cache.max_entry_size": amount("1048576"),
	"cache.renew_at": share("0.67"), "cache.renew_rate": rate("500"), "cache.replace_before": share("0.1"), "cache.refresh_ahead": truth("false"),
	"cache.cache_non_renewable": truth("false"), "cache.min_token_ttl": period("0s"), "cache.revoke_on_exit": truth("false"),
	"cache.max_size": amount("536870912"), "cache.max_entries": number("0"),
	"cache.cache_static_secrets": {`false`, "false", "false", `"yes"`}, "cache.disable_caching_dynamic_secrets": truth("false"),
	"cache.static_secret_token_capability_refresh_interval": period("0s"),
	"cache.static_secret_token_capability_refresh_behavior": word("pessimistic", "optimistic"),
	"cache.use_auto_auth_token":                             {`1`, "true", "false", `[true]`},
	"cache.enforce_consistency":                             word("always", "never"), "cache.when_inconsistent": word("retry", "fail"),
	"cache.rule.path": textual(""), "cache.rule.cache": truth("true"), "cache.rule.cache_non_renewable": truth("false"),
	"cache.rule.refresh_ahead": truth("false"), "cache.rule.replace_before": share("0"),
	"cache.persist.type": textual(""), "cache.persist.path": textual(""), "cache.persist.exit_on_err": truth("false"),
	"cache.persist.keep_after_import":          truth("false"),
	"cache.persist.service_account_token_file": textual("/var/run/secrets/kubernetes.io/serviceaccount/token"),
	"cache.persist.key_file":                   {`"x"`, "x", "", `""`}, "cache.persist.credential": {`"x"`, "x", "leasehold-state-key", `"a/b"`},
	"cache.persist.key_env":       {`"X_1"`, "X_1", "LEASEHOLD_STATE_KEY", `"1 x"`},
	"cache.persist.transit_mount": {`"/a/b/"`, "a/b", "transit", `5`}, "cache.persist.transit_key": {`"x.y"`, "x.y", "", `"x/y"`},

	"auto_auth.method": block(), "auto_auth.sink": block(), "auto_auth.sinks": block(), "auto_auth.sinks.sink": block(), "auto_auth.name": textual(""),
	"auto_auth.enable_reauth_on_new_credentials": truth("false"), "auto_auth.revoke_on_exit": truth("false"),
	"auto_auth.method.type": textual(""), "auto_auth.method.mount_path": textual(""), "auto_auth.method.namespace": textual(""),
	"auto_auth.method.wrap_ttl": period("0s"), "auto_auth.method.min_backoff": period("1s"), "auto_auth.method.max_backoff": period("5m0s"),
	"auto_auth.method.exit_on_err": truth("false"), "auto_auth.method.config": block(), "auto_auth.method.max_attempts": bounded("0"),
	"auto_auth.method.total_timeout": period("0s"),
	"auto_auth.sink.type":            textual(""), "auto_auth.sink.config": block(), "auto_auth.sink.wrap_ttl": period("0s"), "auto_auth.sink.dh_type": textual(""),
	"auto_auth.sink.dh_path": textual(""), "auto_auth.sink.derive_key": truth("false"), "auto_auth.sink.aad": textual(""), "auto_auth.sink.aad_env_var": textual(""),
	"auto_auth.sink.config.path": textual(""), "auto_auth.sink.config.keep_existing": truth("false"),
	"auto_auth.sink.config.mode":  {`0600`, "{384 }", "{416 }", `01000`},
	"auto_auth.sink.config.owner": {`1000`, "1000", "", `true`}, "auto_auth.sink.config.group": {`"app"`, "app", "", `-1`},

	"listener.type": textual(""), "listener.address": textual("127.0.0.1:8200"), "listener.auto_auth": textual(""), "listener.role": word("admin", "default"),
	"listener.require_request_header": truth("false"), "listener.agent_api": block(), "listener.proxy_api": block(), "listener.tls_disable": truth("false"),
	"listener.tls_cert_file": textual(""), "listener.tls_key_file": textual(""), "listener.http_read_header_timeout": period("10s"),
	"listener.http_read_timeout": period("30s"), "listener.http_write_timeout": period("0s"), "listener.http_idle_timeout": period("5m0s"),
	"listener.max_request_size": amount("0"), "listener.max_header_size": amount("1048576"), "listener.max_concurrent_requests": number("4096"),
	"listener.max_request_duration": period("0s"),
	"listener.tls_min_version":      {`"tls12"`, "tls12", "tls12", `"1.2"`}, "listener.tls_max_version": {`"tls13"`, "tls13", "tls13", `"1.3"`},
	"listener.tls_cipher_suites": {`"x, y"`, "[x y]", "[]", `5`}, "listener.tls_require_and_verify_client_cert": truth("false"), "listener.systemd_socket": textual(""),
	"listener.x_forwarded_for_authorized_addrs": {`"10.0.0.0/8,::1"`, "[10.0.0.0/8 ::1]", "[]", `"10.0.0.0/33"`}, "listener.x_forwarded_for_hop_skips": bounded("0"),
	"listener.x_forwarded_for_reject_not_present": truth("true"), "listener.x_forwarded_for_reject_not_authorized": truth("true"),
	"listener.x_forwarded_for_client_cert_header": textual(""), "listener.x_forwarded_for_client_cert_header_decoders": textual(""),
	"listener.proxy_protocol_behavior": word("use_always", ""), "listener.proxy_protocol_authorized_addrs": {`["10.0.0.1"]`, "[10.0.0.1]", "[]", `"localhost"`},
	"listener.tls_client_ca_file": textual(""), "listener.tls_disable_client_certs": truth("false"),
	"listener.allow_users": accountList(), "listener.allow_groups": accountList(), "listener.allow_client_cn": listed(), "listener.allow_client_san": listed(),
	"listener.default_action": word("allow", ""), "listener.rule": block(), "listener.rule.path": textual(""), "listener.rule.methods": listed(),
	"listener.rule.action": word("allow", ""), "listener.rule.users": accountList(), "listener.rule.groups": accountList(),
	"listener.rule.client_cn": listed(), "listener.rule.client_san": listed(),
	"listener.socket_mode": {`"0660"`, "{432 }", "{0 }", `"rw"`}, "listener.socket_user": textual(""), "listener.socket_group": textual(""),
	"listener.agent_api.enable_status": truth("false"), "listener.proxy_api.enable_status": truth("false"), "admin_socket": textual(""),
	"listener.agent_api.enable_quit": truth("false"), "listener.agent_api.enable_reauth": truth("false"),
	"listener.proxy_api.enable_quit": truth("false"), "listener.proxy_api.enable_reauth": truth("false"),

	"telemetry.metrics_prefix": textual("vault"), "telemetry.disable_hostname": truth("false"), "telemetry.enable_hostname_label": truth("false"),
	"telemetry.prometheus_retention_time": period("24h0m0s"), "telemetry.filter_default": truth("true"),
	"telemetry.prefix_filter":  {`["+vault", "-vault.x"]`, "[+vault -vault.x]", "[]", `["vault"]`},
	"telemetry.statsd_address": textual(""), "telemetry.statsite_address": textual(""), "telemetry.dogstatsd_addr": textual(""),
	"telemetry.dogstatsd_tags": listed(), "telemetry.circonus_api_token": textual(""), "telemetry.stackdriver_debug_logs": truth("false"),
	"telemetry.usage_gauge_period": period("10m0s"), "telemetry.maximum_gauge_cardinality": number("500"), "telemetry.lease_metrics_epsilon": period("1h0m0s"),
	"telemetry.num_lease_metrics_buckets": number("168"), "telemetry.add_lease_metrics_namespace_labels": truth("false"),
	"telemetry.add_mount_point_rollback_metrics": truth("false"),

	"telemetry.otlp": block(), "telemetry.otlp.endpoint": textual(""), "telemetry.otlp.protocol": word("grpc", "http"),
	"telemetry.otlp.headers":  {`{ a = "x" }`, "map[a:x]", "map[]", `{ a = 5 }`},
	"telemetry.otlp.interval": interval("1m0s"), "telemetry.otlp.ca_cert": textual(""), "telemetry.otlp.metrics": truth("true"),
	"telemetry.traces": block(), "telemetry.traces.sample_ratio": {`"5%"`, "0.05", "1", `1.1`}, "telemetry.traces.trust_parent": truth("true"),
}

// methodOptions are the keys of each login method's config block, less those that are textual and empty by default, which follow.
var methodOptions = map[string]map[string]option{
	"alicloud": {"role_session_expiration": number("0"), "session_expiration": number("0"), "credential_poll_interval": interval("1m0s")},
	"approle": {
		"remove_secret_id_file_after_reading": truth("true"),
		"secret_id_response_wrapping_path":    {`"x"`, "x", "", `""`},
	},
	"aws":        {"type": word("ec2", "iam"), "credential_poll_interval": interval("1m0s")},
	"azure":      {"authenticate_from_environment": truth("false")},
	"cert":       {"reload": truth("false"), "reload_period": interval("1m0s")},
	"gcp":        {"type": word("iam", "gce"), "jwt_exp": number("15")},
	"jwt":        {"remove_jwt_after_reading": truth("true"), "remove_jwt_follows_symlinks": truth("false"), "jwt_read_period": interval("1m0s")},
	"kerberos":   {"disable_fast_negotiation": truth("false")},
	"kubernetes": {"token_path": textual("/var/run/secrets/kubernetes.io/serviceaccount/token")},
	"ldap":       {"remove_password_after_reading": truth("true"), "remove_password_follows_symlinks": truth("false"), "password_read_period": interval("1m0s")},
	"oci":        {"type": word("instance", "apikey"), "credential_poll_interval": interval("1m0s")},
}

var methodTexts = map[string]string{
	"alicloud": "role region role_arn role_session_name public_key_id role_name access_key access_secret access_token private_key",
	"approle":  "role_id_file_path secret_id_file_path", "aws": "role region header_value nonce access_key secret_key session_token",
	"azure": "role resource object_id client_id scope", "cert": "name ca_cert client_cert client_key", "cf": "role", "pcf": "role",
	"gcp": "role service_account project credentials", "jwt": "path role", "kerberos": "username service realm keytab_path krb5conf_path",
	"kubernetes": "role", "ldap": "username password_file_path", "oci": "role", "token_file": "token_file_path",
}

const circonus = "api_app api_url submission_interval submission_url check_id check_force_metric_activation check_instance_id check_search_tag " +
	"check_tags check_display_name broker_id broker_select_tag"

const uselessAtTop = `disable_mlock cluster_name default_max_request_duration administrative_namespace_path storage ha_storage backend seal hsm kms
	entropy user_lockout cloud ui api_addr cluster_addr plugin_directory plugin_tmpdir plugin_file_uid plugin_file_permissions max_lease_ttl
	default_lease_ttl raw_storage_endpoint introspection_endpoint disable_cache cache_size disable_clustering disable_performance_standby
	disable_sealwrap disable_indexing disable_sentinel_trace disable_printable_check enable_response_header_hostname
	enable_response_header_raft_node_id license_path service_registration sentinel reporting replication experiments detect_deadlocks
	imprecise_lease_role_tracking enable_post_unseal_trace post_unseal_trace_directory`

// uselessInListener are the keys of a server's listener: their types are checked, and no more.
var uselessInListener = map[string]option{
	"cors_enabled redact_addresses redact_cluster_name redact_version disable_request_limiter disable_replication_status_endpoints": truth("false"),
	"cluster_address chroot_namespace": textual(""), "purpose cors_allowed_origins cors_allowed_headers": listed(),
	"max_json_depth max_json_string_value_length max_json_object_entry_count max_json_array_element_count": bounded("0"),
	"custom_response_headers telemetry profiling inflight_requests_logging":                                block(),
}

// allOptions puts the tables above together.
func allOptions() map[string]option {
	all := make(map[string]option, 300)
	add := func(prefix, keys string, o option) {
		for _, key := range strings.Fields(keys) {
			all[prefix+key] = o
		}
	}
	for path, o := range options {
		all[path] = o
	}
	for method, keys := range methodTexts {
		add("auto_auth.method.config."+method+".", keys, textual(""))
	}
	for method, keys := range methodOptions {
		for key, o := range keys {
			all["auto_auth.method.config."+method+"."+key] = o
		}
	}
	add("telemetry.circonus_", circonus, textual(""))
	add("telemetry.stackdriver_", "project_id location namespace", textual(""))
	add("", uselessAtTop, useless())
	for keys, o := range uselessInListener {
		add("listener.", keys, o)
	}
	return all
}

func TestEveryOptionIsReadDefaultedAndRefused(t *testing.T) {
	known := config.Written()
	all := allOptions()
	for path := range all {
		if !slices.Contains(known, path) {
			t.Errorf("%s is not a key of the language", path)
		}
	}
	for _, path := range known {
		o, ok := all[path]
		if !ok {
			t.Errorf("%s has no case: add one to options", path)
			continue
		}
		t.Run(path, func(t *testing.T) { checkOption(t, path, o) })
	}
}

func checkOption(t *testing.T, path string, o option) {
	t.Helper()
	stanza, key := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		stanza, key = path[:i], path[i+1:]
	}
	decode := func(src string) config.Decoded {
		t.Helper()
		d, err := config.Decode(stanza, key, src)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	good := decode(strings.ToUpper(key) + " = " + o.good)
	if !good.Checked || o.bad == "" { // a key that is known, and has no effect
		if good.Checked || good.Errors != "" || !strings.Contains(good.Warnings, key+" has no effect") {
			t.Errorf("%s = %s: %+v, want a warning that it has no effect", key, o.good, good)
		}
		return
	}
	if notBuilt := strings.Contains(good.Errors, "not built yet"); good.Errors != "" && !notBuilt || good.Value != o.want {
		t.Errorf("%s = %s: %+v, want %s", key, o.good, good, o.want)
	}
	if got := decode(""); got.Value != o.absent || got.Errors != "" || got.Warnings != "" {
		t.Errorf("without %s: %+v, want %s", key, got, o.absent)
	}
	bad := decode("\n" + key + " = " + o.bad)
	if !strings.HasPrefix(bad.Errors, "t.hcl:2: ") || !strings.Contains(bad.Errors, key) || !strings.Contains(bad.Errors, "; ") || bad.Value != o.absent {
		t.Errorf("%s = %s: %+v, want a problem at line 2 and the default", key, o.bad, bad)
	}
}

// The list was taken from the specification: what stands there may not be unknown here.
func TestEveryKeyOfVaultIsKnown(t *testing.T) {
	known := config.Written()
	src, err := os.ReadFile(filepath.Join("..", "..", "testdata", "config", "vault-keys.txt"))
	if err != nil {
		t.Fatal(err)
	}
	paths := strings.Fields(string(src))
	for _, path := range paths {
		if !slices.Contains(known, path) {
			t.Errorf("%s is unknown", path)
		}
	}
	if len(paths) < 190 {
		t.Errorf("the list has only %d keys", len(paths))
	}
}
