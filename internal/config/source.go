package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SourceKind says what kind of place a value came from.
type SourceKind uint8

// The places of a value, the weakest first.
const (
	SourceDefault SourceKind = iota
	SourceFile
	SourceEnvironment
	SourceFlag
)

// Source is where a value came from.
type Source struct {
	Kind SourceKind
	Pos  Pos    // of a file
	Name string // of the variable, or of the flag with its dash
}

// Setting is one value of the effective configuration, in the words and units of a file. [Show] and MarshalJSON write it down.
type Setting struct {
	Path   string // vault.address; blocks that may be repeated are counted from 0: listener[0].tls_cert_file. A flag or a variable without a key has its own name
	Value  any    // nil for a secret
	Secret bool   // the value may be a secret
	Source Source
	Note   string // what the value does not say: that it has no effect, or what an empty default means; "" for nothing

	hidden  bool // whatever the key is given may be a secret
	keyless bool // no key in a file says it
}

// repeatable are the sections that are counted in the path of a setting.
var repeatable = map[string]bool{"listener": true, "auto_auth": true, "auto_auth.sink": true, "cache.rule": true, "listener.rule": true}

// origins collects every value and where it came from. A nil one is for when nobody asks, and collects nothing: a file of a MiB may have 60,000 listeners, each
// with some fifty defaults.
type origins struct {
	settings []Setting
	at       map[string]int // path → place in settings
	counted  map[string]int // sections read of each path that may be repeated
}

func newOrigins(wanted bool) *origins {
	if !wanted {
		return nil
	}
	return &origins{at: map[string]int{}, counted: map[string]int{}}
}

// enter counts a section, and returns what stands before its keys in the path of a setting.
func (o *origins) enter(path string) string {
	if o == nil {
		return ""
	}
	if repeatable[path] {
		o.counted[path]++
		switch path { // what is inside is counted anew
		case "auto_auth":
			o.counted["auto_auth.sink"] = 0
		case "listener":
			o.counted["listener.rule"] = 0
		}
	}
	if path == "" {
		return ""
	}
	var out, sofar strings.Builder
	for i, part := range strings.Split(path, ".") {
		if i > 0 {
			sofar.WriteByte('.')
		}
		sofar.WriteString(part)
		out.WriteString(part)
		if repeatable[sofar.String()] {
			fmt.Fprintf(&out, "[%d]", o.counted[sofar.String()]-1)
		}
		out.WriteByte('.')
	}
	return out.String()
}

// given notes a value of a file.
func (o *origins) given(s section, key string, r rule, v any, at Pos) {
	if o == nil {
		return
	}
	row := Setting{Path: s.prefix + key, hidden: r.secret || r.kind.read != nil && r.kind.zero == nil} // what is not looked into may hold anything
	if r.standing == noEffect {
		row.Note = "no effect"
	}
	o.put(row, v, Source{Kind: SourceFile, Pos: at})
}

// defaults notes what the keys mean that the section does not give. Those that only mean something when they are given are left out.
func (o *origins) defaults(s section, keys table) {
	if o == nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		r, path := keys[key], s.prefix+key
		if _, given := o.at[path]; given || r.block != notBlock || r.standing != works {
			continue
		}
		row := Setting{Path: path, hidden: r.secret}
		v, said := r.meant()
		if !said && r.implied != "none" {
			row.Note = strings.ReplaceAll(r.implied, "`", "")
		}
		o.put(row, v, Source{})
	}
}

// meant is what an absent key means, and whether that is all that the reference says of it.
func (r rule) meant() (v any, said bool) {
	if word, ok := strings.CutPrefix(r.implied, "`"); ok {
		if v, ok := r.kind.read(value{data: strings.TrimSuffix(word, "`")}); ok {
			return v, true
		}
	}
	return r.fallback(), r.implied == ""
}

// put enters a row. What has a user name before a host may have a password as well, whatever the key.
func (o *origins) put(row Setting, v any, from Source) {
	text := fmt.Sprint(v)
	row.Secret = row.hidden && from.Kind != SourceDefault || strings.Contains(text, "://") && strings.Contains(text, "@")
	if m, ok := v.(writtenMode); ok {
		v = m.mode
	}
	if row.Secret {
		v = nil
	}
	row.Value, row.Source = v, from
	if i, ok := o.at[row.Path]; ok {
		o.settings[i] = row
		return
	}
	o.at[row.Path] = len(o.settings)
	o.settings = append(o.settings, row)
}

// set gives a setting another value from another place.
func (o *origins) set(path string, v any, from Source) {
	if o == nil {
		return
	}
	row := Setting{Path: path}
	if i, ok := o.at[path]; ok {
		row.hidden = o.settings[i].hidden
		if from.Kind == SourceDefault {
			row.Note = o.settings[i].Note
		}
	}
	o.put(row, v, from)
}

// becomes replaces a value by what is made of it.
func (o *origins) becomes(path string, v any) {
	if o == nil {
		return
	}
	if i, ok := o.at[path]; ok {
		o.put(o.settings[i], v, o.settings[i].Source)
	}
}

// idle takes a default back that means nothing beside the other keys. What is given stays: there is a warning about it.
func (o *origins) idle(s section, keys ...string) {
	if o == nil {
		return
	}
	for _, key := range keys {
		if i, ok := o.at[s.prefix+key]; ok && o.settings[i].Source.Kind == SourceDefault {
			o.remove(s.prefix + key)
		}
	}
}

// move lets what a file gives for a key in its former place be the value of another.
func (o *origins) move(from, to string) {
	if o == nil {
		return
	}
	i, ok := o.at[from]
	if !ok {
		return
	}
	if row := o.settings[i]; row.Source.Kind == SourceFile {
		o.put(Setting{Path: to}, row.Value, row.Source)
	}
	o.remove(from)
}

func (o *origins) remove(path string) {
	o.settings[o.at[path]].Path = "" // left out by all
	delete(o.at, path)
}

// all are the settings, stanza by stanza, what is given before the defaults and as it stands in the files.
func (o *origins) all() []Setting {
	if o == nil {
		return nil
	}
	all := slices.DeleteFunc(o.settings, func(s Setting) bool { return s.Path == "" })
	for begin, end := 0, 0; begin < len(all); begin = end {
		for end < len(all) && all[end].stanza() == all[begin].stanza() {
			end++
		}
		slices.SortStableFunc(all[begin:end], func(a, b Setting) int {
			return cmp.Or(cmp.Compare(min(b.Source.Kind, SourceFile), min(a.Source.Kind, SourceFile)),
				cmp.Compare(a.Source.Pos.File, b.Source.Pos.File), cmp.Compare(a.Source.Pos.Line, b.Source.Pos.Line))
		})
	}
	return all
}

// stanza is the path without the key.
func (s Setting) stanza() string { return s.Path[:strings.LastIndexByte(s.Path, '.')+1] }
