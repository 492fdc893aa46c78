package config

import "time"

var autoAuthKeys = table{
	"method": {block: several},
	"sink":   {block: several},
	"sinks":  {block: several},

	"enable_reauth_on_new_credentials": {kind: boolean},
}

// sinksKeys are those of the wrapper that JSON files use: sinks { sink { ... } sink { ... } }.
var sinksKeys = table{
	"sink": {block: several},
}

var methodKeys = table{
	"type":        {kind: text},
	"mount_path":  {kind: text},
	"namespace":   {kind: text},
	"wrap_ttl":    {kind: duration, standing: refused, remedy: "remove it: the token itself is handed out"},
	"min_backoff": {kind: backoff, preset: time.Second, floor: true},
	"max_backoff": {kind: backoff, preset: 5 * time.Minute, floor: true},
	"exit_on_err": {kind: boolean},
	"config":      {block: single},
}

// The wrapping and the encryption of a sink are refused, key by key: ignoring them would write the bare token.
var sinkKeys = table{
	"type":        {kind: text},
	"config":      {block: single},
	"wrap_ttl":    {kind: duration, standing: refused, remedy: bareToken},
	"dh_type":     {kind: text, standing: refused, remedy: bareToken},
	"dh_path":     {kind: text, standing: refused, remedy: bareToken},
	"derive_key":  {kind: boolean, standing: refused, remedy: bareToken},
	"aad":         {kind: text, standing: refused, remedy: bareToken},
	"aad_env_var": {kind: text, standing: refused, remedy: bareToken},
}

const bareToken = "remove the sink, or write a bare token"

var fileSinkKeys = table{
	"path":  {kind: text, required: true, example: `"/run/leasehold/token"`},
	"mode":  {kind: fileMode, preset: writtenMode{mode: 0o640}},
	"owner": {kind: account},
	"group": {kind: account},
}

// builtMethods are the login methods that work. Files with the others are checked all the same, so that nothing new turns up later.
var builtMethods = map[string]bool{"approle": true, "token_file": true}

const builtOnly = "use approle or token_file"

// The rules that most keys of login methods follow.
var (
	needed   = rule{kind: text, required: true}
	optional = rule{kind: text}
	hidden   = rule{kind: text, secret: true}
	flag     = rule{kind: boolean}
	integer  = rule{kind: whole}
	period   = rule{kind: duration}
)

// methodConfigs holds the config block of every login method of Vault.
var methodConfigs = map[string]table{
	"alicloud": table{}.
		with(needed, "role", "region").
		with(optional, "role_arn", "role_session_name", "public_key_id", "role_name").
		with(hidden, "access_key", "access_secret", "access_token", "private_key").
		with(integer, "role_session_expiration", "session_expiration").
		with(period, "credential_poll_interval"),
	"approle": {
		"role_id_file_path":                   {kind: text, required: true, example: `"/etc/leasehold/role-id"`},
		"secret_id_file_path":                 {kind: text},
		"remove_secret_id_file_after_reading": {kind: boolean, preset: true},
		"secret_id_response_wrapping_path": {kind: text, standing: refused,
			remedy: "put the secret id itself into the file at secret_id_file_path"},
	},
	"aws": table{"type": {kind: oneOf("iam", "ec2"), required: true}}.
		with(needed, "role").
		with(optional, "region", "header_value", "nonce").
		with(hidden, "access_key", "secret_key", "session_token").
		with(period, "credential_poll_interval"),
	"azure": table{}.
		with(needed, "role", "resource").
		with(optional, "object_id", "client_id", "scope").
		with(flag, "authenticate_from_environment"),
	"cert": table{}.
		with(optional, "name", "ca_cert", "client_cert", "client_key").
		with(flag, "reload").
		with(period, "reload_period"),
	"cf": table{}.with(needed, "role"),
	"gcp": table{"type": {kind: oneOf("gce", "iam"), required: true}}.
		with(needed, "role").
		with(optional, "service_account", "project").
		with(hidden, "credentials").
		with(integer, "jwt_exp"),
	"jwt": table{}.
		with(needed, "path", "role").
		with(flag, "remove_jwt_after_reading", "remove_jwt_follows_symlinks").
		with(period, "jwt_read_period"),
	"kerberos": table{}.
		with(needed, "username", "service", "realm", "keytab_path", "krb5conf_path").
		with(flag, "disable_fast_negotiation"),
	"kubernetes": table{}.
		with(needed, "role").
		with(optional, "token_path"),
	"ldap": table{}.
		with(needed, "username", "password_file_path").
		with(flag, "remove_password_after_reading", "remove_password_follows_symlinks").
		with(period, "password_read_period"),
	"oci": table{"type": {kind: oneOf("apikey", "instance"), required: true}}.
		with(needed, "role").
		with(period, "credential_poll_interval"),
	"pcf": table{}.with(needed, "role"), // the former name of cf
	"token_file": {
		"token_file_path": {kind: text, required: true, example: `"/run/vault-token"`},
	},
}
