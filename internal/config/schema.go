package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Schema returns the JSON Schema (2020-12) of a configuration in JSON, made of the tables that files are read by. What it refuses does not load, or loads with a
// warning; what it takes may still contradict itself. Letter case does not count for Leasehold, but does for the schema: its keys and labels are in lower case.
func Schema() ([]byte, error) {
	all := tables()
	defs := object{}
	for path, keys := range all {
		if path != "" {
			defs[path] = stanzaSchema(path, keys)
		}
	}
	for name, form := range forms {
		defs["value."+name] = form
	}
	for path, l := range labels {
		defs[path+".blocks"] = labelledSchema(path)
		if asks := askedBy[path]; asks != nil {
			defs[path+".typed"] = typedSchema(path, asks)
			for _, word := range l.words {
				defs[path+".as."+word] = labelledAs(path, asks(word))
			}
		}
	}
	root := stanzaSchema("", all[""])
	root["$schema"], root["$defs"] = "https://json-schema.org/draft/2020-12/schema", defs
	root["title"] = "Configuration of Leasehold"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	err := e.Encode(root)
	return b.Bytes(), err
}

// label is what the label of a stanza stands for.
type label struct {
	key    string   // that says the same
	words  []string // all that there are; nil for any
	one    bool     // there may be one such stanza
	needed bool     // there must be one
}

// labels are the stanzas that have one, by path.
var labels = map[string]label{
	"listener":         {"type", []string{"tcp", "unix"}, false, false},
	"auto_auth":        {"name", nil, false, false},
	"auto_auth.method": {"type", slices.Sorted(maps.Keys(methodConfigs)), true, true},
	"auto_auth.sink":   {"type", []string{"file"}, false, false},
	"cache.persist":    {"type", slices.Sorted(maps.Keys(persistTypes)), true, false},
	"cache.rule":       {"path", nil, false, false},
	"listener.rule":    {"path", nil, false, false},
}

func ref(path string) object { return object{"$ref": "#/$defs/" + path} }

