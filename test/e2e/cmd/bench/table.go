package main

import (
	"fmt"
	"io"
)

// table prints rows as they are measured.
type table struct{ out io.Writer }

// budget is a bound of docs/design.md. The zero value is none.
type budget struct {
	text   string // as the table shows it
	within func(float64) bool
}

func atLeast(limit float64) budget {
	return budget{fmt.Sprintf("at least %g", limit), func(v float64) bool { return v >= limit }}
}

// atMost has the unit of the figure, with a space in front, or "".
func atMost(limit float64, unit string) budget {
	return budget{fmt.Sprintf("at most %g%s", limit, unit), func(v float64) bool { return v <= limit }}
}

func exactly(want float64) budget {
	return budget{fmt.Sprintf("exactly %g", want), func(v float64) bool { return v == want }}
}

const columns = "%-46s %-25s %-16s %-11s  %s\n"

func (t table) begin(machine string) {
	fmt.Fprintf(t.out, "%s\n\n"+columns, machine, "what", "measured", "budget", "", "how")
}

// row prints one figure: value is what the budget judges, measured how the table shows it.
func (t table) row(what string, value float64, measured string, b budget, how string) {
	verdict := ""
	switch {
	case b.within == nil:
	case b.within(value):
		verdict = "ok"
	default:
		verdict = "over budget"
	}
	fmt.Fprintf(t.out, columns, what, measured, b.text, verdict, how)
}
