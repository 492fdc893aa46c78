package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
		d.origins.move("cache."+key, "api_proxy."+key)
		if at, both := legacy.at[key]; both && s.at[key] != (Pos{}) {
			d.fail(legacy.problem(at, key+" is configured in both api_proxy and cache", "remove it from cache"))
		}
	}
	// The value is carried over whole, true as well as force (CFG-9).
	proxy.UseAutoAuthToken = max(setting[TokenUse](s.Settings, "use_auto_auth_token"), setting[TokenUse](legacy.Settings, "use_auto_auth_token"))
	proxy.Consistency = d.consistency(s, legacy)
	if len(cfg.Listeners) == 0 {
		d.origins.idle(s, slices.Collect(maps.Keys(apiProxyKeys))...)
	}
	if len(top.blocks["auto_auth"]) > 0 {
		return proxy, cache
	}
	if cache != nil && cache.Persist != nil && cache.Persist.Type == "transit" {
		d.fail(legacy.problem(cache.Persist.Pos, `persist type "transit" needs a token of Vault, and auto_auth is not configured`,
			`add an auto_auth stanza, or use persist "file" { ... }`))
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
	if a := cfg.AutoAuthNamed(""); ns == "" && a != nil {
		ns = vault.CanonicalNamespace(a.Method.Namespace)
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
		RenewAt:            setting[float64](s.Settings, "renew_at"),
		RenewRate:          setting[float64](s.Settings, "renew_rate"),
		ReplaceBefore:      setting[float64](s.Settings, "replace_before"),
		RefreshAhead:       s.Bool("refresh_ahead"),
		CacheNonRenewable:  s.Bool("cache_non_renewable"),
		MinTokenTTL:        setting[time.Duration](s.Settings, "min_token_ttl"),
		RevokeOnExit:       s.Bool("revoke_on_exit"),
		MaxSize:            setting[int64](s.Settings, "max_size"),
		MaxEntries:         max(setting[int](s.Settings, "max_entries"), 0),
	}
	if c.RenewAt == 0 {
		d.fail(s.problem(s.place("renew_at"), "renew_at must be more than 0: renewals would never end", "write for example renew_at = 0.67"))
	}
	if c.MaxSize == 0 {
		c.MaxSize = defaultMaxSize
		d.origins.set("cache.max_size", c.MaxSize, Source{})
	}
	first := map[string]Pos{} // of the rules for a path, the one that holds
	for _, b := range typed(s.blocks["rule"], ruleKeys) {
		r := d.rule(b, c)
		c.Rules = append(c.Rules, r)
		if at, again := first[r.Path]; again {
			d.warn(s.problem(r.Pos, fmt.Sprintf("rule %q has no effect: the one at line %d holds", clip(r.Path), at.Line), "remove one of them"))
		} else {
			first[r.Path] = r.Pos
		}
	}
	for i, b := range typed(s.blocks["persist"], persistKeys) {
		c.Persist = d.persist(b)
		if i > 0 {
			d.fail(s.problem(b.pos, `only one "persist" block is permitted`, "keep one type"))
		}
	}
	return c
}

// rule reads a rule of c, whose own keys have been read.
func (d *decoder) rule(b block, c *Cache) Rule {
	s := d.section("cache.rule", b, ruleKeys)
	d.idleLabels(s, b, 1)
	r := Rule{
		Pos: s.pos, Path: s.String("path"), Cache: s.Bool("cache"),
		CacheNonRenewable: c.CacheNonRenewable, RefreshAhead: c.RefreshAhead, ReplaceBefore: c.ReplaceBefore,
	}
	if r.Path == "" && len(b.labels) > 0 {
		r.Path = b.labels[0]
		d.origins.set(s.prefix+"path", r.Path, Source{Kind: SourceFile, Pos: b.pos})
	}
	r.Path = strings.TrimPrefix(strings.TrimPrefix(r.Path, "/"), "v1/")
	d.origins.becomes(s.prefix+"path", r.Path)
	if text := brokenPattern(r.Path); text != "" {
		d.fail(s.problem(s.place("path"), text, `write for example rule "database/creds/*" { ... }`))
	}
	d.inherited(s, r)
	for key := range s.at {
		switch {
		case key != "path" && key != "cache" && !r.Cache:
			d.warn(s.problem(s.at[key], "rule."+key+" has no effect with cache = false", "remove it"))
		case key == "cache_non_renewable":
			r.CacheNonRenewable = s.Bool(key)
		case key == "refresh_ahead":
			r.RefreshAhead = s.Bool(key)
		case key == "replace_before":
			r.ReplaceBefore = setting[float64](s.Settings, key)
		}
	}
	return r
}

// inherited notes what the rule has of its stanza.
func (d *decoder) inherited(s section, r Rule) {
	for key, v := range map[string]any{"cache_non_renewable": r.CacheNonRenewable, "refresh_ahead": r.RefreshAhead, "replace_before": r.ReplaceBefore} {
		if _, given := s.at[key]; !given {
			d.origins.set(s.prefix+key, v, Source{})
		}
		if !r.Cache {
			d.origins.idle(s, key)
		}
	}
}

// brokenPattern says what is wrong with the path of a rule; "" when nothing is.
func brokenPattern(path string) string {
	if path == "" {
		return "a rule needs the path that it is for"
	}
	if strings.Contains(strings.TrimSuffix(path, "*"), "*") {
		return fmt.Sprintf("rule %q: * stands for anything, and only at the end of a path", clip(path))
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment != "+" && strings.Contains(segment, "+") {
			return fmt.Sprintf("rule %q: + stands for a whole segment", clip(path))
		}
	}
	return ""
}
