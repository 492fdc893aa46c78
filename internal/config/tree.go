package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep blocks and lists may nest. The language needs about ten levels; parsers recurse, and a stack that
// overflows cannot be recovered from.
const maxDepth = 64

// body is what stands between two braces, in HCL and in JSON alike. Keys are as written.
type body struct {
	items []item
}

// item is one attribute or one block of a body.
type item struct {
	pos    Pos
	key    string
	labels []string // of an HCL block: listener "tcp" { ... }
	once   bool     // written so that a second one contradicts the first: any JSON key, and key = value in HCL
	value  value
}

// value is the right side of an item.
type value struct {
	pos  Pos
	data any // bool, number, string, []value or *body; nil is JSON's null
}

// number is a number as it was written, since a file mode means something else with a leading zero.
type number string

// parseTree reads the file in the form its first character announces, as Vault does whatever the file's name is.
func parseTree(name string, src []byte) (*body, *Problem) {
	src = bytes.TrimPrefix(src, []byte("\ufeff")) // Windows editors write a byte order mark
	if !utf8.Valid(src) {
		return nil, &Problem{
			Pos:    Pos{File: name, Line: invalidLine(src)},
			Text:   "the file is not valid UTF-8",
			Remedy: "save it as UTF-8",
		}
	}
	if i := bytes.IndexByte(src, 0); i >= 0 { // UTF-16 without its mark is valid UTF-8, and neither parser says so
		return nil, &Problem{
			Pos:    Pos{File: name, Line: 1 + bytes.Count(src[:i], []byte("\n"))},
			Text:   "the file holds a byte of zero, as UTF-16 does",
			Remedy: "save it as UTF-8",
		}
	}
	if bytes.HasPrefix(bytes.TrimSpace(src), []byte("{")) {
		return parseJSON(name, src)
	}
	return parseHCL(name, src)
}

// invalidLine returns the line of the first byte that is not UTF-8.
func invalidLine(src []byte) int {
	line := 1
	for l := range bytes.Lines(src) {
		if !utf8.Valid(l) {
			break
		}
		line++
	}
	return line
}

// tooDeep is the problem of nesting beyond maxDepth.
func tooDeep(at Pos) *Problem {
	return &Problem{
		Pos:    at,
		Text:   fmt.Sprintf("blocks and lists nest more than %d levels deep", maxDepth),
		Remedy: "check the braces and brackets",
	}
}

// dropRepeated removes all but the last of the arguments that are set more than once, and tells found about each removal.
// Vault compares the names as written; here, as everywhere in the language, case does not count.
func (b *body) dropRepeated(stanza string, found func(stanza string, first, again item)) {
	last := make(map[string]int, len(b.items))
	kept := b.items[:0]
	for _, it := range b.items {
		name := strings.ToLower(it.key)
		inner := stanza
		if inner == "" {
			inner = name
		}
		it.value.dropRepeated(inner, found)
		if i, repeated := last[name]; repeated && it.once {
			found(stanza, kept[i], it)
			kept[i] = it
			continue
		}
		if it.once {
			last[name] = len(kept)
		}
		kept = append(kept, it)
	}
	b.items = kept
}

func (v value) dropRepeated(stanza string, found func(stanza string, first, again item)) {
	switch data := v.data.(type) {
	case *body:
		data.dropRepeated(stanza, found)
	case []value:
		for _, element := range data {
			element.dropRepeated(stanza, found)
		}
	}
}
