package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// Exit codes, as Vault Proxy has them.
const (
	exitOK      = 0 // asked to stop (SIGINT, SIGTERM, quit), exit_after_auth done, -help, -version
	exitFailure = 1 // flags, configuration, start, or a part that failed while running
)

// exitCode is the one place that turns an error into an exit code and the sentence that the user reads.
func exitCode(stderr io.Writer, err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage): // package flag has said it already
		return exitFailure
	default:
		_, _ = fmt.Fprintln(stderr, "leasehold:", err)
		return exitFailure
	}
}
