package config

import "fmt"

// apiProxyAndCache reads both stanzas: what cache says in the Agent's legacy keys belongs to api_proxy.
func (d *decoder) apiProxyAndCache(top section) (APIProxy, *Cache) {
	var proxy APIProxy
	var legacy section
	var cache *Cache
	if b, ok := d.only(top, "cache"); ok {
		legacy = d.section("cache", b, cacheKeys)
		cache = d.cache(legacy)
	}
	s := section{}
	if b, ok := d.only(top, "api_proxy"); ok {
		s = d.section("api_proxy", b, apiProxyKeys)
		proxy.Pos = s.pos
	}
	for _, key := range []string{"use_auto_auth_token", "enforce_consistency", "when_inconsistent"} {
		if at, both := legacy.at[key]; both && s.at[key] != (Pos{}) {
			d.fail(legacy.problem(at, key+" is configured in both api_proxy and cache", "remove it from cache"))
		}
	}
	// The value is carried over whole, true as well as force (CFG-9).
	proxy.UseAutoAuthToken = max(setting[TokenUse](s.Settings, "use_auto_auth_token"), setting[TokenUse](legacy.Settings, "use_auto_auth_token"))
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
