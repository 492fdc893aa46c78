package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"leasehold/internal/api"
)

const explainUsage = `usage: leasehold explain [-namespace=NS] [-uid=UID] [-client-cn=NAME] [-json] [flags] METHOD PATH

explain tells what a running Leasehold would do with a request, and why, without sending it: what each listener says to it, and what the cache would do with
it, without a token and with those that Leasehold lends. It ends with 0 when a listener would let the request pass, 2 when none would, and 1 when
Leasehold cannot be asked.
`

// explain runs `leasehold explain`.
func explain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, f := newAskFlags("explain", explainUsage, stderr)
	var q api.ExplainQuery
	set.StringVar(&q.Namespace, "namespace", "", "what X-Vault-Namespace says")
	set.StringVar(&q.UID, "uid", "", "the number of the user who would connect, on unix listeners, with the groups that the machine of Leasehold has for that user")
	set.StringVar(&q.ClientCN, "client-cn", "", "the common name of the client's certificate")
	rest, err := parseMixed(set, args)
	if err != nil {
		return errors.Join(errUsage, err)
	}
	if len(rest) != 2 {
		set.Usage()
		return errUsage
	}
	q.Method, q.Path = rest[0], rest[1]
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	e, err := c.Explain(ctx, q)
	if err != nil {
		return err
	}
	if f.asJSON {
		err = printJSON(stdout, e)
	} else {
		err = printExplanation(stdout, e)
	}
	if err == nil && !slices.ContainsFunc(e.Listeners, func(l api.ListenerView) bool { return l.Allowed }) {
		err = errNo
	}
	return err
}

// kindWords say what a request is.
var kindWords = map[string]string{
	"own": "an endpoint of Leasehold itself", "pass": "nothing that it creates could be kept", "creation": "what it creates could be kept",
	"renewal": "a renewal", "revocation": "a revocation",
}

func printExplanation(out io.Writer, e api.Explanation) error {
	p := printer{out: out}
	p.say("%s %s: %s", printable(e.Method), printable(e.Path), kindWords[e.Kind])
	switch e.Rule {
	case "":
	case "*":
		p.say("; no rule of the cache is for it")
	default:
		p.say("; rule %q of the cache is for it", printable(e.Rule))
	}
	p.say("\n")
	p.table("listeners", []string{"ADDRESS", "ANSWER", "LENDS", "WHY"}, len(e.Listeners), func(i int) []string {
		l := e.Listeners[i]
		answer := "goes on"
		if !l.Allowed {
			answer = fmt.Sprint(l.Status)
		}
		return []string{l.Address, answer, l.Token, l.Why}
	})
	p.table("the cache", []string{"TOKEN", "OUTCOME", "WHY", "KEPT"}, len(e.Cache), func(i int) []string {
		c := e.Cache[i]
		why := c.Why
		if c.Lease != "" {
			why += fmt.Sprintf(" (%s, %s left)", c.Lease, strings.TrimSpace(round(time.Duration(c.TTL)*time.Second)))
		}
		return []string{c.Token, c.Outcome, why, c.Kept}
	})
	return p.err
}
