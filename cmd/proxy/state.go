package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
)

const stateUsage = `usage: leasehold state check|stats [-config=FILE] [-json] STATEFILE

check says whether a state file is whole, and ends with 0 or 1. stats tells what it holds. Neither changes anything, nor shows a secret. Without the
configuration that the file belongs to, its records are not opened. A file in use is refused: stop Leasehold, or look at a copy of STATEFILE and
STATEFILE.wal.
`

// state runs `leasehold state`.
func state(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] != "check" && args[0] != "stats" {
		_, _ = fmt.Fprint(stderr, stateUsage)
		return errUsage
	}
	set := flag.NewFlagSet("leasehold state "+args[0], flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() { _, _ = fmt.Fprint(stderr, stateUsage) }
	var paths texts
	set.Var(&paths, "config", "the configuration that the file belongs to, repeatable")
	asJSON := set.Bool("json", false, "print JSON")
	files, err := parseMixed(set, args[1:])
	if err != nil {
		return errors.Join(errUsage, err)
	}
	if len(files) != 1 {
		_, _ = fmt.Fprint(stderr, stateUsage)
		return errUsage
	}
	var cfg *config.Config
	if len(paths) > 0 {
		if cfg, err = config.Load(config.Options{Paths: paths}); err != nil {
			return err
		}
	}
	r, err := daemon.InspectState(ctx, files[0], cfg)
	if err != nil {
		return err
	}
	if *asJSON {
		err = json.NewEncoder(stdout).Encode(r)
	} else if args[0] == "stats" {
		err = printStats(stdout, r)
	} else {
		_, err = fmt.Fprintln(stdout, verdict(r))
	}
	if err == nil && r.Unreadable > 0 {
		err = fmt.Errorf("%d of %d records in %s cannot be read; the next start leaves them out, or ends there with exit_on_err", r.Unreadable, r.Records, r.Path)
	}
	return err
}

// parseMixed parses flags that may stand before and after the other arguments, which it returns.
func parseMixed(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		if set.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, set.Arg(0)), set.Args()[1:]
	}
}

func verdict(r daemon.StateReport) string {
	switch {
	case !r.Opened:
		return fmt.Sprintf("%s: whole, with %d records, which were not opened: that takes the key, which -config names", r.Path, r.Records)
	case r.Unreadable > 0:
		return fmt.Sprintf("%s: whole, but not all of its %d records", r.Path, r.Records)
	}
	return fmt.Sprintf("%s: whole, and all of its %d records can be read", r.Path, r.Records)
}

func printStats(out io.Writer, r daemon.StateReport) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) {
		_, _ = fmt.Fprintf(w, "%s\t"+format+"\n", append([]any{name}, values...)...) // Flush tells
	}
	row("file", "%s", r.Path)
	row("format", "%s, begun with persist %q, %s", r.Format, r.Protection, closedWord(r.Closed))
	row("size", "%d bytes, of which %d are free pages", r.Size, r.Free)
	row("write-ahead file", "%d bytes", r.AheadSize)
	row("records", "%d of %d bytes together, the largest of %d", r.Records, r.RecordBytes, r.LargestRecord)
	row("data key", "generation %d; %d records are sealed with older ones", r.Generation, r.OlderGenerations)
	if r.Opened {
		row("written ahead", "%d commits", r.Ahead)
		row("leases", "%d", r.Leases)
		row("tokens", "%d, and %d of auto-auth", r.Tokens, r.AutoAuthTokens)
		row("revocations", "%d under way", r.Revocations)
		row("ended", "%d", r.Expired)
		row("unreadable", "%d", r.Unreadable)
		if !r.FirstEnd.IsZero() {
			row("next end", "%s", r.FirstEnd.UTC().Format(time.RFC3339))
			row("last end", "%s", r.LastEnd.UTC().Format(time.RFC3339))
		}
	}
	return w.Flush()
}

func closedWord(closed bool) string {
	if closed {
		return "closed in order"
	}
	return "not closed: in use, or left by a crash"
}
