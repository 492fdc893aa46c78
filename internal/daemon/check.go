package daemon

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/telemetry"
)

// Findings are what a configuration meets on this machine.
type Findings struct {
	Errors   []config.Problem // what does not work
	Warnings []config.Problem // what works for now, or may work by the time it is needed
}

// Check looks at the files, directories and accounts that a configuration names, with the rights of this process. It changes nothing. Where a key stands it knows
// from a configuration that was loaded with Sources.
func Check(cfg *config.Config, now time.Time) Findings {
	c := &check{cfg: cfg, now: now}
	c.vault()
	for i, a := range cfg.AutoAuths {
		at := fmt.Sprintf("auto_auth[%d].", i)
		c.credentials(at+"method.config.", a.Method)
		for n, s := range a.Sinks {
			c.sink(fmt.Sprintf("%ssink[%d].config.", at, n), s)
		}
	}
	if cfg.Cache != nil && cfg.Cache.Persist != nil {
		c.directory(c.at("cache.persist.path", cfg.Cache.Persist.Pos, "cache"), "persist.path", cfg.Cache.Persist.Path)
	}
	for i, l := range cfg.Listeners {
		at := fmt.Sprintf("listener[%d].", i)
		if l.Type == "unix" && !strings.HasPrefix(l.Address, "@") {
			c.socket(at, l)
		}
		if !l.TLSDisable && l.TLSClientCAFile != "" {
			c.authorities(c.at(at+"tls_client_ca_file", l.Pos, "listener"), "tls_client_ca_file", l.TLSClientCAFile)
		}
		if !l.TLSDisable {
			c.pair(c.at(at+"tls_cert_file", l.Pos, "listener"), c.at(at+"tls_key_file", l.Pos, "listener"), l.TLSCertFile, l.TLSKeyFile)
		}
	}
	if o := cfg.Telemetry.OTLP; o != nil {
		c.collector(o)
	}
	if cfg.PIDFile != "" {
		c.pidFile(cfg.PIDFile)
	}
	if f := cfg.LogFile; f != nil {
		c.logFile(f.Path)
	}
	if a := cfg.AccessLog; a != nil && a.Path != "stdout" && a.Path != "stderr" {
		c.directory(c.at("access_log.path", a.Pos, "access_log"), "the directory of access_log", filepath.Dir(a.Path))
	}
	return c.found
}

type check struct {
	cfg   *config.Config
	now   time.Time
	found Findings
}

// at is the beginning of a problem with a key: where the key stands, or else its stanza.
func (c *check) at(path string, stanza config.Pos, name string) config.Problem {
	for _, s := range c.cfg.Settings {
		if s.Path == path && s.Source.Kind == config.SourceFile {
			return config.Problem{Pos: s.Source.Pos, Stanza: name}
		}
	}
	return config.Problem{Pos: stanza, Stanza: name}
}

func (c *check) fail(p config.Problem, remedy, format string, values ...any) {
	p.Text, p.Remedy = fmt.Sprintf(format, values...), remedy
	c.found.Errors = append(c.found.Errors, p)
}

func (c *check) warn(p config.Problem, remedy, format string, values ...any) {
	p.Text, p.Remedy = fmt.Sprintf(format, values...), remedy
	c.found.Warnings = append(c.found.Warnings, p)
}

// vault looks at the files of the vault stanza. What a variable or a flag has put in the place of a key is not at the key's place.
func (c *check) vault() {
	v := c.cfg.Vault
	at := func(key, value string) config.Problem {
		for _, s := range c.cfg.Settings {
			if s.Path == "vault."+key && s.Value == any(value) {
				return config.Problem{Pos: s.Source.Pos, Stanza: "vault"}
			}
		}
		return config.Problem{Stanza: "vault"}
	}
	if v.CACert != "" {
		c.authorities(at("ca_cert", v.CACert), "ca_cert", v.CACert)
	}
	if v.CAPath != "" && v.CACert == "" {
		c.authorityDirectory(at("ca_path", v.CAPath), v.CAPath)
	}
	if v.ClientCert != "" && v.ClientKey != "" {
		c.pair(at("client_cert", v.ClientCert), at("client_key", v.ClientKey), v.ClientCert, v.ClientKey)
	}
}

