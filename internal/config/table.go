package config

import (
	"fmt"
	"maps"
	"strconv"
)

// table is what one stanza or block may hold, by lower-case key.
type table map[string]rule

// rule says what a key's value must be and what becomes of it.
type rule struct {
	kind     kind
	block    arity    // not notBlock: the key is a block, and kind is unused
	standing standing // what the loader does with the key
	because  string   // of noEffect: why
	remedy   string   // of refused and deprecated keys: what to do instead
	required bool     // present, and not empty when it is text
	floor    bool     // a value of zero or less means the default
	secret   bool     // the value is never shown
	preset   any      // the default; nil means kind.zero
	example  string   // "" means kind.example
	doc      string   // what the key does, in a sentence, for the reference
	implied  string   // the default as the reference has it, where preset does not say it
	ours     bool     // Leasehold's own: Vault has no such key
}

// arity says whether a key is a block, and how often it may stand.
type arity uint8

const (
	notBlock arity = iota
	single
	several
)

// standing says what a key that Vault knows is worth here.
type standing uint8

const (
	works      standing = iota
	deprecated          // works, with a warning
	noEffect            // a warning: what the file promises is not lost by ignoring it
	refused             // an error unless the value is the default: ignoring it would break a promise
)

// with returns the table with the rule added under each key.
func (t table) with(r rule, keys ...string) table {
	all := maps.Clone(t)
	for _, key := range keys {
		all[key] = r
	}
	return all
}

// and returns both tables in one.
func (t table) and(more table) table {
	all := maps.Clone(t)
	maps.Copy(all, more)
	return all
}

// of returns the rule for values of a kind.
func (r rule) of(k kind) rule {
	r.kind = k
	return r
}

// blocks returns the rule for blocks.
func (r rule) blocks() rule {
	r.kind, r.block = kind{}, several
	return r
}

func (r rule) fallback() any {
	if r.preset != nil {
		return r.preset
	}
	return r.kind.zero
}

// assign is the remedy that shows how the key is written.
func (r rule) assign(key string) string {
	example := r.example
	if example == "" {
		example = r.kind.example
	}
	return "write for example " + key + " = " + example
}

// complaint says that the value is not of the key's kind, and shows it unless it is a secret.
func (r rule) complaint(name string, v value) string {
	shown := v.form()
	switch data := v.data.(type) {
	case string:
		shown = strconv.Quote(clip(data))
	case number, bool:
		shown = clip(fmt.Sprint(data))
	}
	if r.secret {
		shown = v.form()
	}
	if r.kind.says != "" {
		return fmt.Sprintf(r.kind.says, name, shown)
	}
	return fmt.Sprintf("%s must be %s, not %s", name, r.kind.want, shown)
}

// form describes a value without showing it.
func (v value) form() string {
	switch v.data.(type) {
	case *body:
		return "a block"
	case []value:
		return "a list"
	case string:
		return "text"
	case number:
		return "a number"
	default:
		return "true or false"
	}
}

// clip shortens text from the file so that a message stays one readable line.
func clip(s string) string {
	const longest = 60
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "..."
	}
	return s
}
