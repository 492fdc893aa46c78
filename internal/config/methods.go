package config

import "time"

var autoAuthKeys = table{
	"method": {block: several},
	"sink":   {block: several},
	"sinks":  {block: several},
	"name":   {kind: text}, // ours: of one stanza among several

	"enable_reauth_on_new_credentials": {kind: boolean},
	"revoke_on_exit":                   {kind: boolean}, // ours
}

// sinksKeys are those of the wrapper that JSON files use: sinks { sink { ... } sink { ... } }.
var sinksKeys = table{
	"sink": {block: several},
}

var methodKeys = table{
	"type":        {kind: text},
	"mount_path":  {kind: text},
	"namespace":   {kind: text},
	"wrap_ttl":    {kind: duration},
	"min_backoff": {kind: backoff, preset: time.Second, floor: true},
	"max_backoff": {kind: backoff, preset: 5 * time.Minute, floor: true},
	"exit_on_err": {kind: boolean},
	"config":      {block: single},

	"max_attempts":  {kind: count}, // ours, as the next one
	"total_timeout": {kind: duration},
}

const knownMethods = "alicloud, approle, aws, azure, cert, cf, gcp, jwt, kerberos, kubernetes, ldap, oci and token_file"

// The rules that most keys of login methods follow.
var (
	needed   = rule{kind: text, required: true}
	optional = rule{kind: text}
	hidden   = rule{kind: text, secret: true}
	flag     = rule{kind: boolean}
	flagOn   = rule{kind: boolean, preset: true}
	integer  = rule{kind: whole}
	period   = rule{kind: interval, preset: time.Minute} // in which credentials are looked at (AUT-12)
)

// methodConfigs holds the config block of every login method of Vault.
var methodConfigs = map[string]table{
	"alicloud": table{}.
		with(needed, "role", "region").
		with(optional, "role_arn", "role_session_name", "public_key_id", "role_name").
		with(hidden, "access_key", "access_secret", "access_token", "private_key").
		with(integer, "role_session_expiration", "session_expiration").
		with(period, "credential_poll_interval"),
	"approle": table{
		"role_id_file_path":                {kind: text, required: true, example: `"/etc/leasehold/role-id"`},
		"secret_id_response_wrapping_path": {kind: matching("the path that wraps secret ids", `"auth/approle/role/app/secret-id"`, notEmpty)},
	}.
		with(optional, "secret_id_file_path").
		with(flagOn, "remove_secret_id_file_after_reading"),
	"aws": table{"type": {kind: oneOf("iam", "ec2"), required: true}}.
		with(needed, "role").
		with(optional, "region", "header_value", "nonce").
		with(hidden, "access_key", "secret_key", "session_token").
		with(period, "credential_poll_interval"),
	"azure": table{}.
		with(needed, "role", "resource").
		with(optional, "object_id", "client_id", "scope").
		with(flag, "authenticate_from_environment"),
	"cert": table{"reload_period": {kind: interval, preset: time.Minute}}.
		with(optional, "name", "ca_cert", "client_cert", "client_key").
		with(flag, "reload"),
	"cf": table{}.with(needed, "role"),
	"gcp": table{
		"type":    {kind: oneOf("gce", "iam"), required: true},
		"jwt_exp": {kind: whole, preset: 15}, // minutes
	}.
		with(needed, "role").
		with(optional, "service_account", "project").
		with(hidden, "credentials"),
	"jwt": table{}.
		with(needed, "path", "role").
		with(flagOn, "remove_jwt_after_reading").
		with(flag, "remove_jwt_follows_symlinks").
		with(period, "jwt_read_period"),
	"kerberos": table{}.
		with(needed, "username", "service", "realm", "keytab_path", "krb5conf_path").
		with(flag, "disable_fast_negotiation"),
	"kubernetes": table{"token_path": {kind: text, preset: defaultTokenJWT}}.
		with(needed, "role"),
	"ldap": table{}.
		with(needed, "username", "password_file_path").
		with(flagOn, "remove_password_after_reading").
		with(flag, "remove_password_follows_symlinks").
		with(period, "password_read_period"),
	"oci": table{"type": {kind: oneOf("apikey", "instance"), required: true}}.
		with(needed, "role").
		with(period, "credential_poll_interval"),
	"pcf": table{}.with(needed, "role"), // the former name of cf (AUT-1)
	"token_file": {
		"token_file_path": {kind: text, required: true, example: `"/run/vault-token"`},
	},
}
