package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
)

// flags are the command line.
type flags struct {
	config                    texts
	logLevel, logFormat       string
	logFile                   config.LogFileFlags
	exitAfterAuth             *bool
	version, verifyOnly       bool
	strict, ignoreUnsupported bool
	vault                     config.VaultFlags
	idle                      []string
	combineLogs               bool

	// These are for a Windows service, and no flags.
	ready  func(daemon.Started)
	reload <-chan struct{} // asks for a reload, as SIGHUP does elsewhere
	home   string          // the working directory, from which relative paths of the configuration are
}

func (f flags) options() config.Options {
	return config.Options{Paths: f.config, LogLevel: f.logLevel, LogFormat: f.logFormat, LogFile: f.logFile, ExitAfterAuth: f.exitAfterAuth,
		Strict: f.strict, IgnoreUnsupported: f.ignoreUnsupported, Vault: f.vault, Idle: f.idle, Sources: f.home != ""}
}

var errUsage = errors.New("usage")

// parseFlags reads the command line of the daemon, with the flags that a command adds.
func parseFlags(args []string, stderr io.Writer, more ...func(*flag.FlagSet)) (f flags, err error) {
	set := flag.NewFlagSet("leasehold", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() {
		_, _ = fmt.Fprintln(stderr, "usage: leasehold [flags]\n       leasehold validate [-connect] [-json] [flags]\n       leasehold config show [-json] [flags]\n       leasehold state check|stats [-config=FILE] [-json] STATEFILE\n       leasehold sink decrypt|keygen ...\n       leasehold status|leases|explain|clear|healthcheck|wait ...")
		set.PrintDefaults()
	}
	set.Var(&f.config, "config", "configuration `FILE` or directory, repeatable, of Vault Proxy or Vault Agent; without it, proxy VAULT_ADDR with VAULT_TOKEN")
	set.StringVar(&f.logLevel, "log-level", "", "trace, debug, info, warn or error (VAULT_LOG_LEVEL, log_level)")
	set.StringVar(&f.logFormat, "log-format", "", "standard, json or logfmt (VAULT_LOG_FORMAT, log_format)")
	logFileFlags(set, &f.logFile)
	exitAfterAuth := set.Bool("exit-after-auth", false, "exit once the token is in all sinks (exit_after_auth)")
	set.BoolVar(&f.version, "version", false, "print the version and exit")
	for _, name := range []string{"strict", "strict-config"} {
		set.BoolVar(&f.strict, name, false, "refuse unknown keys")
	}
	set.BoolVar(&f.ignoreUnsupported, "ignore-unsupported", false, "ignore template, env_template and exec")
	set.BoolVar(&f.verifyOnly, "test-verify-only", false, "check the configuration and exit")
	set.BoolVar(&f.combineLogs, "combine-logs", false, "log to standard output")
	set.Bool("disable-gated-logs", true, "accepted: logs are never held back")
	note := f.vaultFlags(set)
	for _, add := range more {
		add(set)
	}
	if err := set.Parse(args); err != nil {
		return f, errors.Join(errUsage, err)
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%q is neither a flag nor a command (there are: clear, config, explain, healthcheck, leases, service, sink, state, status, validate, wait); a configuration file is given as -config=FILE", set.Arg(0))
	}
	set.Visit(func(given *flag.Flag) {
		note(given.Name)
		if given.Name == "exit-after-auth" {
			f.exitAfterAuth = exitAfterAuth
		}
	})
	return f, nil
}

// texts are the values of a flag that may be repeated.
type texts []string

func (t *texts) String() string { return strings.Join(*t, " ") }

func (t *texts) Set(s string) error {
	*t = append(*t, s)
	return nil
}

// vaultFlags defines the flags of Vault's command line that say where Vault is, and those that mean nothing to a daemon. What it returns
// is told of each flag that was given.
func (f *flags) vaultFlags(set *flag.FlagSet) (note func(name string)) {
	set.StringVar(&f.vault.Address, "address", "", "`URL` of Vault (VAULT_ADDR, vault.address)")
	set.StringVar(&f.vault.CACert, "ca-cert", "", "PEM `FILE` (VAULT_CACERT, vault.ca_cert)")
	set.StringVar(&f.vault.CAPath, "ca-path", "", "`DIRECTORY` of PEM files (VAULT_CAPATH, vault.ca_path)")
	set.StringVar(&f.vault.ClientCert, "client-cert", "", "PEM `FILE` (VAULT_CLIENT_CERT, vault.client_cert)")
	set.StringVar(&f.vault.ClientKey, "client-key", "", "PEM `FILE` (VAULT_CLIENT_KEY, vault.client_key)")
	set.StringVar(&f.vault.TLSServerName, "tls-server-name", "", "name that Vault's certificate must have (VAULT_TLS_SERVER_NAME, vault.tls_server_name)")
	set.BoolVar(&f.vault.DisableRedirects, "disable-redirects", false, "leave redirects to the clients (VAULT_DISABLE_REDIRECTS, vault.pass_redirects)")
	skip := set.Bool("tls-skip-verify", false, "do not verify Vault's certificate (VAULT_SKIP_VERIFY, vault.tls_skip_verify)")
	namespace := set.String("namespace", "", "namespace for everything (VAULT_NAMESPACE)")
	ns := set.String("ns", "", "as -namespace, and wins over it")
	set.Var((*texts)(&f.vault.Headers), "header", "`NAME=VALUE`, repeatable: a header that logins carry")
	idle := map[string]bool{}
	for _, name := range []string{"agent-address", "mfa", "wrap-ttl", "unlock-key"} {
		idle[name] = true
		set.Func(name, "accepted, without effect", func(string) error { return nil })
	}
	for _, name := range []string{"policy-override", "non-interactive", "output-curl-string", "output-policy"} {
		idle[name] = true
		set.BoolFunc(name, "accepted, without effect", func(string) error { return nil })
	}
	return func(name string) {
		switch {
		case name == "tls-skip-verify":
			f.vault.TLSSkipVerify = skip
		case name == "namespace" || name == "ns":
			f.vault.Namespace = cmp.Or(*ns, *namespace)
		case idle[name]:
			f.idle = append(f.idle, "-"+name)
		}
	}
}
