// Command leasehold stands between applications and Vault: it logs in, forwards, and answers repeated requests for tokens and leases from a cache
// that it keeps alive.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
	"leasehold/internal/telemetry"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "state" {
		protectMemory(stderr)
		return exitCode(stderr, state(ctx, args[1:], stdout, stderr))
	}
	if len(args) > 0 && args[0] == "sink" {
		protectMemory(stderr)
		return exitCode(stderr, sink(args[1:], stdout, stderr))
	}
	f, err := parseFlags(args, stderr)
	if err != nil {
		return exitCode(stderr, err)
	}
	if f.version {
		_, _ = fmt.Fprintf(stdout, "leasehold %s (%s %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exitOK
	}
	protectMemory(stderr)
	if f.config == "" {
		return exitCode(stderr, quick(ctx, f, stdout, stderr))
	}
	return exitCode(stderr, serve(ctx, f, stderr))
}

// protectMemory comes before any secret.
func protectMemory(stderr io.Writer) {
	if err := harden(); err != nil {
		_, _ = fmt.Fprintln(stderr, "warning: the memory of this process could not be protected from others of the same user:", err)
	}
}

// serve runs the daemon of a configuration file.
func serve(ctx context.Context, f flags, stderr io.Writer) error {
	reload := watchReloads(ctx)
	load := func() (*config.Config, error) { return config.Load(f.options()) }
	cfg, err := load()
	if err != nil {
		var problems *config.Problems
		if errors.As(err, &problems) {
			for _, w := range problems.Warnings {
				_, _ = fmt.Fprintln(stderr, "warning:", w)
			}
		}
		return err
	}
	logs, err := telemetry.OpenLogs(stderr, logSettings(cfg))
	if err != nil {
		return err
	}
	defer func() { _ = logs.Close() }() // what could not be written was told when it was
	log := logs.Logger()
	for _, w := range cfg.Warnings {
		log.Warn("configuration", slog.String("problem", w.String()))
	}
	watchProfiles(ctx, log)
	err = daemon.Run(ctx, cfg, daemon.Options{Version: version, Log: log, Dumps: watchDumps(ctx, stderr), Load: load, Reload: reload, Logs: logs})
	if err != nil {
		logs.Fatal(err)
	}
	return err
}

// quick runs the daemon without a configuration file and tells the user what to try.
func quick(ctx context.Context, f flags, stdout, stderr io.Writer) error {
	token, err := daemon.QuickToken()
	if err != nil {
		return err
	}
	cfg, err := daemon.Quick(f.options())
	if err != nil {
		return err
	}
	logs, err := telemetry.OpenLogs(stderr, logSettings(cfg))
	if err != nil {
		return err
	}
	defer func() { _ = logs.Close() }() // what could not be written was told when it was
	watchProfiles(ctx, logs.Logger())
	return daemon.Run(ctx, cfg, daemon.Options{
		Version: version, Token: token, Log: logs.Logger(), Dumps: watchDumps(ctx, stderr), Reload: watchReloads(ctx),
		Ready: func(s daemon.Started) {
			_, _ = fmt.Fprintf(stdout, quickText, version, s.Vault, s.Listeners[0], s.Accessor, s.Listeners[0])
		},
	})
}

const quickText = `Leasehold %s stands in front of %s and listens on %s.
Requests without a token carry yours (accessor %s); repeated requests for leases are answered from the cache. Ctrl-C ends it.
Try next:
  export VAULT_ADDR=%s
  curl -i "$VAULT_ADDR/v1/sys/health"    # then read something that gives a lease, twice: X-Cache: MISS, then HIT
`

// flags are the command line.
type flags struct {
	logFile                     config.LogFileFlags
	config, logLevel, logFormat string
	exitAfterAuth               *bool
	version                     bool
}

func (f flags) options() config.Options {
	return config.Options{Path: f.config, LogLevel: f.logLevel, LogFormat: f.logFormat, LogFile: f.logFile, ExitAfterAuth: f.exitAfterAuth}
}

var errUsage = errors.New("usage")

func parseFlags(args []string, stderr io.Writer) (f flags, err error) {
	set := flag.NewFlagSet("leasehold", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() {
		_, _ = fmt.Fprintln(stderr, "usage: leasehold [flags]\n       leasehold state check|stats [-config=FILE] [-json] STATEFILE\n       leasehold sink decrypt|keygen ...")
		set.PrintDefaults()
	}
	set.StringVar(&f.config, "config", "", "configuration `FILE` of Vault Proxy or Vault Agent; without it, proxy VAULT_ADDR with VAULT_TOKEN")
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
