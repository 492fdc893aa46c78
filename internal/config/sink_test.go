package config_test

import (
	"reflect"
	"testing"
	"time"

	"leasehold/internal/config"
)

// sinkWith is a stanza whose sink, at line 3, has these lines at 4 and on.
func sinkWith(lines string) string {
	return "auto_auth {\n" + approle + "  sink \"file\" {\n" + lines + "\n    config = { path = \"t\" }\n  }\n}\n"
}

func TestSinks(t *testing.T) {
	for name, tc := range map[string]struct {
		src, warn string
		want      config.Sink
	}{
		"bare":            {src: "", want: config.Sink{}},
		"empty keys":      {src: `wrap_ttl = 0, dh_type = "", dh_path = "", derive_key = false, aad = "", aad_env_var = ""`, want: config.Sink{}},
		"wrapped":         {src: `wrap_ttl = "5m"`, want: config.Sink{WrapTTL: 5 * time.Minute}},
		"wrapped, number": {src: `wrap_ttl = 90`, want: config.Sink{WrapTTL: 90 * time.Second}},
		"encrypted":       {src: "dh_type = \"curve25519\"\ndh_path = \"k\"", want: config.Sink{DHPath: "k"}},
		"all of it": {
			src:  "wrap_ttl = \"1h\"\ndh_type = \"curve25519\"\ndh_path = \"k\"\nderive_key = true\naad = \"ctx\"",
			want: config.Sink{WrapTTL: time.Hour, DHPath: "k", DeriveKey: true, AAD: "ctx"},
		},
		"the variable wins": {
			src:  "dh_type = \"curve25519\"\ndh_path = \"k\"\naad = \"ctx\"\naad_env_var = \"SINK_AAD\"",
			want: config.Sink{DHPath: "k", AAD: "from outside"},
		},
		"and does so when it is not set": {
			src:  "dh_type = \"curve25519\"\ndh_path = \"k\"\naad = \"ctx\"\naad_env_var = \"SINK_ADD\"",
			want: config.Sink{DHPath: "k"},
			warn: `t.hcl:7: auto_auth: the variable SINK_ADD of sink.aad_env_var is not set: the AAD is empty; set it`,
		},
		"a variable for nothing": {
			src:  `aad_env_var = "SINK_ADD"`,
			want: config.Sink{},
			warn: `t.hcl:4: auto_auth: sink.aad_env_var has no effect: the sink is not encrypted; write dh_type = "curve25519" and dh_path, or remove it`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("t.hcl", []byte(sinkWith(tc.src)), config.Options{LookupEnv: env{"SINK_AAD": "from outside"}.lookup})
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Pos, tc.want.Type, tc.want.Path, tc.want.Mode = cfg.AutoAuths[0].Sinks[0].Pos, "file", "t", 0o640
			if got := cfg.AutoAuths[0].Sinks[0]; !reflect.DeepEqual(got, tc.want) {
				t.Errorf("sink = %+v, want %+v", got, tc.want)
			}
			if got := lines(cfg.Warnings); got != tc.warn {
				t.Errorf("warnings: %s\nwant: %s", got, tc.warn)
			}
		})
	}
}

func TestBrokenSinks(t *testing.T) {
	const together = `t.hcl:3: auto_auth: 'dh_type' and 'dh_path' must be specified together; write dh_type = "curve25519" and the path of the client's public key`
	const without = ` means nothing without dh_type; write dh_type = "curve25519" and dh_path, or remove it`
	for name, tc := range map[string]struct{ src, want string }{
		"a type without a path": {`dh_type = "curve25519"`, together},
		"a path without a type": {`dh_path = "k"`, together},
		"another type": {
			"dh_type = \"p256\"\ndh_path = \"k\"",
			`t.hcl:4: auto_auth: sink.dh_type must be "curve25519", not "p256"; write dh_type = "curve25519"`,
		},
		"aad":                     {`aad = "x"`, `t.hcl:4: auto_auth: sink.aad` + without},
		"aad of the environment":  {`aad_env_var = "SINK_AAD"`, `t.hcl:4: auto_auth: sink.aad_env_var` + without},
		"derive_key":              {`derive_key = true`, `t.hcl:4: auto_auth: sink.derive_key` + without},
		"a wrap_ttl of no time":   {`wrap_ttl = "soon"`, `t.hcl:4: auto_auth: sink.wrap_ttl must be a duration of zero or more, not "soon"; write for example wrap_ttl = "30s"`},
		"a wrap_ttl below zero":   {`wrap_ttl = -1`, `t.hcl:4: auto_auth: sink.wrap_ttl must be a duration of zero or more, not -1; write for example wrap_ttl = "30s"`},
		"an AAD that is no text":  {`aad = 1234567`, `t.hcl:4: auto_auth: sink.aad must be text, not a number; write for example aad = "..."`},
		"derive_key in two words": {`derive_key = "yes please"`, `t.hcl:4: auto_auth: sink.derive_key must be true or false, not "yes please"; write for example derive_key = true`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("t.hcl", []byte(sinkWith(tc.src)), config.Options{LookupEnv: env{"SINK_AAD": "from outside"}.lookup})
			if err == nil || err.Error() != tc.want {
				t.Errorf("got:\n%v\nwant:\n%s", err, tc.want)
			}
		})
	}
}

func TestAnEncryptedSinkMayBeReadByAll(t *testing.T) {
	const encryption = "dh_type = \"curve25519\"\ndh_path = \"k\"\n"
	for name, tc := range map[string]struct{ sink, warn string }{
		"read":    {encryption + `config = { path = "t", mode = "0644" }`, ""},
		"wrapped": {"wrap_ttl = 60\nconfig = { path = \"t\", mode = \"0644\" }", "t.hcl:5: auto_auth: sink.config.mode = 0644 lets every user of the machine read the token; " + `write mode = "0640", and set group if another user is to read it; or encrypt the sink`},
		"written": {encryption + `config = { path = "t", mode = "0666" }`, `t.hcl:6: auto_auth: sink.config.mode = 0666 lets every user of the machine replace the token; write mode = "0660", and set group if another user is to read it`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, "auto_auth {\n"+approle+"  sink \"file\" {\n"+tc.sink+"\n  }\n}\n")
			if got := lines(cfg.Warnings); got != tc.warn {
				t.Errorf("warnings: %s\nwant: %s", got, tc.warn)
			}
		})
	}
}

func TestKeepExisting(t *testing.T) {
	cfg := mustParse(t, "auto_auth {\n"+approle+`sink "file" { config = { path = "t", keep_existing = true } }`+"\n}\n")
	if !cfg.AutoAuths[0].Sinks[0].KeepExisting || len(cfg.Warnings) > 0 {
		t.Errorf("sink = %+v; %v", cfg.AutoAuths[0].Sinks[0], cfg.Warnings)
	}
}
