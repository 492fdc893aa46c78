package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Change is one setting that two configurations have different values of.
type Change struct {
	Path string // in the words of a file: listener[0].tls_cert_file
	Key  string // Path without the numbers: listener.tls_cert_file
	Old  string // as it may be shown; "" when it may not, because it can hold a secret, or when there was none
	New  string // as Old
}

// Diff lists what is different in next, in the order of Config. Where something stands in a file does not count. Listeners are the same when
// they have the same address, logins when they have the same name, and sinks when they have the same path; one that is not there in the other
// configuration is one change.
func Diff(old, next *Config) (all []Change) {
	walk(reflect.ValueOf(clone(old)).Elem(), reflect.ValueOf(next).Elem(), spot{}, func(at spot, old, next reflect.Value) {
		if at.key == "" {
			return
		}
		all = append(all, Change{Path: at.path, Key: at.key, Old: shown(at.key, old), New: shown(at.key, next)})
	})
	return all
}

// Merge returns old with the values that next has for those keys that live reports true for. Neither is changed. What is in one of them only is a
// key as well: "listener", "cache".
func Merge(old, next *Config, live func(key string) bool) *Config {
	merged := clone(old)
	walk(reflect.ValueOf(merged).Elem(), reflect.ValueOf(next).Elem(), spot{}, func(at spot, old, next reflect.Value) {
		if at.key == "" || live(at.key) && old.IsValid() && next.IsValid() {
			old.Set(next)
		}
	})
	merged.Files, merged.Warnings, merged.Settings = next.Files, next.Warnings, next.Settings
	return merged
}

// Keys are all keys that a Change can have, in the order of Config.
func Keys() (all []string) {
	keysOf(reflect.TypeFor[Config](), "", func(key string) { all = append(all, key) })
	return all
}

// spot is where a walk is.
type spot struct{ path, key string }

func (p spot) below(word string) spot {
	return spot{path: join(p.path, word), key: join(p.key, word)}
}

func (p spot) number(i int) spot {
	return spot{path: p.path + "[" + strconv.Itoa(i) + "]", key: p.key}
}

func join(above, word string) string {
	if above == "" {
		return word
	}
	return above + "." + word
}

// fieldWords are those of fields that are not called in a file as in Config, and "" for what is no setting.
var fieldWords = map[string]string{
	"Config.AutoAuths": "auto_auth", "Config.Listeners": "listener", "Config.Warnings": "", "Config.Settings": "", "Config.Files": "",
	"Config.Connections": "disable_idle_connections/disable_keep_alives",

	"Vault.HealthInterval":            "health_check_interval",
	"Vault.LoginHeaders":              "", // of the command line, which stays as it is
	"AutoAuth.Sinks":                  "sink",
	"AutoAuth.ReauthOnNewCredentials": "enable_reauth_on_new_credentials",
	"Method.Settings":                 "config",
	"APIProxy.PrependNamespace":       "prepend_configured_namespace",
	"APIProxy.Consistency":            "enforce_consistency",
	"Cache.Rules":                     "rule",
	"Listener.Rights":                 "allow_*/default_action/rule",
	"Listener.ReadHeaderTimeout":      "http_read_header_timeout",
	"Listener.ReadTimeout":            "http_read_timeout",
	"Listener.WriteTimeout":           "http_write_timeout",
	"Listener.IdleTimeout":            "http_idle_timeout",
	"Listener.MaxConcurrent":          "max_concurrent_requests",
	"Listener.RequireClientCert":      "tls_require_and_verify_client_cert",
	"Listener.DisableClientCerts":     "tls_disable_client_certs",
	"Listener.MaxDuration":            "max_request_duration",
}

