package main

import (
	"cmp"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"time"

	"leasehold/internal/api"
)

// usualAddress is where a Leasehold is that has no admin socket, and a listener with the usual address.
const usualAddress = "http://127.0.0.1:8100"

// healthFlags are those of the commands that probe.
type healthFlags struct {
	*askFlags
	require texts // parts, several in one with commas between
}

// newHealthFlags is newAskFlags for a command that probes, with a timeout of its own.
func newHealthFlags(name, usage string, stderr io.Writer, timeout time.Duration) (*flag.FlagSet, *healthFlags) {
	set, f := newAskFlags(name, usage, stderr)
	f.timeout = timeout
	set.Lookup("timeout").DefValue = timeout.String()
	h := &healthFlags{askFlags: f}
	set.Var(&h.require, "require", "`PARTS` that must be well, repeatable or with commas between, as auto_auth,sinks; without it, all must be ready")
	return set, h
}

// parse reads the command line, where nothing but flags may stand.
func (h *healthFlags) parse(set *flag.FlagSet, args []string) error {
	if err := parseOnlyFlags(set, args); err != nil {
		return err
	}
	if h.timeout <= 0 {
		return errors.New("-timeout has to be more than 0; write for example -timeout=10s")
	}
	return nil
}

// prober returns a client of the Leasehold that is named, or found by its admin socket, or else may be at the usual address: a container's root may have
// no place for a socket. within bounds each of its requests.
func (h *healthFlags) prober(within time.Duration) (*api.Client, error) {
	f := *h.askFlags
	f.timeout = within
	c, err := f.client()
	if err == nil || cmp.Or(f.address, os.Getenv("LEASEHOLD_ADDR")) != "" {
		return c, err
	}
	f.address = usualAddress
	return f.client()
}

// verdictOf is in one line what readyz says.
func verdictOf(r api.Readiness) string {
	bad, degraded := troubles(r)
	switch {
	case !r.Ready:
		return "not ready: " + strings.Join(bad, "; ")
	case len(degraded) > 0:
		return "ready, and degraded: " + strings.Join(degraded, "; ")
	}
	return "ready"
}

// troubles are the parts that are not ready, and those that are degraded, each with its reason.
func troubles(r api.Readiness) (bad, degraded []string) {
	for _, part := range r.Parts {
		text := part.Name + " is " + part.State
		if part.Reason != "" {
			text += ": " + part.Reason
		}
		switch text = printable(text); {
		case !part.Ready:
			bad = append(bad, text)
		case part.Degraded:
			degraded = append(degraded, text)
		}
	}
	return bad, degraded
}
