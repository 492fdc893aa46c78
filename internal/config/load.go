package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// maxFile bounds the input in bytes. Real files have a few KiB.
const maxFile = 1 << 20

// duplicatesVariable is Vault's switch from errors to warnings for arguments that a file sets twice; the last one wins.
// It covers JSON here too, where Vault never minds.
const duplicatesVariable = "VAULT_ALLOW_PENDING_REMOVAL_DUPLICATE_HCL_ATTRIBUTES"

// Load reads and checks the file of -config. Its error is a *[Problems] with everything that is wrong.
func Load(o Options) (*Config, error) {
	path := ""
	for _, p := range o.Paths {
		path = strings.TrimSpace(p)
	}
	if path == "" {
		return nil, failure(Problem{Stanza: "-config", Text: "no configuration file was given", Remedy: "write for example -config=proxy.hcl"})
	}
	src, err := readFile(path)
	if err != nil {
		return nil, failure(Problem{Pos: Pos{File: path}, Text: err.Error(), Remedy: "give -config one file that this user may read"})
	}
	return Parse(path, src, o)
}

// readFile reads at most one byte more than Parse accepts.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("directories of configuration files are not built yet")
	}
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return src, reason(err)
}

// reason drops the operation and the path, which the problem names already.
func reason(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

func failure(p Problem) error { return &Problems{Errors: []Problem{p}} }

// Parse checks the text of a file. name is what problems call it; Paths are not used. Its error is a *[Problems].
func Parse(name string, src []byte, o Options) (*Config, error) {
	if len(src) > maxFile {
		return nil, failure(Problem{Pos: Pos{File: name}, Text: fmt.Sprintf("the file is larger than %d bytes", maxFile), Remedy: "is it a configuration file?"})
	}
	root, problem := parseTree(name, src)
	if problem != nil {
		return nil, failure(*problem)
	}
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	d := &decoder{env: o.LookupEnv}
	d.repeated(root)
	cfg := d.config(block{pos: Pos{File: name, Line: 1, Column: 1}, body: root}, o)
	warnings, err := d.result()
	if err != nil {
		return nil, err
	}
	cfg.Warnings = warnings
	return cfg, nil
}

// repeated reports arguments that are set more than once.
func (d *decoder) repeated(root *body) {
	say := d.fail
	if v := d.variable(duplicatesVariable); v != "" {
		allow, err := strconv.ParseBool(v)
		if err != nil {
			d.fail(Problem{Stanza: duplicatesVariable, Text: "must be true or false", Remedy: "unset it"})
		}
		if allow {
			say = d.warn
		}
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
		PIDFile:         top.String("pid_file"),
		ExitAfterAuth:   top.Bool("exit_after_auth"),
		ShutdownTimeout: top.Duration("shutdown_timeout"),
	}
	cfg.APIProxy, cfg.Cache = d.apiProxyAndCache(top, cfg)
	cfg.LogLevel = firstGiven(d, d.places("-log-level", o.LogLevel, "VAULT_LOG_LEVEL", top, "log_level"), parseLogLevel)
	cfg.LogFormat = firstGiven(d, d.places("-log-format", o.LogFormat, "VAULT_LOG_FORMAT", top, "log_format"), parseLogFormat)
	if o.ExitAfterAuth != nil {
		cfg.ExitAfterAuth = *o.ExitAfterAuth
	}
	d.validate(top, cfg)
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
