package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"leasehold/internal/api"
)

// errNo is the outcome of a command whose question was answered with no: exit code 2.
var errNo = errors.New("no")

// addressHelp is part of the usage of every command that asks a running Leasehold.
const addressHelp = `It asks the Leasehold at -address, or else LEASEHOLD_ADDR: http://HOST:PORT, https://HOST:PORT or unix:///PATH. Without either it looks for the admin
socket where a daemon has it by itself: in RUNTIME_DIRECTORY, XDG_RUNTIME_DIR/leasehold and /run/leasehold.
`

// askFlags are the flags of a command that asks a running Leasehold.
type askFlags struct {
	address string
	timeout time.Duration
	tls     api.TLS
	asJSON  bool
}

// newAskFlags returns a flag set for leasehold name, whose usage is printed where flags are wrong.
func newAskFlags(name, usage string, stderr io.Writer) (*flag.FlagSet, *askFlags) {
	set := flag.NewFlagSet("leasehold "+name, flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage, "\n", addressHelp, "\n")
		set.PrintDefaults()
	}
	f := &askFlags{}
	set.StringVar(&f.address, "address", "", "where Leasehold is (LEASEHOLD_ADDR)")
	set.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long an answer may take")
	set.StringVar(&f.tls.CACert, "ca-cert", "", "PEM `FILE` of the CA of Leasehold's certificate")
	set.StringVar(&f.tls.CAPath, "ca-path", "", "`DIRECTORY` of such files")
	set.StringVar(&f.tls.ClientCert, "client-cert", "", "PEM `FILE` of the certificate that Leasehold is shown")
	set.StringVar(&f.tls.ClientKey, "client-key", "", "PEM `FILE` of its key")
	set.StringVar(&f.tls.ServerName, "tls-server-name", "", "name that Leasehold's certificate must have")
	set.BoolVar(&f.tls.SkipVerify, "tls-skip-verify", false, "do not verify Leasehold's certificate")
	set.BoolVar(&f.asJSON, "json", false, "print JSON")
	return set, f
}

// parseOnlyFlags reads a command line on which nothing but flags may stand.
func parseOnlyFlags(set *flag.FlagSet, args []string) error {
	if err := set.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	if set.NArg() > 0 {
		set.Usage()
		return errUsage
	}
	return nil
}

// client returns a client of the Leasehold that the flags, the environment, or what is on this machine, name.
func (f *askFlags) client() (*api.Client, error) {
	address := cmp.Or(f.address, os.Getenv("LEASEHOLD_ADDR"))
	if address == "" {
		looked := api.Sockets(os.Getenv)
		for _, path := range looked {
			if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeSocket {
				address = "unix://" + path
				break
			}
		}
		if address == "" {
			return nil, fmt.Errorf("there is no admin socket (looked for: %s); start Leasehold, or name its address with -address or LEASEHOLD_ADDR", strings.Join(looked, ", "))
		}
	}
	return api.NewClient(api.Options{Address: address, Timeout: f.timeout, TLS: f.tls})
}

// printJSON prints what an endpoint has answered. What a terminal would take for more than a letter is escaped, also where JSON would not need that.
func printJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	b := make([]byte, 0, len(text)+1)
	for _, r := range string(text) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default: // only texts have such
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	_, err = out.Write(append(b, '\n'))
	return err
}

// table prints rows in columns. What a client has sent may be in them, and may not speak to the terminal.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer, head ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	if len(head) > 0 {
		t.row(head...)
	}
	return t
}

func (t table) row(cells ...string) {
	for i, c := range cells {
		if cells[i] = printable(c); cells[i] == "" {
			cells[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(t.w, strings.Join(cells, "\t")) // Flush tells
}

func (t table) flush() error { return t.w.Flush() }

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// ago is how long something has been, in round words.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return round(now.Sub(t)) + " ago"
}

// in is how long something will be.
func in(t *time.Time, now time.Time) string {
	switch {
	case t == nil:
		return ""
	case !t.After(now):
		return "now"
	}
	return "in " + round(t.Sub(now))
}

// round leaves out what nobody reads: the seconds of hours, the hours of weeks.
func round(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d >= 2*day:
		return fmt.Sprintf("%dd", d/day)
	case d >= time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	default:
		return d.Truncate(time.Second).String()
	}
}

// size is a number of bytes in round words.
func size(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
