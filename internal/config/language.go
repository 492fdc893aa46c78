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
	"vault":     {block: single, doc: "Where Vault is, and how it is reached."},
	"auto_auth": {block: several, doc: "A login, whose token is lent to requests and written to sinks."},
	"api_proxy": {block: single, doc: "How requests are forwarded."},
	"cache":     {block: single, doc: "Turns caching on, empty or not."},
	"listener":  {block: several, doc: "A socket that clients use."},
	"admin_socket": {kind: text, example: `"/run/leasehold/admin.sock"`, implied: "see [below](#the-admin-socket)", ours: true,
		doc: "A unix socket of mode 0600 that serves Leasehold's own endpoints, all of them, and nothing of Vault; `off` for none."},
	"pid_file":   {kind: text, doc: "A file for the process id, in decimal and with mode 0600, removed at the end."},
	"log_level":  {kind: text, implied: "`info`", doc: "`trace`, `debug`, `info`, `warn` or `error`; `VAULT_LOG_LEVEL` and `-log-level` win."},
	"log_format": {kind: text, implied: "`standard`", doc: "`standard`, `json` or `logfmt`; `VAULT_LOG_FORMAT` and `-log-format` win."},

	"log_file":             {kind: text, example: `"/var/log/leasehold/proxy.log"`, doc: "A file that log lines are written to, in addition to standard error; proxy.log in it when it ends in a separator."},
	"log_rotate_bytes":     {kind: limit, example: `"100MiB"`, doc: "The size from which on the log file is set aside under another name and a new one begun."},
	"log_rotate_duration":  {kind: rotation, preset: defaultRotateDuration, doc: "The age from which on the log file is set aside, counted from when it was opened; -1 for no limit."},
	"log_rotate_max_files": {kind: whole, doc: "How many log files that were set aside are kept; 0 keeps all, -1 none."},

	"access_log": {block: single, ours: true, doc: "A log with a line for each request."},

	"disable_idle_connections": {kind: subsystems, doc: "Of which traffic with Vault no idle connections are kept: auto-auth, proxying or caching, which is the same as proxying."},
	"disable_keep_alives":      {kind: subsystems, doc: "Of which traffic with Vault each connection is closed after one request: auto-auth, proxying or caching, which is the same as proxying."},

	"exit_after_auth":  {kind: boolean, doc: "Exits with 0 once the first token is in every sink; `-exit-after-auth` wins."},
	"shutdown_timeout": {kind: duration, preset: 10 * time.Second, ours: true, doc: "How long requests under way may take after a stop was asked for."},

	"template":        noTemplates,
	"env_template":    noTemplates,
	"exec":            noTemplates,
	"template_config": {block: single, standing: noEffect, because: "there are no templates yet", doc: "How templates are rendered."},
	"telemetry":       {block: single, doc: "How metrics are called, and where they go."},
}.
	with(noneInVault, "disable_mlock", "cluster_name", "default_max_request_duration", "administrative_namespace_path").
	with(serverOnly, "storage", "ha_storage", "backend", "seal", "hsm", "kms", "entropy", "user_lockout", "cloud", "ui", "api_addr", "cluster_addr", "plugin_directory", "plugin_tmpdir", "plugin_file_uid", "plugin_file_permissions", "max_lease_ttl",
		"default_lease_ttl", "raw_storage_endpoint", "introspection_endpoint", "disable_cache", "cache_size", "disable_clustering",
		"disable_performance_standby", "disable_sealwrap", "disable_indexing", "disable_sentinel_trace", "disable_printable_check",
		"enable_response_header_hostname", "enable_response_header_raft_node_id", "license_path", "service_registration", "sentinel",
		"reporting", "replication", "experiments", "detect_deadlocks", "imprecise_lease_role_tracking", "enable_post_unseal_trace",
		"post_unseal_trace_directory")

