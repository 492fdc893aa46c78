package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
)

// errTold is of a command that has said already what is wrong.
var errTold = errors.New("told")

// verdictJSON is what validate -json prints.
type verdictJSON struct {
	Valid    bool          `json:"valid"`
	Errors   []problemJSON `json:"errors"`
	Warnings []problemJSON `json:"warnings"`
	Notes    []string      `json:"notes,omitempty"`
}

type problemJSON struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Stanza string `json:"stanza,omitempty"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// validate runs `leasehold validate`: the loading of the daemon with -strict, and then what the configuration meets on this machine.
func validate(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var connect, asJSON bool
	f, err := parseFlags(args, stderr, func(set *flag.FlagSet) {
		set.BoolVar(&connect, "connect", false, "ask Vault how it is, and try the addresses of the listeners")
		set.BoolVar(&asJSON, "json", false, "print JSON")
	})
	if err != nil {
		return err
	}
	dropOverridden(f.vault)
	o := f.options()
	o.Strict, o.Sources = true, true
	var problems config.Problems
	var notes []string
	cfg, err := config.Load(o)
	if loading, ok := errors.AsType[*config.Problems](err); ok {
		problems = *loading
	} else if err != nil {
		return err
	} else {
		found := daemon.Check(cfg, time.Now())
		problems.Errors, problems.Warnings = found.Errors, append(cfg.Warnings, found.Warnings...)
		if connect {
			notes, found = daemon.Connect(ctx, cfg, version)
			problems.Errors = append(problems.Errors, found.Errors...)
		}
	}
	if asJSON {
		return verdictAsJSON(stdout, &problems, notes)
	}
	printWarnings(stdout, problems.Warnings)
	for _, note := range notes {
		_, _ = fmt.Fprintln(stdout, "note:", note)
	}
	if len(problems.Errors) > 0 {
		return &problems
	}
	_, err = fmt.Fprintln(stdout, "the configuration is good")
	return err
}

func verdictAsJSON(stdout io.Writer, p *config.Problems, notes []string) error {
	v := verdictJSON{Valid: len(p.Errors) == 0, Errors: plain(p.Errors), Warnings: plain(p.Warnings), Notes: notes}
	if err := json.NewEncoder(stdout).Encode(v); err != nil {
		return err
	}
	if !v.Valid {
		return errTold
	}
	return nil
}

func plain(problems []config.Problem) []problemJSON {
	all := make([]problemJSON, len(problems)) // [] and not null
	for i, p := range problems {
		all[i] = problemJSON{p.Pos.File, p.Pos.Line, p.Pos.Column, p.Stanza, p.Text, p.Remedy}
	}
	return all
}