// authorities looks at a PEM file of CAs.
func (c *check) collector(o *config.OTLP) {
	if o.CACert != "" {
		c.authorities(c.at("telemetry.otlp.ca_cert", o.Pos, "telemetry"), "otlp.ca_cert", o.CACert)
	}
	if err := (telemetry.OTLP{GRPC: o.Protocol == "grpc"}).Check(); err != nil {
		what, remedy, _ := strings.Cut(err.Error(), "; ")
		c.fail(c.at("telemetry.otlp.protocol", o.Pos, "telemetry"), remedy, "otlp.protocol: %s", what)
	}
}

func (c *check) authorities(at config.Problem, key, path string) {
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		c.fail(at, "give a PEM file that Leasehold may read", "%s: %v", key, err)
	case !x509.NewCertPool().AppendCertsFromPEM(text):
		c.fail(at, "give a PEM file of certificates", "%s: %s holds no certificate", key, path)
	}
}

func (c *check) authorityDirectory(at config.Problem, path string) {
	pool, some := x509.NewCertPool(), false
	files := os.DirFS(path)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		some = pool.AppendCertsFromPEM(text) || some
		return err
	})
	switch {
	case err != nil:
		c.fail(at, "give a directory that Leasehold may read", "ca_path: %s: %v", path, err)
	case !some:
		c.fail(at, "give a directory of PEM files", "ca_path: %s holds no certificate", path)
	}
}

// directory looks whether files can be made in one.
func (c *check) directory(at config.Problem, what, path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		c.fail(at, "make the directory, or choose another", "%s: %v", what, err)
	case !info.IsDir():
		c.fail(at, "choose a directory", "%s: %s is no directory", what, path)
	default:
		if err := writable(path); err != nil {
			c.fail(at, "let Leasehold write there, or choose another", "%s: %s: %v", what, path, err)
		}
	}
}

func (c *check) sink(path string, s config.Sink) {
	c.directory(c.at(path+"path", s.Pos, "auto_auth"), "the directory of sink.config.path", filepath.Dir(s.Path))
	if info, err := os.Stat(s.Path); err == nil && info.IsDir() {
		c.fail(c.at(path+"path", s.Pos, "auto_auth"), "name a file", "sink.config.path: %s is a directory", s.Path)
	}
	c.owner(path+"owner", "sink.config.owner", s.Pos, "auto_auth", s.Owner)
	c.group(path+"group", "sink.config.group", s.Pos, "auto_auth", s.Group)
}

// exists tells whether an account can be looked up; numbers, and none, need no look.
func exists(account string, lookUp func(string) error) bool {
	if _, err := strconv.ParseUint(account, 10, 32); err == nil || account == "" {
		return true
	}
	return lookUp(account) == nil
}

// credentialFiles are the keys of login methods that name a file.
var credentialFiles = map[string][]string{
	"approle": {"role_id_file_path", "secret_id_file_path"}, "cert": {"ca_cert", "client_cert", "client_key"}, "jwt": {"path"},
	"kerberos": {"keytab_path", "krb5conf_path"}, "kubernetes": {"token_path"}, "ldap": {"password_file_path"}, "token_file": {"token_file_path"},
}

// credentials looks at the files of a login method. One that is missing may come later.
func (c *check) credentials(path string, m config.Method) {
	for _, key := range credentialFiles[m.Type] {
		name := m.Settings.String(key)
		if name == "" {
			continue
		}
		f, err := os.Open(name)
		switch at := c.at(path+key, m.Pos, "auto_auth"); {
		case errors.Is(err, fs.ErrNotExist):
			c.warn(at, "logins fail until there is one", "method.config.%s: there is no file %s", key, name)
		case err != nil:
			c.fail(at, "let Leasehold read the file", "method.config.%s: %v", key, err)
		default:
			_ = f.Close() // nothing was written
		}
	}
}

// encryptedKey tells whether a PEM key needs a passphrase.
func encryptedKey(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
	return false
}
