package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"leasehold/internal/config"
)

// flags are the command line.
type flags struct {
	config              texts
	logLevel, logFormat string
	logFile             config.LogFileFlags
	exitAfterAuth       *bool
	version             bool
}

func (f flags) options() config.Options {
	return config.Options{Paths: f.config, LogLevel: f.logLevel, LogFormat: f.logFormat, LogFile: f.logFile, ExitAfterAuth: f.exitAfterAuth}
}

var errUsage = errors.New("usage")

func parseFlags(args []string, stderr io.Writer) (f flags, err error) {
	set := flag.NewFlagSet("leasehold", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() {
		_, _ = fmt.Fprintln(stderr, "usage: leasehold [flags]\n       leasehold state check|stats [-config=FILE] [-json] STATEFILE\n       leasehold sink decrypt|keygen ...")
		set.PrintDefaults()
	}
	set.Var(&f.config, "config", "configuration `FILE` or directory, repeatable, of Vault Proxy or Vault Agent; without it, proxy VAULT_ADDR with VAULT_TOKEN")
	set.StringVar(&f.logLevel, "log-level", "", "trace, debug, info, warn or error (VAULT_LOG_LEVEL, log_level)")
	set.StringVar(&f.logFormat, "log-format", "", "standard, json or logfmt (VAULT_LOG_FORMAT, log_format)")
	logFileFlags(set, &f.logFile)
	exitAfterAuth := set.Bool("exit-after-auth", false, "exit once the token is in all sinks (exit_after_auth)")
	set.BoolVar(&f.version, "version", false, "print the version and exit")
	if err := set.Parse(args); err != nil {
		return f, errors.Join(errUsage, err)
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%q is neither a flag nor a command (there are: sink, state); a configuration file is given as -config=FILE", set.Arg(0))
	}
	set.Visit(func(given *flag.Flag) {
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