// stanzaSchema is one block of a table, without a label.
func stanzaSchema(path string, keys table) object {
	properties := object{}
	required := []string{}
	for key, r := range keys {
		properties[key] = keySchema(path, key, r)
		if r.required || labels[join(path, key)].needed {
			required = append(required, key)
		}
	}
	slices.Sort(required)
	return object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// keySchema is the value of a key. Null means that it is not set.
func keySchema(path, key string, r rule) object {
	var s object
	switch {
	case r.block != notBlock && r.standing == refused:
		s = object{"not": object{}}
	case r.block != notBlock:
		s = blockSchema(path, key, r.block == single)
	case r.required:
		s = maps.Clone(r.kind.json)
		if s["type"] == "string" {
			s["minLength"] = 1
		}
	default:
		s = orNull(r.kind.json)
	}
	if text := strings.TrimSpace(r.explained(path, key) + " " + r.worth()); text != "" {
		s["description"] = text
	}
	if r.standing == deprecated || r.standing == noEffect {
		s["deprecated"] = true
	}
	if v, said := r.meant(); said && r.block == notBlock && r.kind.zero != nil {
		if m, ok := v.(writtenMode); ok {
			v = m.mode
		}
		if shown := (Setting{Value: v}); !shown.nothing() {
			s["default"] = shown.plain()
		}
	}
	return s
}

// orNull is the same value, or null.
func orNull(s object) object {
	if forms, ok := s["anyOf"].([]object); ok {
		return formsOf(append(slices.Clone(forms), object{"type": "null"})...)
	}
	if _, ok := s["$ref"]; ok {
		return formsOf(s, object{"type": "null"})
	}
	either := object{}
	maps.Copy(either, s)
	if t, ok := s["type"].(string); ok {
		either["type"] = []string{t, "null"}
	}
	return either
}

// blockSchema is what a key that is a block holds: an object, or a list of them.
func blockSchema(path, key string, one bool) object {
	inner := join(path, key)
	if path == "auto_auth.sinks" {
		inner = "auto_auth." + key
	}
	if l, ok := labels[inner]; ok && l.needed {
		return ref(inner + ".blocks")
	} else if ok {
		return orNull(ref(inner + ".blocks"))
	}
	block := object{"type": "object"} // not read, or by the type of the stanza around it
	if _, ok := tables()[inner]; ok {
		block = ref(inner)
	}
	return orNull(blocksOf(one, block))
}

// blocksOf is a block of one of some forms, or a list of such.
func blocksOf(one bool, forms ...object) object {
	list := object{"type": "array", "items": formsOf(forms...)}
	if len(forms) == 1 {
		list["items"] = forms[0]
	}
	if one {
		list["maxItems"] = 1
	}
	return formsOf(append(slices.Clone(forms), list)...)
}

// labelledSchema is what the key of a stanza with a label holds: objects that name the label in a key of theirs, or that hold objects under it.
func labelledSchema(path string) object {
	l := labels[path]
	plain := maps.Clone(bodyOf(path))
	plain["required"] = []string{l.key}
	under := object{"type": "object", "minProperties": 1}
	switch {
	case l.words != nil:
		plain["properties"] = object{l.key: object{"pattern": anyCase(l.words...)}}
		properties := object{}
		for _, word := range l.words {
			if askedBy[path] == nil {
				properties[word] = blocksOf(l.one, ref(path))
			} else {
				properties[word] = blocksOf(l.one, ref(path+".as."+word))
			}
		}
		under["properties"], under["additionalProperties"] = properties, false
	default:
		if path == "auto_auth" {
			plain = ref(path) // one of them needs no name
		}
		under["propertyNames"] = object{"minLength": 1, "not": object{"enum": slices.Sorted(maps.Keys(tables()[path]))}}
		under["additionalProperties"] = blocksOf(false, ref(path))
	}
	if path == "auto_auth" {
		under["propertyNames"].(object)["pattern"] = stanzaName.String()
	}
	if l.one {
		under["maxProperties"] = 1
	}
	blocks := blocksOf(l.one, plain, under)
	if l.needed {
		forms := blocks["anyOf"].([]object)
		forms[len(forms)-1]["minItems"] = 1 // of the list
	}
	return blocks
}

// askedBy says what a type asks of the other keys of its stanza.
var askedBy = map[string]func(word string) object{"auto_auth.method": methodAsks, "cache.persist": persistAsks}

// bodyOf is a stanza with what its type key, if it has one, asks of the other keys.
func bodyOf(path string) object {
	if askedBy[path] == nil {
		return ref(path)
	}
	return ref(path + ".typed")
}

func typedSchema(path string, asks func(word string) object) object {
	all := []object{ref(path)}
	for _, word := range labels[path].words {
		is := object{"required": []string{"type"}, "properties": object{"type": object{"type": "string", "pattern": anyCase(word)}}}
		all = append(all, object{"if": is, "then": asks(word)})
	}
	return object{"allOf": all}
}

// labelledAs is a stanza under a label, which counts unless there is a type key.
func labelledAs(path string, asks object) object {
	return object{"allOf": []object{bodyOf(path), {"if": object{"not": object{"required": []string{"type"}}}, "then": asks}}}
}

// methodAsks is the config of a method.
func methodAsks(word string) object {
	config := blocksOf(true, ref("auto_auth.method.config."+word))
	for _, r := range methodConfigs[word] {
		if r.required {
			return object{"properties": object{"config": config}, "required": []string{"config"}}
		}
	}
	return object{"properties": object{"config": orNull(config)}}
}

// persistAsks is what a type of persist needs.
func persistAsks(word string) object {
	required := []string{}
	for key, needed := range persistTypes[word] {
		if needed {
			required = append(required, key)
		}
	}
	slices.Sort(required)
	return object{"required": required}
}
