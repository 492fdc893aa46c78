package daemon

// isLive reports whether a reload puts another value of a setting to use. For what is not known it needs a restart.
func isLive(key string) bool { return verdicts[key] }

const live, restart = true, false

// verdicts say of every setting whether a reload puts it to use. What needs a restart is what a socket, a login or the state file was opened with, and
// a stanza that comes or goes.
var verdicts = map[string]bool{
	"vault.address":               restart, // the state file, the leases held and the tokens belong to one Vault
	"vault.addresses":             restart,
	"vault.health_check_interval": restart,
	"vault.namespace":             restart, // logins use it
	"vault.ca_cert":               live,
	"vault.ca_path":               live,
	"vault.client_cert":           live,
	"vault.client_key":            live,
	"vault.tls_server_name":       live,
	"vault.tls_skip_verify":       live,
	"vault.retry.num_retries":     live,
	"vault.retry.safe_only":       live,
	"vault.retry.max_wait":        live,
	"vault.retry.max_replay_size": live,
	"vault.pass_redirects":        live,
	"vault.redirect_hosts":        live,

	"auto_auth":                                  restart,
	"auto_auth.name":                             restart,
	"auto_auth.method.type":                      restart,
	"auto_auth.method.mount_path":                restart,
	"auto_auth.method.namespace":                 restart,
	"auto_auth.method.min_backoff":               restart,
	"auto_auth.method.max_backoff":               restart,
	"auto_auth.method.exit_on_err":               restart,
	"auto_auth.method.wrap_ttl":                  restart,
	"auto_auth.method.config":                    restart,
	"auto_auth.method.max_attempts":              restart,
	"auto_auth.method.total_timeout":             restart,
	"auto_auth.sink":                             restart,
	"auto_auth.sink.type":                        restart,
	"auto_auth.sink.path":                        restart,
	"auto_auth.sink.mode":                        restart,
	"auto_auth.sink.owner":                       restart,
	"auto_auth.sink.group":                       restart,
	"auto_auth.sink.keep_existing":               restart,
	"auto_auth.sink.wrap_ttl":                    restart,
	"auto_auth.sink.dh_path":                     restart,
	"auto_auth.sink.derive_key":                  restart,
	"auto_auth.sink.aad":                         restart,
	"auto_auth.enable_reauth_on_new_credentials": restart,
	"auto_auth.revoke_on_exit":                   restart,

	"api_proxy.use_auto_auth_token":          live,
	"api_proxy.prepend_configured_namespace": live,
	"api_proxy.enforce_consistency":          live,
	"api_proxy.x_forwarded_for":              live,

	"cache":                      restart,
	"cache.report_remaining_ttl": live,
	"cache.max_entry_size":       live,
	"cache.renew_at":             live,
	"cache.renew_rate":           live,
	"cache.replace_before":       live,
	"cache.refresh_ahead":        live,
	"cache.cache_non_renewable":  live,
	"cache.min_token_ttl":        restart, // logins have planned with it
	"cache.revoke_on_exit":       live,
	"cache.max_size":             live,
	"cache.max_entries":          live,
	"cache.rule":                 live,

	"cache.persist":                            restart,
	"cache.persist.type":                       restart,
	"cache.persist.path":                       restart,
	"cache.persist.keep_after_import":          restart,
	"cache.persist.exit_on_err":                restart,
	"cache.persist.service_account_token_file": restart,
	"cache.persist.key_file":                   restart,
	"cache.persist.credential":                 restart,
	"cache.persist.key_env":                    restart,
	"cache.persist.transit_mount":              restart,
	"cache.persist.transit_key":                restart,

	"listener":                          restart,
	"listener.address":                  restart,
	"listener.tls_disable":              restart,
	"listener.tls_cert_file":            live,
	"listener.tls_key_file":             live,
	"listener.auto_auth":                restart,
	"listener.role":                     live,
	"listener.require_request_header":   live,
	"listener.enable_quit":              live,
	"listener.enable_reauth":            live,
	"listener.http_read_header_timeout": restart, // net/http takes timeouts and max_header_size once
	"listener.http_read_timeout":        restart,
	"listener.http_write_timeout":       restart,
	"listener.http_idle_timeout":        restart,
	"listener.max_request_size":         live,
	"listener.max_header_size":          restart,
	"listener.max_concurrent_requests":  live,

	"pid_file":         restart,
	"log_level":        live,
	"log_format":       restart,
	"log_file":         restart, // its name and rotation; the file itself is opened anew at each reload
	"exit_after_auth":  restart,
	"shutdown_timeout": live,

	"disable_idle_connections/disable_keep_alives": live,
}
