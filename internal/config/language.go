package config

import "time"

// The language of Vault Proxy and Vault Agent 1.21, stanza by stanza. A key that is missing here is unknown to Vault too,
// or to its documentation; Leasehold's own keys are marked.

var (
	serverOnly  = rule{kind: anything, standing: noEffect, because: "only a Vault server reads it"}
	noneInVault = rule{kind: anything, standing: noEffect, because: "it has none in Vault Proxy either"}
	noTemplates = rule{block: several, standing: refused, remedy: "remove the stanza, or keep Vault Agent for it"}
)

// useForwardedFor is why Vault's keys about X-Forwarded-For change nothing.
const useForwardedFor = "it has none in Vault Proxy either; api_proxy.x_forwarded_for says what Vault is told of clients' addresses"

var topKeys = table{
	"vault":      {block: single},
	"auto_auth":  {block: several},
	"api_proxy":  {block: single},
	"cache":      {block: single},
	"listener":   {block: several},
	"pid_file":   {kind: text},
	"log_level":  {kind: text},
	"log_format": {kind: text},

	"log_file":             {kind: text, example: `"/var/log/leasehold/proxy.log"`, doc: "A file that log lines are written to, in addition to standard error; proxy.log in it when it ends in a separator."},
	"log_rotate_bytes":     {kind: limit, example: `"100MiB"`, doc: "The size from which on the log file is set aside under another name and a new one begun."},
	"log_rotate_duration":  {kind: rotation, preset: defaultRotateDuration, doc: "The age from which on the log file is set aside, counted from when it was opened; -1 for no limit."},
	"log_rotate_max_files": {kind: whole, doc: "How many log files that were set aside are kept; 0 keeps all, -1 none."},

	"disable_idle_connections": {kind: subsystems, doc: "Of which traffic with Vault no idle connections are kept: auto-auth, proxying or caching, which is the same as proxying."},
	"disable_keep_alives":      {kind: subsystems, doc: "Of which traffic with Vault each connection is closed after one request: auto-auth, proxying or caching, which is the same as proxying."},

	"exit_after_auth":  {kind: boolean},
	"shutdown_timeout": {kind: duration, preset: 10 * time.Second}, // ours

	"template":        noTemplates,
	"env_template":    noTemplates,
	"exec":            noTemplates,
	"template_config": {block: single, standing: noEffect, because: "there are no templates yet"},
	"telemetry":       {block: single, standing: noEffect, because: "it is not built yet"},
}.
	with(noneInVault, "disable_mlock", "cluster_name", "default_max_request_duration", "administrative_namespace_path").
	with(serverOnly, "storage", "ha_storage", "backend", "seal", "hsm", "kms", "entropy", "user_lockout", "cloud", "ui", "api_addr", "cluster_addr", "plugin_directory", "plugin_tmpdir", "plugin_file_uid", "plugin_file_permissions", "max_lease_ttl",
		"default_lease_ttl", "raw_storage_endpoint", "introspection_endpoint", "disable_cache", "cache_size", "disable_clustering",
		"disable_performance_standby", "disable_sealwrap", "disable_indexing", "disable_sentinel_trace", "disable_printable_check",
		"enable_response_header_hostname", "enable_response_header_raft_node_id", "license_path", "service_registration", "sentinel",
		"reporting", "replication", "experiments", "detect_deadlocks", "imprecise_lease_role_tracking", "enable_post_unseal_trace",
		"post_unseal_trace_directory")

var vaultKeys = table{
	"address":         {kind: text, example: `"https://vault.example:8200"`},
	"addresses":       {kind: texts, example: `["https://vault-0.example:8200", "https://vault-1.example:8200"]`}, // ours
	"ca_cert":         {kind: text},
	"ca_path":         {kind: text},
	"client_cert":     {kind: text},
	"client_key":      {kind: text},
	"tls_skip_verify": {kind: boolean},
	"tls_server_name": {kind: text},
	"namespace":       {kind: text},
	"retry":           {block: single},

	"health_check_interval": {kind: duration, preset: 5 * time.Second, floor: true}, // ours, as the next two
	"pass_redirects":        {kind: boolean},
	"redirect_hosts":        {kind: texts, example: `["vault-0.internal:8200", "*.vault.internal"]`},
}

