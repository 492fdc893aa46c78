package config

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// duplicatesVariable is Vault's switch from errors to warnings for arguments that a file sets twice; the last one wins.
// It covers JSON here too, where Vault never minds.
const duplicatesVariable = "VAULT_ALLOW_PENDING_REMOVAL_DUPLICATE_HCL_ATTRIBUTES"

// Load reads, merges and checks the files and directories of -config. Its error is a *[Problems] with everything that is wrong in any of them.
func Load(o Options) (*Config, error) {
	if strings.TrimSpace(strings.Join(o.Paths, "")) == "" {
		return nil, failure(Problem{Stanza: "-config", Text: "no configuration file was given", Remedy: "write for example -config=proxy.hcl"})
	}
	sources, problems := readAll(o.Paths)
	return parse(sources, problems, o)
}

func failure(p Problem) error { return &Problems{Errors: []Problem{p}} }

// Parse checks the text of a file. name is what problems call it; Paths are not used. Its error is a *[Problems].
func Parse(name string, src []byte, o Options) (*Config, error) {
	if len(src) > maxFile {
		return nil, failure(tooLarge(name))
	}
	return parse([]source{{name, src}}, nil, o)
}

// parse reads the files as one. problems are those of files that could not be read.
func parse(sources []source, problems []Problem, o Options) (*Config, error) {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	d := &decoder{env: o.LookupEnv, flags: o.Vault, strict: o.Strict, ignoreUnsupported: o.IgnoreUnsupported}
	d.errors, d.texts = problems, map[string][]byte{}
	top := block{pos: Pos{Line: 1, Column: 1}, body: &body{}}
	if len(o.Paths) > 0 {
		top.pos = Pos{File: strings.TrimSpace(o.Paths[0])} // of an empty directory
	}
	broken := len(problems) > 0
	var files []*body
	allow := d.allowsRepeated()
	for i, src := range sources {
		if i == 0 {
			top.pos = Pos{File: src.name, Line: 1, Column: 1}
		}
		d.files = append(d.files, src.name)
		d.texts[src.name] = src.text
		root, problem := parseTree(src.name, src.text)
		if problem != nil {
			d.fail(*problem)
			broken = true
			continue
		}
		d.repeated(root, allow)
		files = append(files, root)
	}
	if len(files) == 0 && broken {
		_, err := d.result()
		return nil, err
	}
	merged, dropped := merge(files)
	d.checkDropped(dropped)
	d.incomplete = broken
	d.lendAt, d.origins = nil, newOrigins(o.Sources)
	top.body = merged
	cfg := d.config(top, o)
	warnings, err := d.result()
	if err != nil {
		return nil, err
	}
	cfg.Files, cfg.Warnings, cfg.Settings = d.files, warnings, d.origins.all()
	return cfg, nil
}

// allowsRepeated reads Vault's switch.
func (d *decoder) allowsRepeated() bool {
	v := d.variable(duplicatesVariable)
	if v == "" {
		return false
	}
	allow, err := strconv.ParseBool(v)
	if err != nil {
		d.fail(Problem{Stanza: inEnvironment(duplicatesVariable), Text: "must be true or false", Remedy: "unset it"})
	}
	return allow
}

// repeated reports arguments that are set more than once.
func (d *decoder) repeated(root *body, allow bool) {
	say := d.fail
	if allow {
		say = d.warn
	}
	root.dropRepeated("", func(stanza string, first, again item) {
		say(Problem{
			Pos:    again.pos,
			Stanza: stanza,
			Text:   fmt.Sprintf("the argument %q was already set at line %d. Each argument can only be defined once", clip(again.key), first.pos.Line),
			Remedy: "remove one of the two",
		})
	})
}

// variable returns an environment variable; set but empty is as good as unset.
func (d *decoder) variable(name string) string {
	v, _ := d.env(name)
	return v
}

// config reads the whole file.
func (d *decoder) config(file block, o Options) *Config {
	top := d.section("", file, topKeys)
	cfg := &Config{
		Vault:           d.vault(top),
		AutoAuths:       d.autoAuths(top),
		Listeners:       d.listeners(top),
		AdminSocket:     d.adminSocket(top),
		PIDFile:         top.String("pid_file"),
		ExitAfterAuth:   top.Bool("exit_after_auth"),
		ShutdownTimeout: top.Duration("shutdown_timeout"),
	}
	cfg.Telemetry = d.telemetry(top)
	d.override(&cfg.Vault, o.Vault)
	cfg.APIProxy, cfg.Cache = d.apiProxyAndCache(top, cfg)
	cfg.LogLevel = firstGiven(d, d.places("-log-level", o.LogLevel, "VAULT_LOG_LEVEL", top, "log_level"), parseLogLevel)
	cfg.LogFormat = firstGiven(d, d.places("-log-format", o.LogFormat, "VAULT_LOG_FORMAT", top, "log_format"), parseLogFormat)
	cfg.LogFile = d.logFile(top, o.LogFile)
	cfg.AccessLog = d.accessLog(top)
	cfg.Connections = d.connections(top)
	if o.ExitAfterAuth != nil {
		cfg.ExitAfterAuth = *o.ExitAfterAuth
		d.outside("exit_after_auth", "-exit-after-auth", true, "", cfg.ExitAfterAuth)
	}
	d.checkCommandLine(o, cfg)
	d.keyless()
	if !d.incomplete { // what is missing may stand in the file that cannot be read
		d.validate(top, cfg)
	}
	return cfg
}

// validate applies the rules that span stanzas, in Vault Proxy's words.
func (d *decoder) validate(top section, cfg *Config) {
	if len(cfg.AutoAuths) == 0 && cfg.Cache == nil && len(cfg.Listeners) == 0 {
		d.fail(Problem{Pos: top.pos, Text: "no auto_auth, cache, or listener block found in config", Remedy: `write at least listener "tcp" { ... }`})
	}
	const addListener = `add listener "tcp" { ... }`
	if cfg.Cache != nil && len(cfg.Listeners) == 0 {
		d.fail(Problem{cfg.Cache.Pos, "cache", "enabling the cache requires at least 1 listener to be defined", addListener})
	}
	if cfg.APIProxy.Pos != (Pos{}) && len(cfg.Listeners) == 0 {
		d.fail(Problem{cfg.APIProxy.Pos, "api_proxy", "configuring the api_proxy requires at least 1 listener to be defined", addListener})
	}
	d.checkNames(cfg)
	d.checkWrapped(cfg)
	if a := cfg.AutoAuthNamed(""); a != nil && len(a.Sinks) == 0 && cfg.APIProxy.UseAutoAuthToken == Never {
		d.fail(Problem{
			a.Pos, "auto_auth",
			"auto_auth requires at least one sink, api_proxy.use_auto_auth_token=true, or cache.cache_static_secrets=true",
			`add sink "file" { ... }, or api_proxy { use_auto_auth_token = true }`,
		})
	}
}
