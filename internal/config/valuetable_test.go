package config_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"leasehold/internal/config"
)

// keyOf is a key for values of one kind: how a file looks with it, and what is read.
type keyOf struct {
	hcl, json string // with %s where the value stands
	read      func(*config.Config) any
}

const jsonTCP = `"listener": [{"tcp": {"tls_disable": true}}]`

var (
	aDuration = keyOf{"shutdown_timeout = %s\n" + tcp, `{"shutdown_timeout": %s, ` + jsonTCP + "}", func(c *config.Config) any { return c.ShutdownTimeout }}
	aBoolean  = keyOf{"exit_after_auth = %s\n" + tcp, `{"exit_after_auth": %s, ` + jsonTCP + "}", func(c *config.Config) any { return c.ExitAfterAuth }}
	aNumber   = keyOf{"cache {\n  max_entries = %s\n}\n" + tcp, `{"cache": {"max_entries": %s}, ` + jsonTCP + "}", func(c *config.Config) any { return c.Cache.MaxEntries }}
	aSize     = keyOf{"cache {\n  max_entry_size = %s\n}\n" + tcp, `{"cache": {"max_entry_size": %s}, ` + jsonTCP + "}", func(c *config.Config) any { return c.Cache.MaxEntrySize }}
	aLimit    = keyOf{"listener \"tcp\" {\n  tls_disable = true\n  max_request_size = %s\n}\n", `{"listener": {"tcp": {"tls_disable": true, "max_request_size": %s}}}`,
		func(c *config.Config) any { return c.Listeners[0].MaxRequestSize }}
	aList = keyOf{"vault {\n  redirect_hosts = %s\n}\n" + tcp, `{"vault": {"redirect_hosts": %s}, ` + jsonTCP + "}", func(c *config.Config) any { return c.Vault.RedirectHosts }}
	aText = keyOf{"pid_file = %s\n" + tcp, `{"pid_file": %s, ` + jsonTCP + "}", func(c *config.Config) any { return c.PIDFile }}
	aWord = keyOf{"listener \"tcp\" {\n  tls_disable = true\n  role = %s\n}\n", `{"listener": {"tcp": {"tls_disable": true, "role": %s}}}`,
		func(c *config.Config) any { return c.Listeners[0].Role == config.RoleMetricsOnly }}
	aShare = keyOf{"cache {\n  renew_at = %s\n}\n" + tcp, `{"cache": {"renew_at": %s}, ` + jsonTCP + "}", func(c *config.Config) any { return c.Cache.RenewAt }}
	aRate  = keyOf{"cache {\n  renew_rate = %s\n}\n" + tcp, `{"cache": {"renew_rate": %s}, ` + jsonTCP + "}", func(c *config.Config) any { return c.Cache.RenewRate }}
	aMode  = keyOf{"listener \"unix\" {\n  address = \"/s\"\n  tls_disable = true\n  socket_mode = %s\n}\n", `{"listener": {"unix": {"address": "/s", "tls_disable": true, "socket_mode": %s}}}`,
		func(c *config.Config) any { return fmt.Sprintf("%#o", c.Listeners[0].SocketMode) }}
	anAccount = keyOf{"listener \"unix\" {\n  address = \"/s\"\n  tls_disable = true\n  socket_user = %s\n}\n", `{"listener": {"unix": {"address": "/s", "tls_disable": true, "socket_user": %s}}}`,
		func(c *config.Config) any { return c.Listeners[0].SocketUser }}
)

const no = "refused"

