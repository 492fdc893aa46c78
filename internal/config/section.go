package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// section is one block after its table: every value, the blocks inside, and where each key stands.
type section struct {
	Settings
	pos    Pos
	path   string // the keys that lead here, joined by dots
	prefix string // what stands before a key in the path of a Setting
	at     map[string]Pos
	blocks map[string][]block
}

// place returns where the key stands, or the block when the key was not given.
func (s section) place(key string) Pos {
	if at, ok := s.at[key]; ok {
		return at
	}
	return s.pos
}

// problem names a key of the section the way every message does: the stanza first, then the rest of the path.
func (s section) problem(at Pos, text, remedy string) Problem {
	stanza, _, _ := strings.Cut(s.path, ".")
	return Problem{Pos: at, Stanza: stanza, Text: text, Remedy: remedy}
}

// name returns the key with the part of the path below the stanza: retry.num_retries.
func (s section) name(key string) string {
	if _, below, ok := strings.Cut(s.path, "."); ok {
		return below + "." + key
	}
	return key
}

// decoder reads blocks by their tables and collects what is wrong with them.
type decoder struct {
	report
	env func(string) (string, bool)

	flags             VaultFlags
	strict            bool // unknown keys are errors
	ignoreUnsupported bool // templates are warnings
	incomplete        bool // a file is missing from what is read

	origins *origins // nil unless somebody asks where values came from

	said map[string]bool // keys that were warned of wherever they stand

	lendAt []Pos // where each listener says whose token it lends
}

// section reads one block.
func (d *decoder) section(path string, b block, keys table) section {
	s := section{pos: b.pos, path: path, at: map[string]Pos{}, blocks: map[string][]block{}}
	s.values = make(map[string]any, len(keys))
	for key, r := range keys {
		s.values[key] = r.fallback()
	}
	s.prefix = d.origins.enter(path)
	for _, it := range b.body.items {
		d.item(s, it, keys)
	}
	d.origins.defaults(s, keys)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if r := keys[key]; r.required && s.at[key] == (Pos{}) {
			d.fail(s.problem(s.pos, s.name(key)+" is required", r.assign(key)))
		}
	}
	return s
}

func (d *decoder) item(s section, it item, keys table) {
	key := strings.ToLower(it.key)
	r, known := keys[key]
	if !known {
		d.unknown(s, it, keys)
		return
	}
	s.at[key] = it.pos
	if r.block != notBlock {
		d.block(s, key, it, r)
		return
	}
	v, ok := r.kind.read(it.value)
	switch {
	case !ok:
		d.fail(s.problem(it.pos, r.complaint(s.name(key), it.value), r.assign(key)))
		return
	case v == "" && r.required:
		d.fail(s.problem(it.pos, s.name(key)+" must not be empty", r.assign(key)))
	case !r.floor || positive(v):
		s.values[key] = v
		d.origins.given(s, key, r, v, it.pos)
	}
	d.stand(s, key, r, it.pos, r.standing == refused && r.kind.zero != nil && v == r.fallback())
}

// block collects the blocks of a key, and looks at nothing inside them.
func (d *decoder) block(s section, key string, it item, r rule) {
	found, ok := it.blocks()
	if !ok {
		d.fail(s.problem(it.pos, fmt.Sprintf("%s must be a block, not %s", s.name(key), it.value.form()), "write "+key+" { ... }"))
		return
	}
	all := append(s.blocks[key], found...)
	if r.block == single && len(all) > 1 {
		first := all[0]
		d.fail(s.problem(it.pos, fmt.Sprintf("only one %q block is permitted", key), fmt.Sprintf("merge it with the one at line %d", first.pos.Line)))
		all = all[:1]
	}
	s.blocks[key] = all
	d.stand(s, key, r, it.pos, false)
}

// stand says what the key is worth. A refused key that says no more than the default is fine.
func (d *decoder) stand(s section, key string, r rule, at Pos, isDefault bool) {
	name := s.name(key)
	switch {
	case r.standing == deprecated:
		d.warnOnce(s.path, key, s.problem(at, name+" is deprecated", r.remedy))
	case r.standing == noEffect:
		d.warnOnce(s.path, key, s.problem(at, name+" has no effect: "+r.because, "remove it"))
	case r.standing == refused && !isDefault && r.block == several && d.ignoreUnsupported:
		d.warnOnce(s.path, key, s.problem(at, name+" is ignored: it is not built yet", "remove it, or keep Vault Agent for it"))
	case r.standing == refused && !isDefault:
		d.fail(s.problem(at, name+" is not built yet", r.remedy))
	}
}

// warnOnce says of a key what holds wherever it stands: of ten templates, or of a key in ten listeners, the first is named.
func (d *decoder) warnOnce(path, key string, p Problem) {
	at := path + "." + key
	if d.said[at] {
		return
	}
	if d.said == nil {
		d.said = map[string]bool{}
	}
	d.said[at] = true
	d.warn(p)
}

func (d *decoder) unknown(s section, it item, keys table) {
	what := "key"
	if _, isBlock := it.blocks(); isBlock && s.path == "" {
		what = "stanza"
	}
	remedy := "remove it"
	if near := nearest(strings.ToLower(it.key), maps.Keys(keys)); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	if d.strict {
		d.fail(s.problem(it.pos, fmt.Sprintf("unknown %s %q", what, s.name(clip(it.key))), remedy))
		return
	}
	d.warn(s.problem(it.pos, fmt.Sprintf("unknown %s %q is ignored", what, s.name(clip(it.key))), remedy))
}

// only returns the one block of a key that takes no labels. An absent one is empty, so that reading it gives the defaults.
func (d *decoder) only(s section, key string) (block, bool) {
	if len(s.blocks[key]) == 0 {
		return block{body: &body{}}, false
	}
	b := s.blocks[key][0]
	d.idleLabels(s, b, 0)
	return b, true
}

// idleLabels warns about the labels after the first that have a meaning.
func (d *decoder) idleLabels(s section, b block, meant int) {
	for _, label := range b.labels[min(meant, len(b.labels)):] {
		d.warn(s.problem(b.pos, fmt.Sprintf("the label %q has no effect", clip(label)), "remove it"))
	}
}

func positive(v any) bool {
	switch n := v.(type) {
	case time.Duration:
		return n > 0
	case int64:
		return n > 0
	default:
		return true
	}
}