var vaultKeys = table{
	"address":         {kind: text, example: `"https://vault.example:8200"`, implied: "`https://127.0.0.1:8200`", doc: "The URL of Vault; `VAULT_ADDR` and `-address` win."},
	"addresses":       {kind: texts, example: `["https://vault-0.example:8200", "https://vault-1.example:8200"]`, ours: true, doc: "Instead of `address`: several, the preferred one first; see [below](#several-addresses-and-none)."},
	"ca_cert":         {kind: text, implied: "system roots", doc: "A PEM file of CAs, read again when it changes; `VAULT_CACERT_BYTES`, `VAULT_CACERT` and `-ca-cert` win."},
	"ca_path":         {kind: text, implied: "system roots", doc: "A directory of PEM files of CAs; `VAULT_CAPATH` and `-ca-path` win."},
	"client_cert":     {kind: text, doc: "The PEM file of the certificate that Vault is shown, read again when it changes; `VAULT_CLIENT_CERT` and `-client-cert` win."},
	"client_key":      {kind: text, doc: "The PEM file of its key; `VAULT_CLIENT_KEY` and `-client-key` win."},
	"tls_skip_verify": {kind: boolean, doc: "Does not verify Vault's certificate; `VAULT_SKIP_VERIFY` and `-tls-skip-verify` win."},
	"tls_server_name": {kind: text, doc: "The name that Vault's certificate must have; `VAULT_TLS_SERVER_NAME` and `-tls-server-name` win."},
	"namespace":       {kind: text, implied: "root", doc: "The namespace of logins; proxied requests keep their own, unless `prepend_configured_namespace`. `VAULT_NAMESPACE` and `-namespace` win."},
	"retry":           {block: single, doc: "How requests are repeated."},

	"health_check_interval": {kind: duration, preset: 5 * time.Second, floor: true, ours: true, doc: "Between looks at each of several addresses; and how old may be what readyz knows of Vault."},
	"pass_redirects":        {kind: boolean, ours: true, doc: "Redirects of Vault go to the client; also by `VAULT_DISABLE_REDIRECTS` and `-disable-redirects`."},
	"redirect_hosts":        {kind: texts, example: `["vault-0.internal:8200", "*.vault.internal"]`, ours: true, doc: "Hosts, `host:port` or `*.domain`, that redirects may lead to beside Vault's own hosts and domains; they get to see tokens."},
}

var retryKeys = table{
	"num_retries":     {kind: whole, implied: "`12`", doc: "How often a request is sent again; 0 means the default, -1 none. `VAULT_MAX_RETRIES` wins."},
	"safe_only":       {kind: boolean, ours: true, doc: "Repeats nothing but GET, LIST and HEAD."},
	"max_wait":        {kind: duration, preset: 10 * time.Second, floor: true, ours: true, doc: "The waits of one request together, at most."},
	"max_replay_size": {kind: limit, preset: int64(defaultMaxReplaySize), ours: true, doc: "The largest body that is kept to be sent again; -1 keeps none."},
}

// consistencyKeys stand in api_proxy, and in the Agent's legacy form in cache.
var consistencyKeys = table{
	"enforce_consistency": {kind: oneOf("never", "always"), doc: "`always`: requests carry the newest `X-Vault-Index` that an answer had (Vault Enterprise), so that a client sees on every node what was written. A client that sends `X-Vault-Index`, `X-Vault-Forward` or `X-Vault-Inconsistent` itself is left alone."},
	"when_inconsistent":   {kind: oneOf("fail", "retry", "forward"), doc: "What becomes of the 412 of a node that lags behind: `fail` hands it to the client, `retry` asks again, `forward` has the node forward the request."},
}

var apiProxyKeys = table{
	"use_auto_auth_token":          {kind: tokenUse, doc: "Which requests carry the auto-auth token: none, those without a token, or all; see [below](#which-token-a-request-carries)."},
	"prepend_configured_namespace": {kind: boolean, doc: "`X-Vault-Namespace` becomes the configured namespace followed by the client's; a namespace in the path stays where it is."},
	"x_forwarded_for":              {kind: oneOf("off", "append", "replace"), ours: true, doc: "What Vault is told of a client's address: `off` what the client sent, `append` that and the address of its connection, `replace` the address alone."},
	"enforce_consistency":          consistencyKeys["enforce_consistency"],
	"when_inconsistent":            consistencyKeys["when_inconsistent"],
}

