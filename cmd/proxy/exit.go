package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"leasehold/internal/autoauth"
	"leasehold/internal/config"
	"leasehold/internal/vault"
)

// Exit codes. The first two are Vault Proxy's; the others are for max_attempts and total_timeout, which it does not have.
const (
	exitOK      = 0 // asked to stop (SIGINT, SIGTERM, quit), exit_after_auth done, -help, -version
	exitFailure = 1 // flags, configuration, start, a part that failed while running, or a failed login with exit_on_err
	exitNo      = 2 // the answer to a command's question is no: not ready, nothing matched, no listener lets it pass
	exitRefused = 3 // gave up to log in: Vault refuses, and another try with the same credentials cannot help
	exitAway    = 4 // gave up to log in: Vault or the credentials could not be had, and a later try may help
)

// exitCode is the one place that turns an error into an exit code and the sentence that the user reads.
func exitCode(stderr io.Writer, err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage), errors.Is(err, errTold): // package flag, or the command, has said it already
		return exitFailure
	case errors.Is(err, errNo):
		return exitNo
	}
	if problems, ok := errors.AsType[*config.Problems](err); ok {
		said := "the configuration cannot be used\n"
		if len(problems.Errors) == 1 {
			said = ""
		}
		_, _ = fmt.Fprintf(stderr, "leasehold: %s%s\n", said, problems.Report())
		return exitFailure
	}
	_, _ = fmt.Fprintln(stderr, "leasehold:", err)
	switch {
	case !errors.Is(err, autoauth.ErrGaveUp):
		return exitFailure
	case errors.Is(err, vault.ErrRefused):
		return exitRefused
	default:
		return exitAway
	}
}
