package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"leasehold/internal/api"
)

const leasesUsage = `usage: leasehold leases [-mount=MOUNT] [-path=PATTERN] [-namespace=NS] [-kind=lease|token] [-accessor=ACCESSOR] [-state=STATE]
                        [-sort=KEY] [-order=asc|desc] [-limit=N] [-all] [-json] [flags]

leases lists what a running Leasehold holds: the leases and tokens that it answers with and keeps alive. Neither a token nor a lease id is shown. It ends
with 0 when something is listed, 2 when nothing is, and 1 when Leasehold cannot be asked.
`

// leases runs `leasehold leases`.
func leases(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, f := newAskFlags("leases", leasesUsage, stderr)
	var q api.LeaseQuery
	set.StringVar(&q.Mount, "mount", "", "only paths that begin so: whole segments, such as database")
	set.StringVar(&q.Path, "path", "", "only such `paths`: + stands for one segment, * at the end for anything")
	set.StringVar(&q.Namespace, "namespace", "", "only this namespace; root for the root")
	set.StringVar(&q.Kind, "kind", "", "lease or token")
	set.StringVar(&q.Accessor, "accessor", "", "only this token, and what hangs on it: its accessor, or the hash of that which is shown")
	set.StringVar(&q.State, "state", "", "fresh, due, failing or ending")
	set.StringVar(&q.Sort, "sort", "", "expiry (the default), hits, path, created or renewal")
	set.StringVar(&q.Order, "order", "", "asc (the default) or desc")
	set.IntVar(&q.Limit, "limit", 0, fmt.Sprintf("how many, %d at most (default %d)", api.MaxLeases, api.DefaultLeases))
	set.StringVar(&q.After, "after", "", "the page after the one that ended with this")
	all := set.Bool("all", false, "all pages")
	if err := parseOnlyFlags(set, args); err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if *all && q.Limit == 0 {
		q.Limit = api.MaxLeases
	}
	page, err := c.Leases(ctx, q)
	for *all && err == nil && page.Next != "" {
		var more api.LeasePage
		q.After = page.Next
		more, err = c.Leases(ctx, q)
		page.Total, page.Next, page.Leases = more.Total, more.Next, append(page.Leases, more.Leases...)
	}
	if err != nil {
		return err
	}
	if f.asJSON {
		err = printJSON(stdout, page)
	} else {
		err = printLeases(stdout, page, time.Now())
	}
	if err == nil && len(page.Leases) == 0 {
		err = errNo
	}
	return err
}

func printLeases(out io.Writer, page api.LeasePage, now time.Time) error {
	if len(page.Leases) == 0 {
		_, err := fmt.Fprintln(out, "nothing is held that matches")
		return err
	}
	t := newTable(out, "ID", "KIND", "STATE", "PATH", "LEFT", "RENEWAL", "HITS", "AGE", "TOKEN")
	for _, l := range page.Leases {
		t.row(l.ID, l.Kind, l.State, l.Path, round(time.Duration(l.TTL)*time.Second), in(l.Renewal, now), fmt.Sprint(l.Hits), round(now.Sub(l.Created)), l.AccessorHash)
	}
	if err := t.flush(); err != nil || page.Next == "" {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%d of %d; for those that follow: -after=%s, or -all\n", len(page.Leases), page.Total, printable(page.Next))
	return err
}
