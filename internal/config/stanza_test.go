package config_test

import (
	"strings"
	"testing"
)

func TestBrokenAutoAuth(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"no method": {
			"auto_auth {\n" + tokenSink + "}\n",
			`t.hcl:1: auto_auth: one and only one "method" block is required; write for example method "approle" { ... }`,
		},
		"two methods": {
			"auto_auth {\n" + approle + approle + tokenSink + "}\n",
			`t.hcl:3: auto_auth: one and only one "method" block is required; write for example method "approle" { ... }`,
		},
		"method without a type": {
			"auto_auth {\n  method {}\n" + tokenSink + "}\n",
			`t.hcl:2: auto_auth: auth method type must be specified; write for example method "approle" { ... }`,
		},
		"method misspelt": {
			"auto_auth {\n  method \"aprole\" {}\n" + tokenSink + "}\n",
			`t.hcl:2: auto_auth: unknown auth method "aprole"; did you mean "approle"? The methods are alicloud, approle, aws, azure, cert, cf, gcp, jwt, kerberos, kubernetes, ldap, oci and token_file`,
		},
		"method nobody knows": {
			"auto_auth {\n  method \"carrierpigeon\" {}\n" + tokenSink + "}\n",
			`t.hcl:2: auto_auth: unknown auth method "carrierpigeon"; the methods are alicloud, approle, aws, azure, cert, cf, gcp, jwt, kerberos, kubernetes, ldap, oci and token_file`,
		},
		"method that is incomplete": {
			"auto_auth {\n  method \"kubernetes\" {}\n" + tokenSink + "}\n",
			`t.hcl:2: auto_auth: method.config.role is required; write for example role = "..."`,
		},
		"secret of a wrong type": {
			"auto_auth {\n  method \"aws\" {\n    config = {\n      type = \"iam\"\n      role = \"r\"\n      secret_key = 12345\n    }\n  }\n" + tokenSink + "}\n",
			`t.hcl:6: auto_auth: method.config.secret_key must be text, not a number; write for example secret_key = "..."`,
		},
		"approle without a role": {
			"auto_auth {\n  method \"approle\" {}\n" + tokenSink + "}\n",
			`t.hcl:2: auto_auth: method.config.role_id_file_path is required; write for example role_id_file_path = "/etc/leasehold/role-id"`,
		},
		"approle with an empty role": {
			"auto_auth {\n  method \"approle\" {\n    config = { role_id_file_path = \"\" }\n  }\n" + tokenSink + "}\n",
			`t.hcl:3: auto_auth: method.config.role_id_file_path must not be empty; write for example role_id_file_path = "/etc/leasehold/role-id"`,
		},
		"approle with an empty wrapping path": {
			"auto_auth {\n  method \"approle\" {\n    config = {\n      role_id_file_path = \"r\"\n      secret_id_response_wrapping_path = \"\"\n    }\n  }\n" + tokenSink + "}\n",
			`t.hcl:5: auto_auth: method.config.secret_id_response_wrapping_path must be the path that wraps secret ids, not ""; write for example secret_id_response_wrapping_path = "auth/approle/role/app/secret-id"`,
		},
		"period of zero": { // Vault Agent panics (AUT-12)
			"auto_auth {\n  method \"jwt\" {\n    config = {\n      role = \"r\"\n      path = \"p\"\n      jwt_read_period = 0\n    }\n  }\n" + tokenSink + "}\n",
			`t.hcl:6: auto_auth: method.config.jwt_read_period must be a duration above zero, not 0; write for example jwt_read_period = "1m"`,
		},
		"bounds below zero": {
			"auto_auth {\n  method \"approle\" {\n    max_attempts = -1\n    total_timeout = \"-1s\"\n    config = { role_id_file_path = \"r\" }\n  }\n" + tokenSink + "}\n",
			`t.hcl:3: auto_auth: method.max_attempts must be a whole number of zero or more, not -1; write for example max_attempts = 5` + "\n" +
				`t.hcl:4: auto_auth: method.total_timeout must be a duration of zero or more, not "-1s"; write for example total_timeout = "30s"`,
		},
		"token_file without a file": {
			"auto_auth {\n  method \"token_file\" { config = { token_file_path = 7 } }\n" + tokenSink + "}\n",
			`t.hcl:2: auto_auth: method.config.token_file_path must be text, not 7; write for example token_file_path = "/run/vault-token"`,
		},
		"wrapped login for two sinks": {
			"auto_auth {\n  method \"approle\" {\n    wrap_ttl = \"5m\"\n    config = { role_id_file_path = \"r\" }\n  }\n" + tokenSink + strings.ReplaceAll(tokenSink, "token", "token2") + "}\n",
			`t.hcl:2: auto_auth: wrapping enabled on auth method and 0 or many sinks defined; leave one sink, or remove method.wrap_ttl, and give the sink a wrap_ttl if the token is to be wrapped there`,
		},
		"wrapped login, wrapped again": {
			"auto_auth {\n  method \"approle\" {\n    wrap_ttl = \"5m\"\n    config = { role_id_file_path = \"r\" }\n  }\n  sink \"file\" {\n    wrap_ttl = \"5m\"\n    config = { path = \"token\" }\n  }\n}\n",
			`t.hcl:6: auto_auth: wrapping enabled both on auth method and sink; remove one of the two wrap_ttl`,
		},
		"wrapped login, and lent": {
			"auto_auth {\n  method \"approle\" {\n    wrap_ttl = \"5m\"\n    config = { role_id_file_path = \"r\" }\n  }\n" + tokenSink + "}\napi_proxy { use_auto_auth_token = true }\n" + tcp,
			`t.hcl:2: auto_auth: api_proxy.use_auto_auth_token is true and auto_auth uses wrapping; remove method.wrap_ttl, or use_auto_auth_token`,
		},
		"wrapped login, and needed": {
			"auto_auth {\n  method \"approle\" {\n    wrap_ttl = \"5m\"\n    config = { role_id_file_path = \"r\" }\n  }\n" + tokenSink + "}\n" +
				"cache {\n  persist \"transit\" {\n    path = \"/p\"\n    transit_key = \"k\"\n  }\n}\n" + tcp,
			`t.hcl:2: auto_auth: persist type "transit" needs a token of Vault, and auto_auth uses wrapping; remove method.wrap_ttl, or use persist "file" { ... }`,
		},
		"wrapped lookup": {
			"auto_auth {\n  method \"token_file\" {\n    wrap_ttl = \"5m\"\n    config = { token_file_path = \"r\" }\n  }\n" + tokenSink + "}\n",
			`t.hcl:2: auto_auth: wrapping enabled on auth method token_file, which does not log in; remove method.wrap_ttl, and give the sink a wrap_ttl if the token is to be wrapped there`,
		},
		"back-off upside down": {
			"auto_auth {\n  method \"approle\" {\n    min_backoff = \"10m\"\n    config = { role_id_file_path = \"r\" }\n  }\n" + tokenSink + "}\n",
			`t.hcl:3: auto_auth: method.min_backoff cannot be greater than max_backoff; write at most 5m0s, or raise max_backoff`,
		},
		"nothing to do with the token": {
			"auto_auth {\n" + approle + "}\n",
			"t.hcl:1: auto_auth: auto_auth requires at least one sink, api_proxy.use_auto_auth_token=true, or cache.cache_static_secrets=true; " +
				`add sink "file" { ... }, or api_proxy { use_auto_auth_token = true }`,
		},
		"sink of an unknown type": {
			"auto_auth {\n" + approle + "  sink \"pipe\" {}\n  sink {}\n}\n",
			`t.hcl:3: auto_auth: unknown sink type "pipe"; use sink "file"` + "\n" +
				`t.hcl:4: auto_auth: sink type must be specified; write sink "file" { ... }`,
		},
		"sink without a path": {
			"auto_auth {\n" + approle + "  sink \"file\" {}\n}\n",
			`t.hcl:3: auto_auth: sink.config.path is required; write for example path = "/run/leasehold/token"`,
		},
		"mode that forgot its zero": {
			"auto_auth {\n" + approle + "  sink \"file\" { config = {\n    path = \"t\"\n    mode = 640\n  } }\n}\n",
			`t.hcl:5: auto_auth: sink.config.mode must be octal permission bits up to 0777, not 640; write for example mode = "0640"`,
		},
		"mode in words": {
			"auto_auth {\n" + approle + "  sink \"file\" { config = {\n    path = \"t\"\n    mode = \"rw-\"\n    owner = -1\n  } }\n}\n",
			`t.hcl:5: auto_auth: sink.config.mode must be octal permission bits up to 0777, not "rw-"; write for example mode = "0640"` + "\n" +
				`t.hcl:6: auto_auth: sink.config.owner must be a name or a number, not -1; write for example owner = "app"`,
		},
	} {
		t.Run(name, func(t *testing.T) { wantProblems(t, tc.src, tc.want) })
	}
}

