package config

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The persist block. Vault has the type kubernetes alone; the other types, and the keys that are theirs, are ours.
var persistKeys = table{
	"type":              {kind: text, doc: "Where the key comes from, if the label does not say it; see [below](#the-types-of-persist)."},
	"path":              {kind: text, required: true, example: `"/vault/agent-cache"`, doc: "An existing directory, for the state file."},
	"exit_on_err":       {kind: boolean, doc: "A state file that cannot be used, or a record in it, ends the start with 1; otherwise it costs what cannot be read."},
	"keep_after_import": {kind: boolean, doc: "`kubernetes` only: a file that is there is read, removed, and the cache goes on in memory; true keeps it in use. A start that finds no file begins one. The other types keep theirs."},

	"service_account_token_file": {kind: text, preset: defaultTokenJWT, doc: "`kubernetes`: the token that the key is made from."},
	"key_file":                   {kind: matching("the path of a file", `"/etc/leasehold/cache.key"`, notEmpty), ours: true, doc: "`file` and `auto`: the file that holds the key; required there."},
	"credential":                 {kind: matching("the name of a file, without a directory", `"leasehold-state-key"`, fileName), preset: "leasehold-state-key", ours: true, doc: "`systemd` and `auto`: the name of the credential that holds the key."},
	// Not shown when it is wrong: it may be the key itself, written in the place of the variable's name.
	"key_env":       {kind: matching("the name of an environment variable", `"LEASEHOLD_STATE_KEY"`, variableName), preset: "LEASEHOLD_STATE_KEY", secret: true, ours: true, doc: "`env`: the variable that holds the key."},
	"transit_key":   {kind: matching("the name of a key (letters, digits, _, - and .)", `"leasehold"`, keyName), ours: true, doc: "`transit`: the name of its key; required there."},
	"transit_mount": {kind: mountPath, preset: "transit", ours: true, doc: "`transit`: where the engine is mounted."},
}

// persistTypes holds the keys of each type, and which of them it needs. What stands in none of them belongs to all types.
var persistTypes = map[string]map[string]bool{
	"kubernetes": {"service_account_token_file": false, "keep_after_import": false},
	"file":       {"key_file": true},
	"systemd":    {"credential": false},
	"env":        {"key_env": false},
	"transit":    {"transit_key": true, "transit_mount": false},
	"auto":       {"credential": false, "key_file": true}, // the key file is for where systemd gives no credential
}

const knownPersistTypes = "auto, env, file, kubernetes, systemd and transit"

func (d *decoder) persist(b block) *Persist {
	s := d.section("cache.persist", b, persistKeys)
	name := d.typeOf(s, b)
	keys, known := persistTypes[name]
	switch {
	case name == "":
		d.fail(s.problem(s.pos, "persist type must be specified", `write for example persist "file" { ... }: the types are `+knownPersistTypes))
	case !known:
		remedy := "the types are " + knownPersistTypes
		if near := nearest(name, maps.Keys(persistTypes)); near != "" {
			remedy = fmt.Sprintf("did you mean %q? The types are %s", near, knownPersistTypes)
		}
		d.fail(s.problem(s.pos, fmt.Sprintf("unknown persist type %q", clip(name)), remedy))
	default:
		d.checkPersist(s, name)
	}
	own := func(key string) string {
		if _, ok := keys[key]; !ok {
			return ""
		}
		preset, _ := persistKeys[key].preset.(string)
		if s.String(key) == "" { // as in Vault, empty means the default
			d.origins.set(s.prefix+key, preset, Source{})
		}
		return cmp.Or(s.String(key), preset)
	}
	for key := range persistKeys {
		if _, ours := keys[key]; !ours && ofSomeType(key) {
			d.origins.idle(s, key)
		}
	}
	return &Persist{
		Pos:                     s.pos,
		Type:                    name,
		Path:                    s.String("path"),
		KeepAfterImport:         s.Bool("keep_after_import") && name == "kubernetes",
		ExitOnErr:               s.Bool("exit_on_err"),
		ServiceAccountTokenFile: own("service_account_token_file"),
		KeyFile:                 own("key_file"),
		Credential:              own("credential"),
		KeyEnv:                  own("key_env"),
		TransitMount:            own("transit_mount"),
		TransitKey:              own("transit_key"),
	}
}

// checkPersist compares the keys that stand in the block with those of its type.
func (d *decoder) checkPersist(s section, name string) {
	keys := persistTypes[name]
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if _, given := s.at[key]; keys[key] && !given {
			d.fail(s.problem(s.pos, fmt.Sprintf("%s is required with type %q", s.name(key), name), persistKeys[key].assign(key)))
		}
	}
	for key, at := range s.at {
		if _, own := keys[key]; own || !ofSomeType(key) {
			continue
		}
		text := fmt.Sprintf("%s has no effect with type %q", s.name(key), name)
		if key == "keep_after_import" {
			text += ": the state file stays in use"
		}
		d.warn(s.problem(at, text, "remove it"))
	}
}

func ofSomeType(key string) bool {
	for _, keys := range persistTypes {
		if _, ok := keys[key]; ok {
			return true
		}
	}
	return false
}

// matching is a text that fits; the empty one is for the pattern to judge.
func matching(want, example string, pattern *regexp.Regexp) kind {
	return kind{want: want, example: example, zero: "", json: object{"type": "string", "pattern": pattern.String()}, read: func(v value) (any, bool) {
		s, ok := v.data.(string)
		return s, ok && pattern.MatchString(s)
	}}
}

// mountPath is where an engine is mounted. Slashes at its ends do not count.
var mountPath = kind{want: "text", example: `"transit"`, zero: "", json: jsonText, read: func(v value) (any, bool) {
	s, ok := v.data.(string)
	return strings.Trim(s, "/"), ok
}}

// Patterns that Go and JSON Schema understand alike.
var (
	notEmpty     = regexp.MustCompile(`[\s\S]`)
	fileName     = regexp.MustCompile(`^(|[^/\\.][^/\\]*|\.[^/\\.][^/\\]*|\.\.[^/\\]+)$`) // any but . and ..
	variableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)?$`)
	// keyName is Vault's own for the name of a transit key (framework.GenericNameRegex): anything else would be another path.
	keyName = regexp.MustCompile(`^\w(([\w.-]+)?\w)?$`)
)