var retryKeys = table{
	"num_retries":     {kind: whole},
	"safe_only":       {kind: boolean},                                         // ours, as the next two
	"max_wait":        {kind: duration, preset: 10 * time.Second, floor: true}, //
	"max_replay_size": {kind: limit, preset: int64(defaultMaxReplaySize)},      //
}

// consistencyKeys stand in api_proxy, and in the Agent's legacy form in cache.
var consistencyKeys = table{
	"enforce_consistency": {kind: oneOf("never", "always")},
	"when_inconsistent":   {kind: oneOf("fail", "retry", "forward")},
}

var apiProxyKeys = table{
	"use_auto_auth_token":          {kind: tokenUse},
	"prepend_configured_namespace": {kind: boolean},
	"x_forwarded_for":              {kind: oneOf("off", "append", "replace")}, // ours
	"enforce_consistency":          consistencyKeys["enforce_consistency"],
	"when_inconsistent":            consistencyKeys["when_inconsistent"],
}

var cacheKeys = table{
	"persist":              {block: single},
	"report_remaining_ttl": {kind: boolean, preset: true},                                 // ours
	"max_entry_size":       {kind: size, preset: int64(defaultMaxEntrySize), floor: true}, // ours, as all up to rule
	"renew_at":             {kind: share, preset: defaultRenewAt},
	"renew_rate":           {kind: perSec, preset: defaultRenewRate},
	"replace_before":       {kind: share, preset: defaultReplaceBefore, example: "0.1"},
	"refresh_ahead":        {kind: boolean},
	"cache_non_renewable":  {kind: boolean},
	"min_token_ttl":        {kind: duration},
	"revoke_on_exit":       {kind: boolean},
	"max_size":             {kind: limit, preset: int64(defaultMaxSize), example: `"512MiB"`},
	"max_entries":          {kind: whole},
	"rule":                 {block: several},

	"cache_static_secrets":            {kind: boolean, standing: refused, remedy: "set it to false: static secrets pass through uncached"},
	"disable_caching_dynamic_secrets": {kind: boolean},
	"static_secret_token_capability_refresh_interval": {kind: duration, standing: noEffect,
		because: "it belongs to cache_static_secrets, which is not built yet"},
	"static_secret_token_capability_refresh_behavior": {kind: oneOf("optimistic", "pessimistic"), standing: noEffect,
		because: "it belongs to cache_static_secrets, which is not built yet"},

	"use_auto_auth_token": {kind: tokenUse, standing: deprecated, remedy: "write it in an api_proxy stanza"},
	"enforce_consistency": consistencyKeys["enforce_consistency"],
	"when_inconsistent":   consistencyKeys["when_inconsistent"],
}

var ruleKeys = table{
	"path":                {kind: text},
	"cache":               {kind: boolean, preset: true},
	"cache_non_renewable": {kind: boolean},
	"refresh_ahead":       {kind: boolean},
	"replace_before":      {kind: share, example: "0.1"},
}

