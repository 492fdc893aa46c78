package config_test

import (
	"fmt"
	"io/fs"
	"testing"
	"time"

	"leasehold/internal/config"
)

func TestDurations(t *testing.T) {
	for written, want := range map[string]time.Duration{
		`30`: 30 * time.Second, `"30"`: 30 * time.Second, `"90s"`: 90 * time.Second, `"1h30m"`: 90 * time.Minute,
		`"500ms"`: 500 * time.Millisecond, `"2d"`: 48 * time.Hour, `""`: 0, `1.9`: time.Second, `0x10`: 16 * time.Second,
	} {
		t.Run(written, func(t *testing.T) {
			if got := mustParse(t, "shutdown_timeout = "+written+"\n"+tcp).ShutdownTimeout; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	for _, written := range []string{`"soon"`, `"1.5d"`, `"-1s"`, `-1`, `true`, `[]`, `9999999999999`, `1e300`, `"106752d"`} {
		t.Run("refused "+written, func(t *testing.T) {
			if _, err := parse("shutdown_timeout = " + written + "\n" + tcp); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestBooleans(t *testing.T) {
	for written, want := range map[string]bool{
		`true`: true, `false`: false, `1`: true, `0`: false, `7`: true, `"t"`: true, `"F"`: false, `"1"`: true, `"true"`: true, `"False"`: false, `""`: false,
	} {
		t.Run(written, func(t *testing.T) {
			if got := mustParse(t, "exit_after_auth = "+written+"\n"+tcp).ExitAfterAuth; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	for _, written := range []string{`"yes"`, `"2"`, `1.5`, `[]`, `["true"]`} {
		t.Run("refused "+written, func(t *testing.T) {
			if _, err := parse("exit_after_auth = " + written + "\n" + tcp); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for name, tc := range map[string]struct {
		key     string
		entry   int64
		request int64
	}{
		"defaults":           {"", 1 << 20, 32 << 20},
		"bytes":              {"5000", 5000, 5000},
		"bytes as text":      {`"5000"`, 5000, 5000},
		"kibibytes":          {`"512KiB"`, 512 << 10, 512 << 10},
		"mebibytes, a blank": {`"2 mib"`, 2 << 20, 2 << 20},
		"gibibytes":          {`"1GiB"`, 1 << 30, 1 << 30},
		"zero":               {"0", 1 << 20, 32 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			entry, request := "", ""
			if tc.key != "" {
				entry, request = "max_entry_size = "+tc.key, "max_request_size = "+tc.key
			}
			cfg := mustParse(t, "cache {\n"+entry+"\n}\nlistener \"tcp\" {\ntls_disable = true\n"+request+"\n}")
			if cfg.Cache.MaxEntrySize != tc.entry || cfg.Listeners[0].MaxRequestSize != tc.request {
				t.Errorf("got %d and %d, want %d and %d", cfg.Cache.MaxEntrySize, cfg.Listeners[0].MaxRequestSize, tc.entry, tc.request)
			}
		})
	}
	cfg := mustParse(t, "listener \"tcp\" {\ntls_disable = true\nmax_request_size = -5\n}")
	if got := cfg.Listeners[0].MaxRequestSize; got != -1 {
		t.Errorf("a negative max_request_size = %d, want -1 for no limit", got)
	}
	if _, err := parse("cache {\nmax_entry_size = \"99999999999GiB\"\n}\n" + tcp); err == nil {
		t.Error("a size that overflows was accepted")
	}
}

func TestSinkModes(t *testing.T) {
	for written, tc := range map[string]struct {
		want fs.FileMode
		warn string
	}{
		`0600`:   {0o600, ""},
		`0640`:   {0o640, ""},
		`0x1a0`:  {0o640, ""},
		`"0640"`: {0o640, ""},
		`"400"`:  {0o400, ""},
		`"0o444"`: {0o444, `t.hcl:3: auto_auth: sink.config.mode = 0444 lets every user of the machine read the token; ` +
			`write mode = "0440", and set group if another user is to read it; or encrypt the sink`},
		`0666`: {0o666, `t.hcl:3: auto_auth: sink.config.mode = 0666 lets every user of the machine replace the token; ` +
			`write mode = "0660", and set group if another user is to read it`},
		`416`: {0o640, ""}, // the only way to write 0640 as a number in JSON
		`420`: {0o644, `t.hcl:3: auto_auth: sink.config.mode = 0644 lets every user of the machine read the token; ` +
			`write mode = "0640", and set group if another user is to read it; or encrypt the sink`},
		`256`: {0o400, ""},
		`0`:   {0, ""},
		`400`: {0o620, `t.hcl:3: auto_auth: sink.config.mode = 400 is a decimal number, 0620 in octal; write mode = "0400" if that was meant`},
		`444`: {0o674, `t.hcl:3: auto_auth: sink.config.mode = 444 is a decimal number, 0674 in octal; write mode = "0444" if that was meant`},
	} {
		t.Run(written, func(t *testing.T) {
			cfg := mustParse(t, "auto_auth {\n"+approle+`sink "file" { config = { path = "t", mode = `+written+" } }\n}")
			if got := cfg.AutoAuths[0].Sinks[0].Mode; got != tc.want {
				t.Errorf("mode %#o, want %#o", got, tc.want)
			}
			if got := lines(cfg.Warnings); got != tc.warn {
				t.Errorf("warnings: %s\nwant: %s", got, tc.warn)
			}
		})
	}
}

func TestRetries(t *testing.T) {
	for written, want := range map[string]int{
		"":                   12,
		"vault {}":           12,
		"vault { retry {} }": 12,

		"vault { retry { NUM_RETRIES = 0 } }":    12,
		"vault { retry { num_retries = 3 } }":    3,
		`vault { retry { num_retries = "3" } }`:  3,
		"vault { retry { num_retries = -1 } }":   0,
		"vault { retry { num_retries = -100 } }": 0,
	} {
		t.Run(written, func(t *testing.T) {
			if got := mustParse(t, written+"\n"+tcp).Vault.Retry.NumRetries; got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		})
	}
}

func TestTokenUse(t *testing.T) {
	if got := fmt.Sprint(config.Never, config.WhenAbsent, config.Force); got != "false true force" {
		t.Errorf("the values print as %s", got)
	}
	for written, want := range map[string]config.TokenUse{
		`true`: config.WhenAbsent, `"true"`: config.WhenAbsent, `1`: config.WhenAbsent,
		`false`: config.Never, `""`: config.Never,
		`"force"`: config.Force, `"FORCE"`: config.Force,
	} {
		for _, stanza := range []string{"api_proxy", "cache"} {
			t.Run(stanza+" "+written, func(t *testing.T) {
				cfg := mustParse(t, "auto_auth {\n"+approle+tokenSink+"}\n"+stanza+" {\nuse_auto_auth_token = "+written+"\n}\n"+tcp)
				if got := cfg.APIProxy.UseAutoAuthToken; got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

// A bare api_proxy stanza must not hide the Agent's legacy key (CFG-9).
func TestLegacyTokenUseSurvivesAnAPIProxyStanza(t *testing.T) {
	cfg := mustParse(t, "auto_auth {\n"+approle+"}\napi_proxy {}\ncache {\nuse_auto_auth_token = true\n}\n"+tcp)
	if got := cfg.APIProxy.UseAutoAuthToken; got != config.WhenAbsent {
		t.Errorf("got %v, want true", got)
	}
	const want = "t.hcl:6: cache: use_auto_auth_token is deprecated; write it in an api_proxy stanza"
	if got := lines(cfg.Warnings); got != want {
		t.Errorf("warnings: %s\nwant: %s", got, want)
	}
}

func TestAddressesAreNormalised(t *testing.T) {
	for written, want := range map[string]string{
		"https://vault.example:8200":           "https://vault.example:8200",
		"https://1.2.3.4":                      "https://1.2.3.4", // no brackets around IPv4 (CFG-7)
		"https://1.2.3.4:8200":                 "https://1.2.3.4:8200",
		"https://[2001:DB8:0:0::1]":            "https://[2001:db8::1]",
		"https://[2001:DB8:0:0::1]:8200":       "https://[2001:db8::1]:8200",
		"https://[2001:DB8::1]:8200/a?b#c":     "https://[2001:db8::1]:8200/a?b#c",
		"https://me:pw@[2001:DB8::1]:8200":     "https://me:pw@[2001:db8::1]:8200",
		"https://2001:DB8::1":                  "https://2001:DB8::1", // not an address inside a URL
		"https://[2001:DB8::1]x":               "https://[2001:DB8::1]x",
		"https://[::FFFF:1.2.3.4]:8200":        "https://[::ffff:1.2.3.4]:8200",
		"https://VAULT.example":                "https://VAULT.example",
		"unix:///run/[2001:DB8::1]/vault.sock": "unix:///run/[2001:DB8::1]/vault.sock",
	} {
		t.Run(written, func(t *testing.T) {
			if got := mustParse(t, "vault { address = \""+written+"\" }\n"+tcp).Vault.Address; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	for written, want := range map[string]string{
		"localhost:8200":            "localhost:8200",
		":8200":                     ":8200",
		"0.0.0.0:0":                 "0.0.0.0:0",
		"[::0]:8200":                "[::]:8200",
		"[2001:DB8:0:0::1]:8200":    "[2001:db8::1]:8200",
		"[fe80:0::1%eth0]:8200":     "[fe80::1%eth0]:8200",
		"2001:db8:0:0:0:0:0:1:8200": "[2001:db8::1]:8200",
	} {
		t.Run("listener "+written, func(t *testing.T) {
			cfg, err := parse("listener \"tcp\" {\ntls_disable = true\naddress = \"" + written + "\"\n}\n")
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.Listeners[0].Address; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
