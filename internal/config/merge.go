package config

import (
	"slices"
	"strings"
)

// How files are merged, key by key. What is not named here, and what nobody knows, stands as in the last file that has it.
var mergeRules = map[string]func(earlier, later []item) []item{
	"listener":     concatenate,
	"template":     concatenate,
	"env_template": concatenate,
	"auto_auth":    replaceNamed,

	"exit_after_auth": either,
	"disable_mlock":   either,

	"disable_idle_connections": concatenateLists,
	"disable_keep_alives":      concatenateLists,

	"pid_file":                      unlessEmpty,
	"log_level":                     unlessEmpty,
	"log_format":                    unlessEmpty,
	"log_file":                      unlessEmpty,
	"log_rotate_duration":           unlessEmpty,
	"cluster_name":                  unlessEmpty,
	"administrative_namespace_path": unlessEmpty, // Vault loses it (CFG-6)
}

// merge returns one body for those of all files. It works on the trees, so that a default never overwrites what another file gives.
// dropped are the items that a later file replaces; they are still to be checked.
func merge(files []*body) (merged *body, dropped []item) {
	merged = &body{}
	for _, file := range files {
		var keys []string
		later := map[string][]item{}
		for _, it := range file.items {
			key := strings.ToLower(it.key)
			if later[key] == nil {
				keys = append(keys, key)
			}
			later[key] = append(later[key], it)
		}
		for _, key := range keys {
			var earlier, others []item
			for _, it := range merged.items {
				if strings.ToLower(it.key) == key {
					earlier = append(earlier, it)
				} else {
					others = append(others, it)
				}
			}
			rule := mergeRules[key]
			if _, known := topKeys[key]; rule == nil && !known {
				rule = concatenate // so that each is warned about
			}
			kept := later[key]
			if rule != nil && len(earlier) > 0 {
				kept = rule(earlier, later[key])
			}
			for _, it := range slices.Concat(earlier, later[key]) {
				if !slices.ContainsFunc(kept, func(k item) bool { return k.pos == it.pos }) {
					dropped = append(dropped, it)
				}
			}
			merged.items = append(others, kept...)
		}
	}
	return merged, dropped
}

func concatenate(earlier, later []item) []item { return slices.Concat(earlier, later) }

// either keeps what an earlier file has switched on.
func either(earlier, later []item) []item {
	if on, ok := readBool(later[len(later)-1].value); ok && on == false {
		return earlier
	}
	return later
}

// unlessEmpty keeps what an earlier file says when a later one says nothing.
func unlessEmpty(earlier, later []item) []item {
	if later[len(later)-1].value.data == "" {
		return earlier
	}
	return later
}

// concatenateLists joins what switches something off for some parts: each file adds parts.
func concatenateLists(earlier, later []item) []item {
	joined := later[0]
	var all []value
	for _, it := range slices.Concat(earlier, later) {
		switch data := it.value.data.(type) {
		case []value:
			all = append(all, data...)
		case string:
			all = append(all, it.value)
		default:
			return later // the wrong type, and reported as that
		}
	}
	joined.value.data = all
	return []item{joined}
}

// replaceNamed lets a stanza replace that of the same name in an earlier file.
func replaceNamed(earlier, later []item) []item {
	after := split(later)
	var kept []item
	for _, it := range split(earlier) {
		if !slices.ContainsFunc(after, func(o item) bool { return writtenName(o) == writtenName(it) }) {
			kept = append(kept, it)
		}
	}
	return append(kept, after...)
}

// split makes one item of each stanza. What is no block stays as it is.
func split(items []item) []item {
	var all []item
	for _, it := range items {
		blocks, ok := it.blocks()
		if !ok {
			all = append(all, it)
			continue
		}
		for _, b := range named(blocks) {
			all = append(all, item{pos: b.pos, key: it.key, labels: b.labels, value: value{b.pos, b.body}})
		}
	}
	return all
}

func writtenName(it item) string {
	if b, ok := it.value.data.(*body); ok {
		for _, inner := range b.items {
			if name, ok := inner.value.data.(string); ok && strings.EqualFold(inner.key, "name") && name != "" {
				return name
			}
		}
	}
	if len(it.labels) > 0 {
		return it.labels[0]
	}
	return ""
}

// checkDropped reads what a later file replaces for the sake of its problems: they would come out on the day the later file is gone.
func (d *decoder) checkDropped(dropped []item) {
	for _, it := range dropped {
		top := d.section("", block{pos: it.pos, body: &body{items: []item{it}}}, topKeys)
		switch strings.ToLower(it.key) {
		case "vault":
			d.vault(top)
		case "auto_auth":
			d.autoAuths(top)
		}
	}
}