func TestBrokenListenerAndCache(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"unix": {
			"listener \"unix\" {\n  address = \"/run/proxy.sock\"\n}\n",
			`t.hcl:1: listener: TLS is on, and needs tls_cert_file and tls_key_file; give both files, or write tls_disable = true`,
		},
		"no type":    {"listener {}\n", `t.hcl:1: listener: listener type must be specified; write listener "tcp" { ... }`},
		"other type": {"listener \"udp\" {}\n", `t.hcl:1: listener: unsupported listener type "udp"; use listener "tcp" or listener "unix"`},
		"TLS without its files": {
			"listener \"tcp\" {\n  tls_cert_file = \"c.pem\"\n}\n",
			`t.hcl:1: listener: TLS is on, and needs tls_cert_file and tls_key_file; give both files, or write tls_disable = true`,
		},
		"address without a port": {
			"listener \"tcp\" {\n  tls_disable = true\n  address = \"127.0.0.1\"\n}\n",
			`t.hcl:3: listener: address must be host:port, not "127.0.0.1"; write for example address = "127.0.0.1:8200"`,
		},
		"port that does not exist": {
			"listener \"tcp\" {\n  tls_disable = true\n  address = \"127.0.0.1:82000\"\n}\n",
			`t.hcl:3: listener: address must be host:port, not "127.0.0.1:82000"; write for example address = "127.0.0.1:8200"`,
		},
		"address template": {
			"listener \"tcp\" {\n  tls_disable = true\n  address = \"{{ GetNothing }}:8200\"\n}\n",
			`t.hcl:3: listener: unable to parse address template "{{ GetNothing }}:8200": function "GetNothing" not defined; write for example address = "{{ GetPrivateIP }}:8200", or the address itself`,
		},
		"role": {
			"listener \"tcp\" {\n  tls_disable = true\n  role = \"metrics\"\n}\n",
			`t.hcl:3: listener: role must be "default" or "metrics_only" or "admin", not "metrics"; write for example role = "default"`,
		},
		"mutual TLS": {
			"listener \"tcp\" {\n  tls_cert_file = \"c\"\n  tls_key_file = \"k\"\n  tls_require_and_verify_client_cert = true\n  tls_disable_client_certs = true\n}\n",
			`t.hcl:5: listener: tls_disable_client_certs and tls_require_and_verify_client_cert exclude each other; remove one of the two`,
		},
		"both quit blocks are read": {
			"listener \"tcp\" {\n  tls_disable = true\n  agent_api { enable_quit = true }\n  proxy_api { enable_quit = \"x\" }\n}\n",
			`t.hcl:4: listener: proxy_api.enable_quit must be true or false, not "x"; write for example enable_quit = true`,
		},
		"size": {
			"listener \"tcp\" {\n  tls_disable = true\n  max_request_size = \"32 apples\"\n}\n",
			`t.hcl:3: listener: max_request_size must be a number of bytes, or -1 for no limit, not "32 apples"; write for example max_request_size = "32MiB"`,
		},
		"cache without a listener": {
			"cache {}\n",
			`t.hcl:1: cache: enabling the cache requires at least 1 listener to be defined; add listener "tcp" { ... }`,
		},
		"static secrets": {
			"cache {\n  cache_static_secrets = true\n}\n" + tcp,
			`t.hcl:2: cache: cache_static_secrets is not built yet; set it to false: static secrets pass through uncached`,
		},
		"cache of nothing": {
			"cache {\n  disable_caching_dynamic_secrets = true\n}\n" + tcp,
			`t.hcl:2: cache: disable_caching_dynamic_secrets is true but cache_static_secrets is not: the cache would cache nothing; remove the cache stanza`,
		},
		"refresh behaviour": {
			"cache {\n  static_secret_token_capability_refresh_behavior = \"hopeful\"\n}\n" + tcp,
			`t.hcl:2: cache: static_secret_token_capability_refresh_behavior must be "optimistic" or "pessimistic", not "hopeful"; ` +
				`write for example static_secret_token_capability_refresh_behavior = "optimistic"`,
		},
		"entry size": {
			"cache {\n  max_entry_size = -1\n}\n" + tcp,
			`t.hcl:2: cache: max_entry_size must be a number of bytes, not -1; write for example max_entry_size = "1MiB"`,
		},
		"token use in both stanzas": {
			"auto_auth {\n" + approle + "}\napi_proxy {\n  use_auto_auth_token = true\n}\ncache {\n  use_auto_auth_token = true\n}\n" + tcp,
			`t.hcl:8: cache: use_auto_auth_token is configured in both api_proxy and cache; remove it from cache`,
		},
		"shares, rates and rules": {
			"cache {\n  renew_at = 1\n  replace_before = \"110%\"\n  renew_rate = \"fast\"\n  rule {\n    cache = false\n  }\n  rule \"a/*/b\" {}\n  rule \"a/b+/c\" {}\n}\n" + tcp,
			`t.hcl:2: cache: renew_at must be a share from 0 up to, but not, 1, not 1; write for example renew_at = 0.67` + "\n" +
				`t.hcl:3: cache: replace_before must be a share from 0 up to, but not, 1, not "110%"; write for example replace_before = 0.1` + "\n" +
				`t.hcl:4: cache: renew_rate must be a number a second, or -1 for no limit, not "fast"; write for example renew_rate = 100` + "\n" +
				`t.hcl:5: cache: a rule needs the path that it is for; write for example rule "database/creds/*" { ... }` + "\n" +
				`t.hcl:8: cache: rule "a/*/b": * stands for anything, and only at the end of a path; write for example rule "database/creds/*" { ... }` + "\n" +
				`t.hcl:9: cache: rule "a/b+/c": + stands for a whole segment; write for example rule "database/creds/*" { ... }`,
		},
		"renewals without end": {
			"cache {\n  renew_at = 0\n}\n" + tcp,
			`t.hcl:2: cache: renew_at must be more than 0: renewals would never end; write for example renew_at = 0.67`,
		},
		"persist without anything": {
			"cache {\n  persist {}\n}\n" + tcp,
			`t.hcl:2: cache: persist.path is required; write for example path = "/vault/agent-cache"` + "\n" +
				`t.hcl:2: cache: persist type must be specified; write for example persist "file" { ... }: the types are auto, env, file, kubernetes, systemd and transit`,
		},
		"persist of an unknown type": {
			"cache {\n  persist \"redis\" { path = \"p\" }\n}\n" + tcp,
			`t.hcl:2: cache: unknown persist type "redis"; the types are auto, env, file, kubernetes, systemd and transit`,
		},
		"persist in a file without a key": {
			"cache {\n  persist \"file\" {\n    path = \"p\"\n  }\n}\n" + tcp,
			`t.hcl:2: cache: persist.key_file is required with type "file"; write for example key_file = "/etc/leasehold/cache.key"`,
		},
		"persist of two types": {
			"cache {\n  persist {\n    kubernetes { path = \"p\" }\n    file { path = \"p\", key_file = \"k\" }\n  }\n}\n" + tcp,
			`t.hcl:4: cache: only one "persist" block is permitted; keep one type`,
		},
	} {
		t.Run(name, func(t *testing.T) { wantProblems(t, tc.src, tc.want) })
	}
}
