package config

import "time"

var autoAuthKeys = table{
	"method": {block: several, doc: "How to log in; exactly one."},
	"sink":   {block: several, doc: "Where the token is written; any number."},
	"sinks":  {block: several, doc: "A wrapper of sinks, for JSON."},
	"name":   {kind: text, ours: true, doc: "The name of one stanza among several, if the label does not say it: letters, digits, `_` and `-`; see [several identities](#several-identities)."},

	"enable_reauth_on_new_credentials": {kind: boolean, doc: "New credentials are used at once, and not with the next login."},
	"revoke_on_exit":                   {kind: boolean, ours: true, doc: "The token is revoked at every end but a crash and that of `exit_after_auth`, and its leases with it."},
}

// sinksKeys are those of the wrapper that JSON files use: sinks { sink { ... } sink { ... } }.
var sinksKeys = table{
	"sink": {block: several, doc: "As in the stanza."},
}

var methodKeys = table{
	"type":        {kind: text, doc: "The method, if the label does not name it: alicloud, approle, aws, azure, cert, cf, gcp, jwt, kerberos, kubernetes, ldap, oci or token_file."},
	"mount_path":  {kind: text, implied: "`auth/<type>`", doc: "Where the method is mounted."},
	"namespace":   {kind: text, implied: "that of `vault`", doc: "The namespace of the login."},
	"wrap_ttl":    {kind: duration, doc: "Has Vault wrap the login for the one sink; nothing is lent then."},
	"min_backoff": {kind: backoff, preset: time.Second, floor: true, doc: "The wait after the first failed login."},
	"max_backoff": {kind: backoff, preset: 5 * time.Minute, floor: true, doc: "The longest wait between failed logins."},
	"exit_on_err": {kind: boolean, doc: "The first failed login ends the process with 1."},
	"config":      {block: single, doc: "What the method itself needs."},

	"max_attempts":  {kind: count, ours: true, doc: "Failed logins in a row after which the process ends with 3 (Vault refuses) or 4; 0 means for ever. What fails while a token is held does not count."},
	"total_timeout": {kind: duration, ours: true, doc: "The same, by the time that they take."},
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
		with(optional, "region").
		with(hidden, "access_key", "secret_key", "session_token", "header_value", "nonce").
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
