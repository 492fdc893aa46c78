package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// tables are all of the language, by the path of the stanza; a login method's config block has the method's name behind it.
func tables() map[string]table {
	all := map[string]table{
		"": topKeys, "vault": vaultKeys, "vault.retry": retryKeys, "api_proxy": apiProxyKeys, "cache": cacheKeys, "cache.rule": ruleKeys,
		"cache.persist": persistKeys, "listener": listenerKeys, "listener.rule": accessRuleKeys, "listener.agent_api": controlKeys, "listener.proxy_api": controlKeys,
		"auto_auth": autoAuthKeys, "auto_auth.sinks": sinksKeys, "auto_auth.method": methodKeys, "auto_auth.sink": sinkKeys,
		"auto_auth.sink.config": fileSinkKeys, "telemetry": telemetryKeys, "access_log": accessLogKeys, "telemetry.otlp": otlpKeys, "telemetry.traces": tracesKeys,
	}
	for method, keys := range methodConfigs {
		all["auto_auth.method.config."+method] = keys
	}
	return all
}

// Stanzas returns the paths of everything that [Reference] has a table for, sorted: "" for the top level, vault.retry for a block inside a stanza.
func Stanzas() []string { return slices.Sorted(maps.Keys(tables())) }

// Reference returns the table of a stanza in Markdown, made of the rows that files are read by, and below it the keys that have no effect.
func Reference(path string) string {
	keys := tables()[path]
	var b strings.Builder
	b.WriteString("| key | value | default | |\n|---|---|---|---|\n")
	idle := map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		r := keys[key]
		if r.standing == noEffect && r.doc == "" {
			idle[r.because] = append(idle[r.because], "`"+key+"`")
			continue
		}
		cells := []string{"`" + key + "`", r.wants(), r.otherwise(), strings.TrimSpace(r.explained(path, key) + " " + r.worth())}
		for i, cell := range cells {
			cells[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	for _, because := range slices.Sorted(maps.Keys(idle)) {
		fmt.Fprintf(&b, "\nWithout effect, since %s: %s.\n", because, strings.Join(idle[because], ", "))
	}
	return b.String()
}

// explained is what the key does. The keys of login methods come in bundles, and have their sentences apart.
func (r rule) explained(path, key string) string {
	if r.doc == "" && strings.HasPrefix(path, "auto_auth.method.config.") {
		return methodDocs[key]
	}
	return r.doc
}

// wants is what the value must be.
func (r rule) wants() string {
	switch {
	case r.block == single:
		return "block"
	case r.block == several:
		return "blocks"
	default:
		return r.kind.want
	}
}

// otherwise is what an absent key means.
func (r rule) otherwise() string {
	switch {
	case r.implied != "":
		return r.implied
	case r.required:
		return "required"
	case r.block != notBlock:
		return ""
	}
	shown := ""
	switch v := r.fallback().(type) {
	case writtenMode:
		shown = fmt.Sprintf("%04o", v.mode)
	case int64:
		shown = bytesWritten(v)
	case time.Duration:
		shown = durationWritten(v)
	case []string:
	case nil:
	default:
		shown = fmt.Sprint(v)
	}
	if shown == "" {
		return "none"
	}
	return "`" + shown + "`"
}

// worth is what becomes of the key, if not simply what it says, and whose it is.
func (r rule) worth() string {
	switch {
	case r.standing == deprecated:
		return "*Deprecated: " + r.remedy + ".*"
	case r.standing == noEffect:
		return "*No effect: " + r.because + ".*"
	case r.standing == refused:
		return "*Refused, since it is not built yet: " + r.remedy + ".*"
	case r.ours:
		return "*Leasehold's own.*"
	default:
		return ""
	}
}

func bytesWritten(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n > 0 && n%unit.size == 0 {
			return fmt.Sprintf("%d%s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprint(n)
}

// durationWritten leaves out the zeros that Go prints behind whole minutes and hours.
func durationWritten(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