// How values are written, row by row of Vault's rules and of ours for what Vault does not have. Each is read from HCL, and from JSON where JSON has
// such a value.
var valueTable = []struct {
	row     string
	key     keyOf
	written map[string]string // the value as Go prints it, or no
}{
	{"duration: a whole number is seconds", aDuration, map[string]string{`5`: "5s", `"5"`: "5s", `0`: "0s", `"0"`: "0s", `-1`: no, `"-1"`: no}},
	{"duration: Go's", aDuration, map[string]string{`"90s"`: "1m30s", `"1h30m"`: "1h30m0s", `"500ms"`: "500ms", `"1.5h"`: "1h30m0s", `"-5s"`: no, `"5 s"`: no, `"s"`: no}},
	{"duration: days are whole", aDuration, map[string]string{`"2d"`: "48h0m0s", `"1.5d"`: no, `"1d12h"`: no, `"d"`: no, `"-1d"`: no}},
	{"duration: an empty text is zero", aDuration, map[string]string{`""`: "0s", `" "`: no}},
	{"duration: a fraction is cut", aDuration, map[string]string{`1.9`: "1s", `0.5`: "0s", `1e2`: "1m40s", `"1.9"`: no}},
	{"duration: what overflows is refused", aDuration, map[string]string{`9223372037`: no, `"9223372037"`: no, `"106752d"`: no, `"2562048h"`: no, `1e300`: no, `99999999999999999999`: no}},
	{"duration: nothing else", aDuration, map[string]string{`true`: no, `[]`: no, `["5s"]`: no, `{}`: no, `"soon"`: no}},
	{"whole numbers have other bases", aDuration, map[string]string{`0x10`: "16s", `010`: "8s"}},

	{"boolean", aBoolean, map[string]string{`true`: "true", `false`: "false"}},
	{"boolean: texts", aBoolean, map[string]string{`"true"`: "true", `"TRUE"`: "true", `"t"`: "true", `"T"`: "true", `"False"`: "false", `"f"`: "false", `"yes"`: no, `"on"`: no, `"tRUE"`: no}},
	{"boolean: numbers", aBoolean, map[string]string{`1`: "true", `0`: "false", `7`: "true", `-1`: "true", `"1"`: "true", `"0"`: "false", `"7"`: no, `0.5`: no}},
	{"boolean: an empty text is false", aBoolean, map[string]string{`""`: "false"}},
	{"boolean: nothing else", aBoolean, map[string]string{`[]`: no, `[true]`: no, `{}`: no}},

	{"number: also as a text", aNumber, map[string]string{`12`: "12", `"12"`: "12", `0x1f`: "31", `"0x1f"`: "31", `017`: "15", `"017"`: "15"}},
	{"number: nothing else", aNumber, map[string]string{`1.5`: no, `"1.5"`: no, `"many"`: no, `"1 2"`: no, `""`: no, `true`: no, `[]`: no, `{}`: no, `99999999999999999999`: no}},

	{"size: bytes", aSize, map[string]string{`5000`: "5000", `"5000"`: "5000", `0x1000`: "4096", `1.5`: no, `-1`: no, `"-1"`: no, `true`: no, `[]`: no, `"many"`: no}},
	{"size: units", aSize, map[string]string{`"512KiB"`: "524288", `"2 mib"`: "2097152", `"1GIB"`: "1073741824", `" 1 KiB "`: "1024", `"1KB"`: no, `"1.5MiB"`: no, `"KiB"`: no}},
	{"size: what overflows is refused", aSize, map[string]string{`"8589934592GiB"`: no, `9223372036854775808`: no}},
	{"size: zero is the default", aSize, map[string]string{`0`: "1048576", `"0"`: "1048576"}},
	{"size: below zero is no limit, where there may be none", aLimit, map[string]string{`-1`: "-1", `"-7"`: "-1", `0`: "33554432", `1`: "1"}},

	{"list", aList, map[string]string{`["a", "b"]`: "[a b]", `[]`: "[]", `["a", ""]`: "[a]", `[1]`: no, `[["a"]]`: no, `[true]`: no}},
	{"list: one text with commas", aList, map[string]string{`"a"`: "[a]", `"a,b"`: "[a b]", `" a , b "`: "[a b]", `""`: "[]", `","`: "[]"}},
	{"list: nothing else", aList, map[string]string{`5`: no, `true`: no, `{}`: no}},

	{"text", aText, map[string]string{`"a"`: "a", `""`: "", `"5"`: "5", `5`: no, `1.5`: no, `true`: no, `["a"]`: no, `{}`: no}},
	{"word: case does not count", aWord, map[string]string{`"metrics_only"`: "true", `"Metrics_Only"`: "true", `"default"`: "false", `"metrics"`: no, `5`: no, `""`: no}},
	{"share", aShare, map[string]string{`0.5`: "0.5", `"0.5"`: "0.5", `"50%"`: "0.5", `" 50% "`: "0.5", `1`: no, `"100%"`: no, `-0.1`: no, `"half"`: no, `true`: no}},
	{"rate: below zero is no limit", aRate, map[string]string{`12.5`: "12.5", `"12.5"`: "12.5", `-1`: "0", `"fast"`: no, `"5%"`: no, `"NaN"`: no, `"Inf"`: no}},
	{"mode: numbers are octal with a zero before", aMode, map[string]string{`0660`: "0660", `432`: "0660", `0x1b0`: "0660", `01000`: no, `-1`: no, `1.5`: no}},
	{"mode: texts are octal", aMode, map[string]string{`"0660"`: "0660", `"660"`: "0660", `"0o660"`: "0660", `"0999"`: no, `"rw"`: no, `""`: no, `true`: no}},
	{"account: a name or a number", anAccount, map[string]string{`"app"`: "app", `1000`: "1000", `"1000"`: "1000", `-1`: no, `1.5`: no, `true`: no, `["app"]`: no}},
}

func TestValues(t *testing.T) {
	for _, row := range valueTable {
		t.Run(row.row, func(t *testing.T) {
			for written, want := range row.written {
				check := func(name, form string) {
					t.Helper()
					cfg, err := config.Parse(name, fmt.Appendf(nil, form, written), config.Options{LookupEnv: env{}.lookup})
					got := no
					if err == nil {
						got = fmt.Sprint(row.key.read(cfg))
					}
					if got != want {
						t.Errorf("%s: %s is %s, want %s (%v)", name, written, got, want, err)
					}
				}
				check("t.hcl", row.key.hcl)
				if json.Valid([]byte(written)) {
					check("t.json", row.key.json)
				}
			}
		})
	}
}
