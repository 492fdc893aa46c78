package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"leasehold/internal/vault"
)

func (d *decoder) method(b block) Method {
	s := d.section("auto_auth.method", b, methodKeys)
	m := Method{
		Pos:        s.pos,
		Type:       d.typeOf(s, b),
		MountPath:  strings.Trim(s.String("mount_path"), "/"),
		Namespace:  string(vault.CanonicalNamespace(s.String("namespace"))),
		MinBackoff: s.Duration("min_backoff"),
		MaxBackoff: s.Duration("max_backoff"),
		ExitOnErr:  s.Bool("exit_on_err"),
		WrapTTL:    s.Duration("wrap_ttl"),

		MaxAttempts:  s.Int("max_attempts"),
		TotalTimeout: s.Duration("total_timeout"),
	}
	if d.externalNamespace() != "" {
		d.outside(s.prefix+"namespace", "-namespace", d.flags.Namespace != "", "VAULT_NAMESPACE", d.externalNamespace())
		m.Namespace = "" // the environment's is used for everything, and stands in Vault.Namespace
	}
	if m.MountPath == "" {
		m.MountPath = "auth/" + m.Type
		d.origins.set(s.prefix+"mount_path", m.MountPath, Source{})
	}
	if m.Type == "pcf" {
		m.Type = "cf"
	}
	d.origins.becomes(s.prefix+"type", m.Type)
	if !strings.HasPrefix(m.MountPath, "auth/") && m.Type != "token_file" {
		d.warn(s.problem(s.place("mount_path"), fmt.Sprintf("method.mount_path %q does not begin with auth/", clip(m.MountPath)),
			fmt.Sprintf("did you mean %q?", clip("auth/"+m.MountPath))))
	}
	if m.MinBackoff > m.MaxBackoff {
		d.fail(s.problem(s.place("min_backoff"), "method.min_backoff cannot be greater than max_backoff",
			fmt.Sprintf("write at most %v, or raise max_backoff", m.MaxBackoff)))
	}
	keys, known := methodConfigs[m.Type]
	switch {
	case m.Type == "":
		d.fail(s.problem(s.pos, "auth method type must be specified", `write for example method "approle" { ... }`))
	case !known:
		remedy := "the methods are " + knownMethods
		if near := nearest(m.Type, maps.Keys(methodConfigs)); near != "" {
			remedy = fmt.Sprintf("did you mean %q? The methods are %s", near, knownMethods)
		}
		d.fail(s.problem(s.pos, fmt.Sprintf("unknown auth method %q", clip(m.Type)), remedy))
	}
	if known {
		m.Settings = d.inner(s, keys).Settings
	}
	return m
}

// checkWrapping refuses what cannot work when the answer to the login is wrapped, in Vault's words. That the token is lent to nobody is checked with api_proxy.
func (d *decoder) checkWrapping(s section, a *AutoAuth) {
	if a.Method.WrapTTL == 0 {
		return
	}
	const remedy = "remove method.wrap_ttl, and give the sink a wrap_ttl if the token is to be wrapped there"
	switch {
	case len(a.Sinks) != 1:
		d.fail(s.problem(a.Method.Pos, "wrapping enabled on auth method and 0 or many sinks defined", "leave one sink, or "+remedy))
	case a.Sinks[0].WrapTTL > 0:
		d.fail(s.problem(a.Sinks[0].Pos, "wrapping enabled both on auth method and sink", "remove one of the two wrap_ttl"))
	}
	if a.Method.Type == "token_file" {
		d.fail(s.problem(a.Method.Pos, "wrapping enabled on auth method token_file, which does not log in", remedy))
	}
	if a.RevokeOnExit {
		d.warn(s.problem(s.place("revoke_on_exit"), "revoke_on_exit has no effect: with method.wrap_ttl nobody here has the token", "remove one of the two"))
	}
}

// checkWrapped refuses to lend, or to use, what is handed out wrapped and so had by nobody here.
func (d *decoder) checkWrapped(cfg *Config) {
	const remedy = "remove method.wrap_ttl, or "
	for i, a := range cfg.AutoAuths {
		if a.Method.WrapTTL == 0 {
			continue
		}
		lent := slices.ContainsFunc(cfg.Listeners, func(l Listener) bool { return l.AutoAuth == a.Name && l.Role == RoleDefault })
		if lent && cfg.APIProxy.UseAutoAuthToken != Never {
			d.fail(Problem{a.Method.Pos, "auto_auth", "api_proxy.use_auto_auth_token is true and auto_auth uses wrapping", remedy + "use_auto_auth_token"})
		}
		unseals := a.Name == "" || i == 0 && cfg.AutoAuthNamed("") == nil
		if unseals && cfg.Cache != nil && cfg.Cache.Persist != nil && cfg.Cache.Persist.Type == "transit" {
			d.fail(Problem{a.Method.Pos, "auto_auth", `persist type "transit" needs a token of Vault, and auto_auth uses wrapping`, remedy + `use persist "file" { ... }`})
		}
	}
	if cfg.ExitAfterAuth {
		for _, a := range cfg.AutoAuths {
			if a.RevokeOnExit {
				d.warn(Problem{a.Pos, "auto_auth", "revoke_on_exit has no effect with exit_after_auth, whose token is for others", "remove one of the two"})
			}
		}
	}
}

// inner reads the config block of a method or a sink; without one, what is required is missing all the same.
func (d *decoder) inner(s section, keys table) section {
	b, ok := d.only(s, "config")
	if !ok {
		b = block{pos: s.pos, body: &body{}}
	}
	return d.section(s.path+".config", b, keys)
}
