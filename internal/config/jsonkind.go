package config

import (
	"fmt"
	"strings"
)

// object is a part of a JSON Schema.
type object = map[string]any

// Patterns of JSON Schema are regular expressions of ECMA-262, in what these have in common with Go's. They take in all that the readings take, and as little
// more as they can say.
const (
	trueOrFalse = `^(|1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$`
	wholeNumber = `(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]*|[1-9][0-9_]*)`
	timeUnits   = `(ns|us|µs|μs|ms|s|m|h)`
	timeSpan    = `([0-9]+d?|0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)` + timeUnits + `)+)`
	manyBytes   = `\s*[0-9]+\s*([kKmMgG][iI][bB])?\s*`
	nothingLess = `-[0.xXbBoO_]+[dnuµμmsh0.]*` // -0 is not below zero
)

// forms are what is said more than once, by a name under $defs.
var forms = map[string]object{
	"texts":     formsOf(jsonText, object{"type": "array", "items": jsonText}),
	"boolean":   formsOf(object{"type": "boolean"}, object{"type": "integer"}, object{"type": "string", "pattern": trueOrFalse}),
	"whole":     formsOf(object{"type": "integer"}, object{"type": "string", "pattern": `^[+-]?` + wholeNumber + `$`}),
	"count":     formsOf(object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": `^(\+?` + wholeNumber + `|` + nothingLess + `)$`}),
	"backoff":   formsOf(object{"type": "number"}, object{"type": "string", "pattern": `^(|[+-]?` + timeSpan + `)$`}),
	"duration":  formsOf(object{"type": "number", "exclusiveMinimum": -1}, object{"type": "string", "pattern": `^(|\+?` + timeSpan + `|` + nothingLess + `)$`}),
	"interval":  formsOf(object{"type": "number", "exclusiveMinimum": 0}, object{"type": "string", "pattern": `^\+?` + timeSpan + `$`, "not": object{"pattern": `^[^1-9]*$`}}),
	"limit":     formsOf(object{"type": "integer"}, object{"type": "string", "pattern": `^\s*[+-]?` + manyBytes + `$`}),
	"size":      formsOf(object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": `^\s*(\+?` + manyBytes + `|-0+\s*([kKmMgG][iI][bB])?\s*)$`}),
	"share":     formsOf(object{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, object{"type": "string", "pattern": `^\s*[+-]?[0-9.][0-9a-fA-FxXpP_.+-]*%?\s*$`}),
	"ratio":     formsOf(object{"type": "number", "minimum": 0, "maximum": 1}, object{"type": "string", "pattern": `^\s*[+-]?[0-9.][0-9a-fA-FxXpP_.+-]*%?\s*$`}),
	"per_sec":   formsOf(object{"type": "number"}, object{"type": "string", "pattern": `^\s*[+-]?[0-9.][0-9a-fA-FxXpP_.+-]*\s*$`}),
	"file_mode": formsOf(object{"type": "integer", "minimum": 0, "maximum": 0o777}, object{"type": "string", "pattern": `^(0o)?0*[0-7]{1,3}$`}),
	"account":   formsOf(object{"type": "integer", "minimum": 0, "maximum": 1<<32 - 1}, jsonText),
}

var (
	jsonText     = object{"type": "string"}
	jsonTexts    = ref("value.texts")
	jsonBool     = ref("value.boolean")
	jsonWhole    = ref("value.whole")
	jsonCount    = ref("value.count")
	jsonBackoff  = ref("value.backoff")
	jsonDuration = ref("value.duration")
	jsonInterval = ref("value.interval")
	jsonLimit    = ref("value.limit")
	jsonSize     = ref("value.size")
	jsonShare    = ref("value.share")
	jsonRatio    = ref("value.ratio")
	jsonPerSec   = ref("value.per_sec")
	jsonFileMode = ref("value.file_mode")
	jsonAccount  = ref("value.account")
	jsonTokenUse = formsOf(jsonBool, jsonWords("force"))
	jsonFilters  = object{"type": "array", "items": object{"type": "string", "pattern": `^[+-].`}}
	jsonAnything = object{}
)

// formsOf is a value of one of several forms.
func formsOf(forms ...object) object { return object{"anyOf": forms} }

// jsonWords is one of some words. Editors offer the enumeration; the pattern is for other letter case.
func jsonWords(words ...string) object {
	return formsOf(object{"enum": words}, object{"type": "string", "pattern": anyCase(words...)})
}

// anyCase is a pattern for words whose letter case does not count.
func anyCase(words ...string) string {
	patterns := make([]string, len(words))
	for i, word := range words {
		var b strings.Builder
		for _, r := range word {
			if lower, upper := strings.ToLower(string(r)), strings.ToUpper(string(r)); lower != upper {
				fmt.Fprintf(&b, "[%s%s]", lower, upper)
			} else {
				b.WriteRune(r)
			}
		}
		patterns[i] = b.String()
	}
	return "^(" + strings.Join(patterns, "|") + ")$"
}

// jsonSubsystems is a list of subsystemWords, or one text of them with commas between.
func jsonSubsystems() object {
	list := strings.Join(subsystemWords, "|")
	return formsOf(object{"type": "array", "items": object{"type": "string", "pattern": `^\s*(` + list + `)?\s*$`}},
		object{"type": "string", "pattern": `^\s*(` + list + `)?\s*(,\s*(` + list + `)?\s*)*$`})
}
