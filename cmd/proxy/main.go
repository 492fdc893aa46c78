// Command leasehold stands between applications and Vault: it logs in, forwards, and answers repeated requests for tokens and leases from a cache
// that it keeps alive.
package main

import (
	"context"
	"errors"
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
	if code, ran := runAsService(); ran {
		os.Exit(code)
	}
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
	if len(args) > 0 && args[0] == "validate" {
		protectMemory(stderr)
		return exitCode(stderr, validate(ctx, args[1:], stdout, stderr))
	}
	if len(args) > 0 && args[0] == "config" {
		protectMemory(stderr)
		return exitCode(stderr, configCommand(args[1:], stdout, stderr))
	}
	if len(args) > 0 && args[0] == "service" {
		return exitCode(stderr, service(args[1:], stderr))
	}
	if len(args) > 0 && asking[args[0]] != nil {
		protectMemory(stderr)
		return exitCode(stderr, asking[args[0]](ctx, args[1:], stdout, stderr))
	}
	if len(args) > 0 && (args[0] == "proxy" || args[0] == "agent") {
		args = args[1:] // unit files of Vault need another binary's name and no more
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
	dropOverridden(f.vault)
	if len(f.config) == 0 {
		return exitCode(stderr, quick(ctx, f, stdout, stderr))
	}
	log := stderr
	if f.combineLogs {
		log = stdout
	}
	return exitCode(stderr, serve(ctx, f, log, stdout, stderr))
}

// asking are the commands that ask a running Leasehold.
var asking = map[string]func(ctx context.Context, args []string, stdout, stderr io.Writer) error{
	"status": status, "leases": leases, "explain": explain, "clear": clearCache,
	"healthcheck": healthcheck, "wait": wait,
}

// protectMemory comes before any secret.
func protectMemory(stderr io.Writer) {
	if err := harden(); err != nil {
		_, _ = fmt.Fprintln(stderr, "warning: the memory of this process could not be protected from others of the same user:", err)
	}
}

// serve runs the daemon of a configuration file.
func serve(ctx context.Context, f flags, logTo, stdout, stderr io.Writer) error {
	reload := f.reload
	if reload == nil {
		reload = watchReloads(ctx)
	}
	load := func() (*config.Config, error) {
		cfg, err := config.Load(f.options())
		if err == nil && f.home != "" {
			cfg.Warnings = append(cfg.Warnings, relativePaths(cfg, f.home)...)
		}
		return cfg, err
	}
	cfg, err := load()
	if err != nil {
		var problems *config.Problems
		if errors.As(err, &problems) {
			printWarnings(stderr, problems.Warnings)
		}
		return err
	}
	logs, err := telemetry.OpenLogs(logTo, logSettings(cfg))
	if err != nil {
		return err
	}
	defer func() { _ = logs.Close() }() // what could not be written was told when it was
	log := logs.Logger()
	for _, w := range cfg.Warnings {
		log.Warn("configuration", slog.String("problem", w.String()))
	}
	if f.verifyOnly {
		return nil
	}
	watchProfiles(ctx, log)
	err = daemon.Run(ctx, cfg, daemon.Options{
		Version: version, Log: log, Ready: f.ready, Dumps: watchDumps(ctx, stderr), Load: load, Reload: reload, Logs: logs,
		Stdout: stdout, Stderr: stderr,
	})
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