var cacheKeys = table{
	"persist":              {block: single, doc: "Keeps what is cached over a restart."},
	"report_remaining_ttl": {kind: boolean, preset: true, ours: true, doc: "Hits carry what is left of `lease_duration`; false replays the stored number."},
	"max_entry_size":       {kind: size, preset: int64(defaultMaxEntrySize), floor: true, ours: true, doc: "Larger answers and request bodies stream through uncached."},
	"renew_at":             {kind: share, preset: defaultRenewAt, ours: true, doc: "The share of a life after which it is renewed, spread by 0.05 to either side."},
	"renew_rate":           {kind: perSec, preset: defaultRenewRate, ours: true, doc: "Renewals a second toward Vault, at most. When more are due, what ends first comes first."},
	"replace_before":       {kind: share, preset: defaultReplaceBefore, example: "0.1", ours: true, doc: "The share of a life before its end at which what cannot be extended (max TTL) is replaced by the next request for it."},
	"refresh_ahead":        {kind: boolean, ours: true, doc: "Replaces leases then without a request, if they were hit since their last renewal. Their requests are kept for that, in memory and in the state file."},
	"cache_non_renewable":  {kind: boolean, ours: true, doc: "Keeps leases that cannot be renewed, until `replace_before` of their life is left."},
	"min_token_ttl":        {kind: duration, ours: true, doc: "Nothing is created under an auto-auth token with less to live: it is renewed or replaced first, and when that takes more than 5 s the request gets 503. Half the life of tokens that live shorter than that."},
	"revoke_on_exit":       {kind: boolean, ours: true, doc: "An exit revokes what was created through Leasehold and is held; see [operations](operations.md#start-and-stop)."},
	"max_size":             {kind: limit, preset: int64(defaultMaxSize), example: `"512MiB"`, ours: true, doc: "Bytes of all that is held, everything counted. Beyond it new leases pass through uncached; what is held stays until its end."},
	"max_entries":          {kind: whole, ours: true, doc: "The same, by number; 0 means no limit."},
	"rule":                 {block: several, ours: true, doc: "Exceptions for paths."},

	"cache_static_secrets":            {kind: boolean, standing: refused, remedy: "set it to false: static secrets pass through uncached", doc: "Caches static secrets."},
	"disable_caching_dynamic_secrets": {kind: boolean, doc: "Keeps dynamic secrets out of the cache."},
	"static_secret_token_capability_refresh_interval": {kind: duration, standing: noEffect,
		because: "it belongs to cache_static_secrets, which is not built yet"},
	"static_secret_token_capability_refresh_behavior": {kind: oneOf("optimistic", "pessimistic"), standing: noEffect,
		because: "it belongs to cache_static_secrets, which is not built yet"},

	"use_auto_auth_token": {kind: tokenUse, standing: deprecated, remedy: "write it in an api_proxy stanza", doc: "The former place of the key of `api_proxy`."},
	"enforce_consistency": consistencyKeys["enforce_consistency"],
	"when_inconsistent":   consistencyKeys["when_inconsistent"],
}

var ruleKeys = table{
	"path":                {kind: text, ours: true, doc: "The paths that the rule is for, if the label does not name them."},
	"cache":               {kind: boolean, preset: true, ours: true, doc: "False: nothing is kept, and nothing answered from memory."},
	"cache_non_renewable": {kind: boolean, implied: "the stanza's", ours: true, doc: "As in the stanza."},
	"refresh_ahead":       {kind: boolean, implied: "the stanza's", ours: true, doc: "As in the stanza."},
	"replace_before":      {kind: share, example: "0.1", implied: "the stanza's", ours: true, doc: "As in the stanza."},
}

