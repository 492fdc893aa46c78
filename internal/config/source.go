package config

import (
	"fmt"
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

// Setting is one value of the effective configuration. Who shows it leaves the value of a secret out.
type Setting struct {
	Path   string // vault.address; blocks that may be repeated are counted from 0: listener[0].tls_cert_file
	Value  any
	Secret bool // the value may be a secret, and is nil
	Source Source
}

// repeatable are the sections that are counted in the path of a setting.
var repeatable = map[string]bool{"listener": true, "auto_auth": true, "auto_auth.sink": true, "cache.rule": true, "listener.rule": true}

func (d *decoder) count(path string) {
	if !repeatable[path] {
		return
	}
	if d.counted == nil {
		d.counted = map[string]int{}
	}
	d.counted[path]++
	switch path { // what is inside is counted anew
	case "auto_auth":
		d.counted["auto_auth.sink"] = 0
	case "listener":
		d.counted["listener.rule"] = 0
	}
}

// given notes a value of the file. What a login method takes may be a secret, whatever the key.
func (d *decoder) given(s section, key string, r rule, v any, at Pos) {
	secret := r.secret || strings.HasPrefix(s.path, "auto_auth.method.config")
	if text := fmt.Sprint(v); strings.Contains(text, "://") && strings.Contains(text, "@") {
		secret = true // a URL with a user name, and perhaps a password
	}
	if secret {
		v = nil
	}
	if m, ok := v.(writtenMode); ok {
		v = m.mode
	}
	d.settings = append(d.settings, Setting{d.numbered(s.path) + key, v, secret, Source{SourceFile, at, ""}})
}

// numbered is the path of a section with the numbers of what may be repeated, and a dot behind it.
func (d *decoder) numbered(path string) string {
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
			fmt.Fprintf(&out, "[%d]", d.counted[sofar.String()]-1)
		}
		out.WriteByte('.')
	}
	return out.String()
}
