package config

import (
	"fmt"

	"leasehold/internal/vault"
)

// apiProxyAndCache reads both stanzas: what cache says in the Agent's legacy keys belongs to api_proxy. The vault and auto_auth stanzas have been read.
func (d *decoder) apiProxyAndCache(top section, cfg *Config) (APIProxy, *Cache) {
	var proxy APIProxy
	var legacy section
	var cache *Cache
	if b, ok := d.only(top, "cache"); ok {
		legacy = d.section("cache", b, cacheKeys)
		cache = d.cache(legacy)
	}
	b, _ := d.only(top, "api_proxy")
	s := d.section("api_proxy", b, apiProxyKeys)
	proxy.Pos = s.pos
	proxy.XForwardedFor = forwardedFor[s.String("x_forwarded_for")]
	proxy.PrependNamespace = d.prepended(s, cfg)
	for _, key := range []string{"use_auto_auth_token", "enforce_consistency", "when_inconsistent"} {
		if at, both := legacy.at[key]; both && s.at[key] != (Pos{}) {
			d.fail(legacy.problem(at, key+" is configured in both api_proxy and cache", "remove it from cache"))
		}
	}
	// The value is carried over whole, true as well as force (CFG-9).
	proxy.UseAutoAuthToken = max(setting[TokenUse](s.Settings, "use_auto_auth_token"), setting[TokenUse](legacy.Settings, "use_auto_auth_token"))
	proxy.Consistency = d.consistency(s, legacy)
	if len(top.blocks["auto_auth"]) > 0 {
		return proxy, cache
	}
	for _, from := range []section{s, legacy} {
		if setting[TokenUse](from.Settings, "use_auto_auth_token") != Never {
			text := from.path + ".use_auto_auth_token is true but auto_auth not configured"
			d.fail(from.problem(from.place("use_auto_auth_token"), text, "add an auto_auth stanza, or remove the key"))
		}
	}
	return proxy, cache
}

var (
	forwardedFor = map[string]ForwardedFor{"off": ForwardedForOff, "append": ForwardedForAppend, "replace": ForwardedForReplace}
	inconsistent = map[string]Consistency{"fail": ConsistencyFail, "retry": ConsistencyRetry, "forward": ConsistencyForward}
)

// consistency reads both keys wherever they stand; where they stand twice, that has been reported.
func (d *decoder) consistency(proxy, legacy section) Consistency {
	enforce, when := proxy, proxy
	if _, given := legacy.at["enforce_consistency"]; given {
		enforce = legacy
	}
	if _, given := legacy.at["when_inconsistent"]; given {
		when = legacy
	}
	if enforce.String("enforce_consistency") != "always" {
		if at, given := when.at["when_inconsistent"]; given {
			d.warn(when.problem(at, `when_inconsistent has no effect without enforce_consistency = "always"`, "remove it, or set enforce_consistency"))
		}
		return ConsistencyNever
	}
	return inconsistent[when.String("when_inconsistent")]
}

// prepended is the namespace that prepend_configured_namespace puts before those of requests.
func (d *decoder) prepended(s section, cfg *Config) string {
	if !s.Bool("prepend_configured_namespace") {
		return ""
	}
	ns := vault.CanonicalNamespace(cfg.Vault.Namespace)
	if ns == "" && cfg.AutoAuth != nil {
		ns = vault.CanonicalNamespace(cfg.AutoAuth.Method.Namespace)
	}
	if ns == "" {
		d.warn(s.problem(s.place("prepend_configured_namespace"), "prepend_configured_namespace has no effect: no namespace is configured",
			"set vault.namespace or VAULT_NAMESPACE"))
	}
	return string(ns)
}

func (d *decoder) cache(s section) *Cache {
	if s.Bool("disable_caching_dynamic_secrets") && !s.Bool("cache_static_secrets") {
		d.fail(s.problem(s.place("disable_caching_dynamic_secrets"),
			"disable_caching_dynamic_secrets is true but cache_static_secrets is not: the cache would cache nothing", "remove the cache stanza"))
	}
	c := &Cache{
		Pos:                s.pos,
		ReportRemainingTTL: s.Bool("report_remaining_ttl"),
		MaxEntrySize:       setting[int64](s.Settings, "max_entry_size"),
	}
	for i, b := range typed(s.blocks["persist"], persistKeys) {
		c.Persist = d.persist(b)
		if i > 0 {
			d.fail(s.problem(b.pos, `only one "persist" block is permitted`, "keep one type"))
		}
	}
	return c
}

func (d *decoder) persist(b block) *Persist {
	s := d.section("cache.persist", b, persistKeys)
	p := &Persist{
		Pos:                     s.pos,
		Type:                    d.typeOf(s, b),
		Path:                    s.String("path"),
		KeepAfterImport:         s.Bool("keep_after_import"),
		ExitOnErr:               s.Bool("exit_on_err"),
		ServiceAccountTokenFile: s.String("service_account_token_file"),
		KeyFile:                 s.String("key_file"),
	}
	unused := ""
	switch p.Type {
	case "kubernetes":
		unused = "key_file"
	case "file":
		unused = "service_account_token_file"
		if p.KeyFile == "" {
			d.fail(s.problem(s.place("key_file"), `persist.key_file is required with type "file"`, `write for example key_file = "/etc/leasehold/cache.key"`))
		}
	case "":
		d.fail(s.problem(s.pos, "persist type must be specified", `write persist "kubernetes" { ... } or persist "file" { ... }`))
	default:
		d.fail(s.problem(s.pos, fmt.Sprintf("unknown persist type %q", clip(p.Type)), "write kubernetes or file"))
	}
	if at, given := s.at[unused]; given {
		d.warn(s.problem(at, fmt.Sprintf("persist.%s has no effect with type %q", unused, p.Type), "remove it"))
	}
	return p
}