var listenerKeys = table{
	"type":                     {kind: text},
	"address":                  {kind: text, preset: defaultListenAddress, example: `"127.0.0.1:8200"`},
	"auto_auth":                {kind: text, example: `"payments"`}, // ours: the name of a stanza
	"role":                     {kind: oneOf("default", "metrics_only")},
	"require_request_header":   {kind: boolean},
	"agent_api":                {block: single},
	"proxy_api":                {block: single},
	"tls_disable":              {kind: boolean},
	"tls_cert_file":            {kind: text},
	"tls_key_file":             {kind: text},
	"http_read_header_timeout": {kind: backoff, preset: 10 * time.Second, floor: true},
	"http_read_timeout":        {kind: backoff, preset: 30 * time.Second, floor: true},
	"http_write_timeout":       {kind: backoff, floor: true},
	"http_idle_timeout":        {kind: backoff, preset: 5 * time.Minute, floor: true},
	"max_request_size":         {kind: limit},
	"max_header_size":          {kind: size, preset: int64(defaultMaxHeaderSize), floor: true}, // ours, as the next one
	"max_concurrent_requests":  {kind: whole, preset: defaultMaxConcurrent},

	"socket_mode":  {kind: fileMode, example: `"0660"`, doc: "The permissions of the file of a unix listener, in octal; who may write may connect."},
	"socket_user":  {kind: account, doc: "The user, by name or number, who owns the file of a unix listener."},
	"socket_group": {kind: account, doc: "The group, by name or number, of the file of a unix listener."},
	"systemd_socket": {kind: text, example: `"leasehold"`, // ours
		doc: "The FileDescriptorName of the socket of systemd that the listener uses; without it the one at the listener's address, if there is one."},

	"tls_min_version":                    {kind: oneOf("tls12", "tls10", "tls11", "tls13"), doc: "The lowest version of TLS that clients may speak."},
	"tls_max_version":                    {kind: oneOf("tls13", "tls10", "tls11", "tls12"), doc: "The highest version of TLS that clients may speak."},
	"tls_cipher_suites":                  {kind: texts, example: `"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"`, doc: "The cipher suites up to TLS 1.2, by Go's names; those of TLS 1.3 are fixed."},
	"tls_require_and_verify_client_cert": {kind: boolean, doc: "Whether clients must show a certificate that tls_client_ca_file vouches for."},
	"tls_client_ca_file":                 {kind: text, doc: "The PEM bundle that clients' certificates are verified against; the system's roots when it is absent."},
	"tls_disable_client_certs":           {kind: boolean, doc: "Whether clients are not even asked for a certificate."},

	"max_request_duration": {kind: duration, doc: "The longest that a request may take together with its answer, streamed ones as well; 0 for no limit."},

	"x_forwarded_for_authorized_addrs":            {kind: networks, standing: noEffect, because: useForwardedFor},
	"x_forwarded_for_hop_skips":                   {kind: count, standing: noEffect, because: useForwardedFor},
	"x_forwarded_for_reject_not_present":          {kind: boolean, preset: true, standing: noEffect, because: useForwardedFor},
	"x_forwarded_for_reject_not_authorized":       {kind: boolean, preset: true, standing: noEffect, because: useForwardedFor},
	"x_forwarded_for_client_cert_header":          {kind: text, standing: noEffect, because: useForwardedFor},
	"x_forwarded_for_client_cert_header_decoders": {kind: text, standing: noEffect, because: useForwardedFor},
	"proxy_protocol_behavior":                     {kind: oneOf("", "use_always", "allow_authorized", "deny_unauthorized"), standing: noEffect, because: "it has none in Vault Proxy either"},
	"proxy_protocol_authorized_addrs":             {kind: networks, standing: noEffect, because: "it has none in Vault Proxy either"},
}.
	and(rightsKeys).
	with(serverOnly, "purpose", "cluster_address", "cors_enabled", "cors_allowed_origins", "cors_allowed_headers",
		"custom_response_headers", "chroot_namespace", "redact_addresses", "redact_cluster_name", "redact_version",
		"disable_request_limiter", "disable_replication_status_endpoints", "max_json_depth", "max_json_string_value_length",
		"max_json_object_entry_count", "max_json_array_element_count", "telemetry", "profiling", "inflight_requests_logging")

// controlKeys are those of a listener's agent_api and proxy_api.
var controlKeys = table{
	"enable_quit":   {kind: boolean},
	"enable_reauth": {kind: boolean}, // ours
}
