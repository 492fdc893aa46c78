package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"leasehold/internal/vault"
)

// Several auto_auth stanzas are ours: Vault has one, without a name. Each of the others has one, as its label or in its name key, and listeners choose by it.

// stanzaName is what a name may be: it stands in logs and in the state file, and is typed by hand.
var stanzaName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// autoAuths reads every auto_auth stanza.
func (d *decoder) autoAuths(top section) []AutoAuth {
	var all []AutoAuth
	first := map[vault.AutoAuthName]int{}
	writers := map[string]writer{}
	for i, b := range named(top.blocks["auto_auth"]) {
		a := d.autoAuth(b)
		if earlier, again := first[a.Name]; again {
			d.fail(sameName(all[earlier], a))
		} else {
			first[a.Name] = i
		}
		d.checkPaths(writers, i, a)
		all = append(all, a)
	}
	return all
}

// named makes one block out of each name that an unlabelled block holds: JSON writes auto_auth "name" {} as {"auto_auth": {"name": {}}}. Only what looks
// like a stanza is taken for one, so that a misspelt key is still called that.
func named(blocks []block) []block {
	var all []block
	for _, b := range blocks {
		inner, ok := labelled(b, autoAuthKeys)
		if ok && slices.ContainsFunc(inner, func(b block) bool { return b.has("method") }) {
			all = append(all, inner...)
		} else {
			all = append(all, b)
		}
	}
	return all
}

func (b block) has(key string) bool {
	return slices.ContainsFunc(b.body.items, func(it item) bool { return strings.EqualFold(it.key, key) })
}

// nameOf returns a stanza's name, "" when it has none. The name key wins over the label.
func (d *decoder) nameOf(s section, b block) vault.AutoAuthName {
	d.idleLabels(s, b, 1)
	name := s.String("name")
	if name == "" && len(b.labels) > 0 {
		name = b.labels[0]
		d.origins.set(s.prefix+"name", name, Source{Kind: SourceFile, Pos: b.pos})
	}
	if name != "" && !stanzaName.MatchString(name) {
		d.fail(s.problem(s.place("name"), fmt.Sprintf("the name %q must be up to 64 letters, digits, _ and -", clip(name)), `write for example auto_auth "payments" { ... }`))
	}
	return vault.AutoAuthName(name)
}

func sameName(first, again AutoAuth) Problem {
	if again.Name == "" {
		return Problem{again.Pos, "auto_auth", `only one "auto_auth" block without a name is permitted`,
			fmt.Sprintf(`merge it with the one at line %d, or give it a name: auto_auth "payments" { ... }`, first.Pos.Line)}
	}
	return Problem{again.Pos, "auto_auth", fmt.Sprintf("the name %q is that of the stanza at line %d", clip(string(again.Name)), first.Pos.Line), "give it another name"}
}

// writer is the first sink that writes to a file, and its stanza.
type writer struct {
	stanza int // in file order
	name   vault.AutoAuthName
	pos    Pos
}

// checkPaths refuses a sink that writes to the file of another: whoever reads it would get now one token, now the other.
func (d *decoder) checkPaths(writers map[string]writer, stanza int, a AutoAuth) {
	for _, sink := range a.Sinks {
		if sink.Path == "" {
			continue
		}
		path := filepath.Clean(sink.Path)
		earlier, taken := writers[path]
		switch {
		case !taken:
			writers[path] = writer{stanza, a.Name, sink.Pos}
		case earlier.stanza == stanza:
			d.fail(Problem{sink.Pos, "auto_auth", fmt.Sprintf("the sink at line %d writes to the same file", earlier.pos.Line), "give each sink a path of its own"})
		case earlier.name != a.Name:
			d.fail(Problem{sink.Pos, "auto_auth", fmt.Sprintf("the sink at line %d writes the token of another auto_auth stanza to the same file", earlier.pos.Line),
				"give each sink a path of its own"})
		}
	}
}

// checkNames applies the rules about which listener lends whose tokens.
func (d *decoder) checkNames(cfg *Config) {
	lends := cfg.APIProxy.UseAutoAuthToken != Never
	lent := map[vault.AutoAuthName]bool{}
	for i, l := range cfg.Listeners {
		lent[l.AutoAuth] = lent[l.AutoAuth] || l.Role == RoleDefault
		switch {
		case l.AutoAuth == "":
		case cfg.AutoAuthNamed(l.AutoAuth) == nil:
			d.fail(Problem{d.lendAt[i], "listener", fmt.Sprintf("there is no %s", l.AutoAuth.Stanza()), cfg.otherName(l.AutoAuth)})
		case !lends:
			d.warn(Problem{d.lendAt[i], "listener", "auto_auth has no effect without api_proxy.use_auto_auth_token", "set use_auto_auth_token, or remove the key"})
		}
	}
	if len(cfg.Listeners) == 0 || len(cfg.AutoAuths) == 0 {
		return
	}
	any := false
	for _, a := range cfg.AutoAuths {
		any = any || lent[a.Name]
		if a.Name != "" && len(a.Sinks) == 0 && (!lends || !lent[a.Name]) {
			d.fail(Problem{a.Pos, "auto_auth", fmt.Sprintf("%s has no sink, and no listener lends its token", a.Name.Stanza()),
				fmt.Sprintf(`add sink "file" { ... }, or auto_auth = %q in a listener and api_proxy { use_auto_auth_token = true }`, a.Name)})
		}
	}
	if lends && !any {
		a := cfg.AutoAuths[0]
		d.fail(Problem{a.Pos, "auto_auth", "use_auto_auth_token is set, but no listener has a token to lend: a listener without a name lends that of the stanza without one",
			fmt.Sprintf("write auto_auth = %q in a listener, or remove the stanza's name", a.Name)})
	}
}

// AutoAuthNamed returns the stanza of a name, "" for the one without; nil when there is none.
func (c *Config) AutoAuthNamed(name vault.AutoAuthName) *AutoAuth {
	for i := range c.AutoAuths { // by place: a stanza is large to copy, and every listener asks
		if c.AutoAuths[i].Name == name {
			return &c.AutoAuths[i]
		}
	}
	return nil
}

// otherName is the remedy for a name that no stanza has.
func (c *Config) otherName(name vault.AutoAuthName) string {
	near := nearest(string(name), func(yield func(string) bool) {
		const enough = 100 // a long file may have as many listeners as stanzas, and each that errs looks through them
		for _, a := range c.AutoAuths[:min(enough, len(c.AutoAuths))] {
			if a.Name != "" && !yield(string(a.Name)) {
				return
			}
		}
	})
	if near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("add %s { ... }, or remove the key", name.Stanza())
}
