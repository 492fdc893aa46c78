package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"

	"leasehold/internal/config"
)

const configUsage = `usage: leasehold config show [-json] [flags]

show prints the configuration that the daemon would run with the same flags and variables, with the source of each value, and no secret.
`

// configCommand runs `leasehold config`.
func configCommand(args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "show" {
		return showConfig(args[1:], stdout, stderr)
	}
	_, _ = fmt.Fprint(stderr, configUsage)
	return errUsage
}

// showConfig loads as the daemon does.
func showConfig(args []string, stdout, stderr io.Writer) error {
	var asJSON bool
	f, err := parseFlags(args, stderr, func(set *flag.FlagSet) {
		set.BoolVar(&asJSON, "json", false, "print JSON")
	})
	if err != nil {
		return err
	}
	o := f.options()
	o.Sources = true
	cfg, err := config.Load(o)
	if problems, ok := errors.AsType[*config.Problems](err); ok {
		printWarnings(stderr, problems.Warnings)
	}
	if err != nil {
		return err
	}
	printWarnings(stderr, cfg.Warnings)
	if !asJSON {
		_, err = io.WriteString(stdout, config.Show(cfg.Settings))
		return err
	}
	e := json.NewEncoder(stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(cfg.Settings)
}

func printWarnings(to io.Writer, warnings []config.Problem) {
	for _, w := range warnings {
		_, _ = fmt.Fprintln(to, "warning:", w)
	}
}