var listenerKeys = table{
	"type":                     {kind: text, doc: "The type, if the label does not name it."},
	"address":                  {kind: text, preset: defaultListenAddress, example: `"127.0.0.1:8200"`, doc: "Where clients connect: `host:port`."},
	"auto_auth":                {kind: text, example: `"payments"`, implied: "the stanza without a name", ours: true, doc: "The name of the stanza whose token this listener lends, with `use_auto_auth_token`; see [several identities](#several-identities)."},
	"role":                     {kind: oneOf("default", "metrics_only", "admin"), doc: "`metrics_only` serves the metrics, readyz and livez, and nothing else; `admin` serves Leasehold's own endpoints, all of them, and nothing of Vault."},
	"require_request_header":   {kind: boolean, doc: "`X-Vault-Request: true` is required on all but the metrics, readyz and livez."},
	"agent_api":                {block: single, doc: "Leasehold's own endpoints."},
	"proxy_api":                {block: single, doc: "Leasehold's own endpoints."},
	"tls_disable":              {kind: boolean, doc: "Serves plain HTTP."},
	"tls_cert_file":            {kind: text, doc: "The PEM file of the certificate, with its chain; required unless `tls_disable`."},
	"tls_key_file":             {kind: text, doc: "The PEM file of its key, without a passphrase; required unless `tls_disable`."},
	"http_read_header_timeout": {kind: backoff, preset: 10 * time.Second, floor: true, doc: "How long a request's line and headers may take."},
	"http_read_timeout":        {kind: backoff, preset: 30 * time.Second, floor: true, doc: "How long each 64 KiB of a body may take; it runs only while Leasehold waits for the client."},
	"http_write_timeout":       {kind: backoff, floor: true, implied: "none", doc: "How long a whole answer may take."},
	"http_idle_timeout":        {kind: backoff, preset: 5 * time.Minute, floor: true, doc: "How long a connection may wait for its next request."},
	"max_request_size":         {kind: limit, implied: "`32MiB`", doc: "The largest body; 413 beyond, -1 for no limit. That of a Raft snapshot that is restored is never bounded, as in Vault."},
	"max_header_size":          {kind: size, preset: int64(defaultMaxHeaderSize), floor: true, ours: true, doc: "The largest line and headers of a request; 431 beyond."},
	"max_concurrent_requests":  {kind: whole, preset: defaultMaxConcurrent, ours: true, doc: "Requests for Vault at one time; 429 with `Retry-After` beyond, -1 for no limit."},

	"socket_mode":  {kind: fileMode, example: `"0660"`, doc: "The permissions of the file of a unix listener, in octal; who may write may connect."},
	"socket_user":  {kind: account, doc: "The user, by name or number, who owns the file of a unix listener."},
	"socket_group": {kind: account, doc: "The group, by name or number, of the file of a unix listener."},
	"systemd_socket": {kind: text, example: `"leasehold"`, ours: true,
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
	with(serverOnly.of(boolean), "cors_enabled", "redact_addresses", "redact_cluster_name", "redact_version", "disable_request_limiter",
		"disable_replication_status_endpoints").
	with(serverOnly.of(text), "cluster_address", "chroot_namespace").
	with(serverOnly.of(texts), "purpose", "cors_allowed_origins", "cors_allowed_headers").
	with(serverOnly.of(count), "max_json_depth", "max_json_string_value_length", "max_json_object_entry_count", "max_json_array_element_count").
	with(serverOnly.blocks(), "custom_response_headers", "telemetry", "profiling", "inflight_requests_logging")

// controlKeys are those of a listener's agent_api and proxy_api.
var controlKeys = table{
	"enable_quit":   {kind: boolean, doc: "Serves quit, under both prefixes."},
	"enable_reauth": {kind: boolean, ours: true, doc: "Serves [reauth](auto-auth.md#it-heals-itself), under both prefixes."},
	"enable_status": {kind: boolean, ours: true, doc: "Serves [status, leases and explain](operations.md#look-inside), events and the [status page](operations.md#the-status-page), under both prefixes."},
}
