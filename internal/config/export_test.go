package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Written returns every key of the language with its path, sorted.
func Written() []string {
	var all []string
	for path, keys := range tables() {
		for key := range keys {
			all = append(all, join(path, key))
		}
	}
	return slices.Sorted(slices.Values(all))
}

// Decoded is what one key came to.
type Decoded struct {
	Value    string // as fmt prints it; the default when it was refused
	Checked  bool   // whether the key has a type at all
	Errors   string
	Warnings string
}

// Decode reads a text by the table of the stanza, and returns what it makes of the key. What the stanza requires besides is not missed.
func Decode(path, key, src string) (Decoded, error) {
	keys, known := tables()[path]
	if !known {
		return Decoded{}, fmt.Errorf("there is no stanza %q", path)
	}
	root, problem := parseHCL("t.hcl", []byte(src))
	if problem != nil {
		return Decoded{}, fmt.Errorf("%s", problem)
	}
	one := table{key: keys[key]}
	if src == "" { // for the default alone
		one = maps.Clone(one)
		r := one[key]
		r.required = false
		one[key] = r
	}
	d := &decoder{env: func(string) (string, bool) { return "", false }}
	s := d.section(path, block{pos: Pos{File: "t.hcl", Line: 1, Column: 1}, body: root}, one)
	r := keys[key]
	return Decoded{
		Value: fmt.Sprint(s.values[key]), Checked: r.block != notBlock || r.kind.zero != nil,
		Errors: joined(d.errors), Warnings: joined(d.warnings),
	}, nil
}

func joined(problems []Problem) string {
	if len(problems) == 0 {
		return ""
	}
	return (&Problems{Errors: problems}).Error()
}

// AsJSON writes an HCL text in the JSON form: every item is a list, and a label is a key one level down.
func AsJSON(src []byte) ([]byte, error) {
	root, problem := parseTree("t.hcl", src)
	if problem != nil {
		return nil, fmt.Errorf("%s", problem)
	}
	return json.Marshal(plain(value{data: root}))
}

func plain(v value) any {
	switch data := v.data.(type) {
	case *body:
		object := map[string]any{}
		for _, it := range data.items {
			inner := plain(it.value)
			for _, label := range slices.Backward(it.labels) {
				inner = map[string]any{label: inner}
			}
			if _, isBlock := it.value.data.(*body); isBlock && !it.once {
				list, _ := object[it.key].([]any)
				inner = append(list, inner)
			}
			object[it.key] = inner
		}
		return object
	case []value:
		list := make([]any, len(data))
		for i, element := range data {
			list[i] = plain(element)
		}
		return list
	case number:
		if json.Valid([]byte(data)) {
			return json.Number(data)
		}
		return string(data) // JSON has no leading zeros
	default:
		return data
	}
}

// Undocumented returns the keys that the reference could say nothing about.
func Undocumented() []string {
	var all []string
	for path, keys := range tables() {
		for key, r := range keys {
			if r.explained(path, key) == "" && r.because == "" && r.remedy == "" {
				all = append(all, join(path, key))
			}
		}
	}
	return slices.Sorted(slices.Values(all))
}

// Working returns the keys that have an effect or a default to be shown, with their paths: no blocks, and none that is ignored or refused.
func Working() []string {
	var all []string
	for path, keys := range tables() {
		for key, r := range keys {
			if r.block == notBlock && r.standing == works {
				all = append(all, join(path, key))
			}
		}
	}
	return slices.Sorted(slices.Values(all))
}