// wordOf is what a field is called in a file; "" for what is no setting.
func wordOf(in reflect.Type, f reflect.StructField) string {
	if f.Type == reflect.TypeFor[Pos]() {
		return ""
	}
	if word, ok := fieldWords[in.Name()+"."+f.Name]; ok {
		return word
	}
	name := []rune(f.Name)
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(name[i-1]) || i+1 < len(name) && unicode.IsLower(name[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// inside reports whether a struct is looked into. What is not is one setting, whatever is different in it.
func inside(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[Config](), reflect.TypeFor[Vault](), reflect.TypeFor[Retry](), reflect.TypeFor[AutoAuth](), reflect.TypeFor[Method](),
		reflect.TypeFor[Sink](), reflect.TypeFor[APIProxy](), reflect.TypeFor[Cache](), reflect.TypeFor[Persist](), reflect.TypeFor[Listener](),
		reflect.TypeFor[Telemetry](), reflect.TypeFor[OTLP](), reflect.TypeFor[Traces]():
		return true
	}
	return false
}

// stanzaNames are what tells stanzas of one list apart.
var stanzaNames = map[reflect.Type]string{
	reflect.TypeFor[Listener](): "Address", reflect.TypeFor[AutoAuth](): "Name", reflect.TypeFor[Sink](): "Path",
}

// walk calls visit for every setting that is different, with one value that is not valid when that side has none; and, with no spot, for where each
// stanza stands.
func walk(old, next reflect.Value, at spot, visit func(at spot, old, next reflect.Value)) {
	t := old.Type()
	switch {
	case inside(t):
		for i := range t.NumField() {
			if t.Field(i).Type == reflect.TypeFor[Pos]() {
				visit(spot{}, old.Field(i), next.Field(i))
			} else if word := wordOf(t, t.Field(i)); word != "" {
				walk(old.Field(i), next.Field(i), at.below(word), visit)
			}
		}
	case t.Kind() == reflect.Pointer && inside(t.Elem()) && !old.IsNil() && !next.IsNil():
		walk(old.Elem(), next.Elem(), at, visit)
	case t.Kind() == reflect.Slice && stanzaNames[t.Elem()] != "":
		for _, pair := range pairs(old, next) {
			switch {
			case pair[0] < 0:
				visit(at.number(pair[1]), reflect.Value{}, next.Index(pair[1]))
			case pair[1] < 0:
				visit(at.number(pair[0]), old.Index(pair[0]), reflect.Value{})
			default:
				walk(old.Index(pair[0]), next.Index(pair[1]), at.number(pair[1]), visit)
			}
		}
	case !same(old, next):
		visit(at, old, next)
	}
}

// pairs matches two lists of stanzas by name; those left over by their places, so that one with a new name is that and not two changes. -1 is none.
func pairs(old, next reflect.Value) (all [][2]int) {
	name := stanzaNames[old.Type().Elem()]
	of := make([]int, next.Len()) // next → old
	taken := make([]bool, old.Len())
	match := func(fits func(i, j int) bool) {
		for j := range of {
			for i := 0; i < len(taken) && of[j] < 0; i++ {
				if !taken[i] && fits(i, j) {
					of[j], taken[i] = i, true
				}
			}
		}
	}
	for j := range of {
		of[j] = -1
	}
	named := func(i, j int) bool {
		return old.Index(i).FieldByName(name).String() == next.Index(j).FieldByName(name).String()
	}
	match(func(i, j int) bool { return i == j && named(i, j) }) // several may have one name: port 0
	match(named)
	match(func(i, j int) bool { return i == j })
	for j, i := range of {
		all = append(all, [2]int{i, j})
	}
	for i, done := range taken {
		if !done {
			all = append(all, [2]int{i, -1})
		}
	}
	return all
}

// same reports whether two values are, wherever they were written.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		return same(a.Elem(), b.Elem())
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[Pos]() {
			return true
		}
		if a.Type().PkgPath() != reflect.TypeFor[Config]().PkgPath() || a.Type() == reflect.TypeFor[Settings]() {
			break
		}
		for i := range a.NumField() {
			if a.Type().Field(i).IsExported() && !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// clone is as deep as walk goes.
func clone(c *Config) *Config {
	copied := *c
	copied.Listeners = slices.Clone(c.Listeners)
	copied.AutoAuths = slices.Clone(c.AutoAuths)
	for i := range copied.AutoAuths {
		copied.AutoAuths[i].Sinks = slices.Clone(copied.AutoAuths[i].Sinks)
	}
	if c.Cache != nil {
		cache := *c.Cache
		copied.Cache = &cache
		if c.Cache.Persist != nil {
			persist := *c.Cache.Persist
			cache.Persist = &persist
		}
	}
	if c.Telemetry.OTLP != nil {
		otlp := *c.Telemetry.OTLP
		copied.Telemetry.OTLP = &otlp
	}
	if c.Telemetry.Traces != nil {
		traces := *c.Telemetry.Traces
		copied.Telemetry.Traces = &traces
	}
	return &copied
}

// showable are the texts that may be shown: names, and where things are. An address can hold a password, a setting of a method anything.
var showable = map[string]bool{
	"vault.ca_cert": true, "vault.ca_path": true, "vault.client_cert": true, "vault.client_key": true, "vault.tls_server_name": true,
	"vault.namespace": true, "vault.redirect_hosts": true, "api_proxy.prepend_configured_namespace": true,
	"auto_auth.name": true, "auto_auth.method.type": true, "auto_auth.method.mount_path": true, "auto_auth.method.namespace": true,
	"auto_auth.sink.type": true, "auto_auth.sink.path": true, "auto_auth.sink.owner": true, "auto_auth.sink.group": true, "auto_auth.sink.dh_path": true,
	"cache.persist.type": true, "cache.persist.path": true, "cache.persist.service_account_token_file": true, "cache.persist.key_file": true,
	"cache.persist.credential": true, "cache.persist.key_env": true, "cache.persist.transit_mount": true, "cache.persist.transit_key": true,
	"listener.address": true, "listener.tls_cert_file": true, "listener.tls_key_file": true, "listener.auto_auth": true,
	"listener.type": true, "listener.socket_user": true, "listener.socket_group": true, "listener.systemd_socket": true, "listener.tls_client_ca_file": true,
	"pid_file": true, "admin_socket": true, "log_format": true,
	"telemetry.metrics_prefix": true, "telemetry.prefix_filter": true, "telemetry.statsd_address": true, "telemetry.statsite_address": true,
	"telemetry.dogstatsd_addr": true, "telemetry.dogstatsd_tags": true, "telemetry.otlp.protocol": true, "telemetry.otlp.ca_cert": true,
}

var (
	consistencyWords  = [...]string{"never", "always, fail", "always, retry", "always, forward"}
	forwardedForWords = [...]string{"off", "append", "replace"}
)

// shown is a value for people; "" when it may hold a secret.
func shown(key string, v reflect.Value) string {
	if !v.IsValid() {
		return ""
	}
	switch x := v.Interface().(type) {
	case Consistency:
		return consistencyWords[x]
	case ForwardedFor:
		return forwardedForWords[x]
	case fmt.Stringer: // durations, levels, modes of files
		if v.Kind() != reflect.String && v.Kind() != reflect.Struct && v.Kind() != reflect.Pointer {
			return x.String()
		}
	}
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16,
		reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return fmt.Sprint(v.Interface())
	case reflect.String:
		if showable[key] {
			return v.String()
		}
	case reflect.Slice:
		if showable[key] && v.Type().Elem().Kind() == reflect.String {
			return fmt.Sprintf("%q", v.Interface())
		}
	}
	return ""
}

func keysOf(t reflect.Type, key string, add func(key string)) {
	switch {
	case inside(t):
		for i := range t.NumField() {
			if word := wordOf(t, t.Field(i)); word != "" {
				keysOf(t.Field(i).Type, join(key, word), add)
			}
		}
	case t.Kind() == reflect.Pointer && inside(t.Elem()), t.Kind() == reflect.Slice && stanzaNames[t.Elem()] != "":
		add(key)
		keysOf(t.Elem(), key, add)
	default:
		add(key)
	}
}
