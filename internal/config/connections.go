package config

import (
	"slices"
	"strconv"
	"strings"
)

// Connections say how connections to Vault are kept, for each kind of traffic on its own.
type Connections struct {
	Proxying, AutoAuth ConnectionUse
}

// ConnectionUse is what disable_idle_connections and disable_keep_alives say of one kind of traffic.
type ConnectionUse struct {
	DisableIdle       bool // no idle connections are kept
	DisableKeepAlives bool // each connection is closed after a request
}

// subsystemWords are Vault's names for the kinds of traffic. Proxying and caching are one here, as they are there; templating is the Agent's.
var subsystemWords = []string{"auto-auth", "proxying", "caching", "templating"}

// subsystems is a list of subsystemWords. Case counts in a file, as in Vault.
var subsystems = kind{
	want: `a list of "auto-auth", "proxying" and "caching"`, example: `["auto-auth"]`, zero: []string(nil), json: jsonSubsystems(),
	says: "%s: unknown value in %s",
	read: func(v value) (any, bool) {
		list, ok := readTexts(v)
		if !ok {
			return nil, false
		}
		named := list.([]string)
		for _, word := range named {
			if !slices.Contains(subsystemWords, word) {
				return nil, false
			}
		}
		return named, true
	},
}

// connections reads both lists. A variable replaces what the file says; the Proxy's comes before the Agent's when both are set.
func (d *decoder) connections(top section) (c Connections) {
	set := func(key string, off func(*ConnectionUse)) {
		for _, word := range d.disabled(top, key) {
			switch word {
			case "auto-auth":
				off(&c.AutoAuth)
			case "proxying", "caching":
				off(&c.Proxying)
			}
		}
	}
	set("disable_idle_connections", func(u *ConnectionUse) { u.DisableIdle = true })
	set("disable_keep_alives", func(u *ConnectionUse) { u.DisableKeepAlives = true })
	return c
}

func (d *decoder) disabled(top section, key string) []string {
	for _, app := range [...]string{"VAULT_PROXY_", "VAULT_AGENT_"} {
		name := app + strings.ToUpper(key)
		text := d.variable(name)
		if text == "" {
			continue
		}
		words, ok := subsystems.read(value{data: strings.ToLower(text)})
		if !ok {
			d.fail(Problem{Stanza: inEnvironment(name), Text: "unknown " + key + " value in " + strconv.Quote(clip(text)), Remedy: "write auto-auth, proxying or caching, with commas between"})
			return nil
		}
		d.outside(key, "", false, name, words)
		return words.([]string)
	}
	return setting[[]string](top.Settings, key)
}
