package config

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Pos is a place in a configuration file. The zero Pos is the place of flags and environment variables.
type Pos struct {
	File   string
	Line   int // from 1; 0 means the file as a whole
	Column int // from 1, in characters
}

// String returns "file:line", or "file" for the file as a whole.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Problem is one thing that is wrong, where it is, and what to do about it.
type Problem struct {
	Pos    Pos
	Stanza string // the top-level stanza, the flag or the variable; "" for a top-level key
	Text   string
	Remedy string
}

// String returns the problem on one line: "proxy.hcl:3: vault: what is wrong; what to do".
func (p Problem) String() string {
	var b strings.Builder
	for _, part := range []string{p.Pos.String(), p.Stanza} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(p.Text)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Problems is the error of [Load] and [Parse]. It carries the warnings too, because the misspelt key that a
// warning names is often the reason for the error next to it.
type Problems struct {
	texts map[string][]byte // of the files, for Report

	Errors   []Problem // at least one, in file order
	Warnings []Problem // in file order
}

// Error joins the errors, one a line. Warnings are not in it.
func (p *Problems) Error() string {
	lines := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		lines[i] = e.String()
	}
	return strings.Join(lines, "\n")
}

// maxReported bounds what Report prints.
const maxReported = 50

// Report is Error for a terminal: each error with its column, and below it the key that it is about. What stands right of the key is not
// shown: it may be a secret.
func (p *Problems) Report() string {
	var b strings.Builder
	for i, e := range p.Errors {
		if i == maxReported {
			fmt.Fprintf(&b, "and %d more\n", len(p.Errors)-i)
			break
		}
		line := e.String()
		if at := e.Pos.String(); e.Pos.Line > 0 && e.Pos.Column > 0 {
			line = fmt.Sprintf("%s:%d%s", at, e.Pos.Column, strings.TrimPrefix(line, at))
		}
		b.WriteString(line + "\n")
		if key := keyAt(p.texts[e.Pos.File], e.Pos); key != "" {
			number := fmt.Sprint(e.Pos.Line)
			fmt.Fprintf(&b, "  %s | %s ...\n  %s | ^\n", number, key, strings.Repeat(" ", len(number)))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// keyBefore is a key and what follows keys.
var keyBefore = regexp.MustCompile(`^("?[A-Za-z_][A-Za-z0-9_-]{0,60}"?)[ \t]*[={:]`)

// keyAt returns the key that begins at a place, "" when none does.
func keyAt(text []byte, at Pos) string {
	number := 0
	for line := range bytes.Lines(text) {
		if number++; number < at.Line {
			continue
		}
		if r := []rune(string(line)); at.Column > 0 && at.Column <= len(r) {
			if found := keyBefore.FindStringSubmatch(string(r[at.Column-1:])); found != nil {
				return found[1]
			}
		}
		break
	}
	return ""
}

// report collects what is found while a file is read.
type report struct {
	texts    map[string][]byte
	files    []string // in the order in which they are read
	errors   []Problem
	warnings []Problem
}

func (r *report) fail(p Problem) { r.errors = append(r.errors, p) }
func (r *report) warn(p Problem) { r.warnings = append(r.warnings, p) }

// result sorts what was found. The error is nil when there were only warnings.
func (r *report) result() ([]Problem, error) {
	slices.SortStableFunc(r.errors, r.byPlace)
	slices.SortStableFunc(r.warnings, r.byPlace)
	if len(r.errors) > 0 {
		return nil, &Problems{texts: r.texts, Errors: r.errors, Warnings: r.warnings}
	}
	return r.warnings, nil
}

// byPlace puts flags and variables first, then what belongs to a path that could not be read, then the files in their order.
func (r *report) byPlace(a, b Problem) int {
	return cmp.Or(cmp.Compare(r.order(a.Pos.File), r.order(b.Pos.File)), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
}

func (r *report) order(file string) int {
	if file == "" {
		return -2
	}
	return slices.Index(r.files, file)
}
