package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"leasehold/internal/api"
)

const statusUsage = `usage: leasehold status [-json] [flags]

status tells how a running Leasehold is: its logins, Vault, the cache, renewals, the state file, and the last warnings and errors of its log. It ends with
0 when Leasehold is ready, 2 when it is not, and 1 when it cannot be asked.
`

// status runs `leasehold status`.
func status(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, f := newAskFlags("status", statusUsage, stderr)
	if err := parseOnlyFlags(set, args); err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if f.asJSON {
		err = printJSON(stdout, s)
	} else {
		err = printStatus(stdout, s, time.Now())
	}
	if err == nil && !s.Ready {
		err = errNo
	}
	return err
}

func printStatus(out io.Writer, s api.Status, now time.Time) error {
	ready := "ready"
	if !s.Ready {
		ready = "not ready"
	}
	p := printer{out: out}
	p.say("Leasehold %s, pid %d, up %s, %s\n", printable(s.Version), s.PID, round(time.Duration(s.Uptime)*time.Second), ready)
	p.table("listeners", []string{"ADDRESS", "ROLE", "LENDS FOR", "RIGHTS"}, len(s.Listeners), func(i int) []string {
		l := s.Listeners[i]
		rights := ""
		if l.Rights {
			rights = "limited"
		}
		return []string{l.Address, l.Role, l.AutoAuth, rights}
	})
	vault := "Vault"
	if s.Vault.Refused {
		vault = "Vault, which cannot be reached: requests are refused"
	}
	p.table(vault, []string{"ADDRESS", "STATE", "SINCE", "LAST ERROR"}, len(s.Vault.Nodes), func(i int) []string {
		n := s.Vault.Nodes[i]
		state, last := n.State, n.LastError
		if n.InUse {
			state += ", in use"
		}
		if n.ErrorAt != nil {
			last = ago(*n.ErrorAt, now) + ": " + last
		}
		return []string{n.Address, state, ago(n.Since, now), last}
	})
	p.table("logins", []string{"NAME", "METHOD", "STATE", "SINCE", "TOKEN", "EXPIRES", "NEXT", "FAILURES", "LAST ERROR"}, len(s.AutoAuth), func(i int) []string {
		l := s.AutoAuth[i]
		next := strings.TrimSpace(l.Next + " " + in(l.NextAt, now))
		return []string{l.Name, l.Method, l.State, ago(l.Since, now), l.AccessorHash, in(l.Expires, now), next, fmt.Sprint(l.Failures), l.LastError}
	})
	var sinks []api.Sink
	for _, l := range s.AutoAuth {
		sinks = append(sinks, l.Sinks...)
	}
	p.table("sinks", []string{"NAME", "TOKEN", "SINCE", "ERROR"}, len(sinks), func(i int) []string {
		k := sinks[i]
		state := "stored"
		if k.Behind || !k.Stored {
			state = "not stored"
		}
		return []string{k.Name, state, ago(k.Since, now), k.Error}
	})
	p.numbers(s, now)
	p.table("warnings and errors", []string{"WHEN", "LEVEL", "MESSAGE", "DETAILS"}, len(s.Problems), func(i int) []string {
		one := s.Problems[i]
		var details []string
		for _, key := range slices.Sorted(maps.Keys(one.Details)) {
			details = append(details, key+"="+one.Details[key])
		}
		return []string{ago(one.At, now), one.Level, one.Message, strings.Join(details, " ")}
	})
	return p.err
}

// printer keeps the first error.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) say(format string, values ...any) {
	if _, err := fmt.Fprintf(p.out, format, values...); p.err == nil {
		p.err = err
	}
}

// table prints a table with a title, and nothing without rows.
func (p *printer) table(title string, head []string, rows int, row func(i int) []string) {
	if rows == 0 {
		return
	}
	p.say("\n%s\n", title)
	t := newTable(p.out, head...)
	for i := range rows {
		t.row(row(i)...)
	}
	if err := t.flush(); p.err == nil {
		p.err = err
	}
}

// outcomes are those that X-Cache tells clients, in the order of their words.
func outcomes(of map[string]int64) string {
	var all []string
	for _, word := range slices.Sorted(maps.Keys(of)) {
		all = append(all, fmt.Sprintf("%s %d", word, of[word]))
	}
	return strings.Join(all, ", ")
}

// numbers prints what is counted: a row for each part.
func (p *printer) numbers(s api.Status, now time.Time) {
	var rows [][]string
	if c := s.Cache; c != nil {
		share := ""
		if all := c.Hits + c.Misses; all > 0 {
			share = fmt.Sprintf(" (%.1f %% of requests)", 100*float64(c.Hits)/float64(all))
		}
		held := fmt.Sprintf("%d entries, %d tokens, %s", c.Entries, c.Tokens, size(c.Bytes))
		if c.MaxBytes > 0 {
			held += " of " + size(c.MaxBytes)
		}
		rows = append(rows, []string{"cache", held},
			[]string{"", fmt.Sprintf("%d hits%s, %d misses, %d not kept for want of room", c.Hits, share, c.Misses, c.Full)},
			[]string{"", "X-Cache: " + outcomes(c.Outcomes)},
			[]string{"", fmt.Sprintf("%d fresh, %d due, %d failing, %d ending", c.States["fresh"], c.States["due"], c.States["failing"], c.States["ending"])})
	}
	next := "none planned"
	if s.Clock.NextDue != nil {
		next = "the next " + in(s.Clock.NextDue, now)
	}
	rows = append(rows, []string{"renewals", fmt.Sprintf("%d, and %d that failed; %s; behind by %s", s.Clock.Renewals, s.Clock.Failed, next, round(time.Duration(s.Clock.Lag*float64(time.Second))))})
	r := s.Requests
	rows = append(rows, []string{"requests", fmt.Sprintf("%d answered, %d with an error of the client; %d failed, %d abandoned, %d refused, %d denied", r.Success+r.ClientError, r.ClientError, r.Failed, r.Abandoned, r.Refused, r.Denied)})
	if f := s.StateFile; f != nil {
		rows = append(rows, []string{"state file", fmt.Sprintf("%s: %s, %s and %s ahead, %d commits, %d that failed, %d records to be written", f.Path, f.State, size(f.FileBytes), size(f.AheadBytes), f.Commits, f.CommitsFailed, f.Pending)})
	}
	c := s.Configuration
	if len(c.Files) > 0 {
		rows = append(rows, []string{"configuration", strings.Join(c.Files, ", ")})
	}
	if last := c.LastReload; last != nil {
		how := "went well"
		if !last.OK {
			how = "was refused: " + last.Error
		}
		rows = append(rows, []string{"last reload", ago(last.At, now) + ", " + how})
	}
	if len(c.NeedsRestart) > 0 {
		rows = append(rows, []string{"needs a restart", strings.Join(c.NeedsRestart, ", ")})
	}
	p.say("\n")
	t := newTable(p.out)
	for _, r := range rows {
		_, _ = fmt.Fprintf(t.w, "%s\t%s\n", r[0], printable(r[1])) // Flush tells
	}
	if err := t.flush(); p.err == nil {
		p.err = err
	}
}
