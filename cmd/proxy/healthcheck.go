package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

const healthcheckUsage = `usage: leasehold healthcheck [-require=PARTS] [-live] [-json] [flags]

healthcheck says in one line whether a running Leasehold is ready, and ends with 0 when it is and 1 when it is not or does not answer: for HEALTHCHECK of
Docker and exec probes of Kubernetes. With -live it is about livez: whether the process is to be started anew. When there is no admin socket either, it asks
http://127.0.0.1:8100.
`

// healthcheckTimeout is less than the patience of whoever probes.
const healthcheckTimeout = 2 * time.Second

// healthcheck runs `leasehold healthcheck`.
func healthcheck(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, f := newHealthFlags("healthcheck", healthcheckUsage, stderr, healthcheckTimeout)
	live := set.Bool("live", false, "ask whether the process works, not whether it is ready")
	if err := f.parse(set, args); err != nil {
		return err
	}
	if *live && len(f.require) > 0 {
		return fmt.Errorf("-live is about the process, and -require about its parts; give one of them")
	}
	c, err := f.prober(f.timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	var answer any
	var well bool
	var text string
	if *live {
		l, err := c.Live(ctx)
		if err != nil {
			return err
		}
		if answer, well, text = l, l.Alive, "alive"; !well {
			text = "not alive: " + printable(l.Reason)
		}
	} else {
		r, err := c.Ready(ctx, f.require...)
		if err != nil {
			return err
		}
		answer, well, text = r, r.Ready, verdictOf(r)
	}
	if f.asJSON {
		err = printJSON(stdout, answer)
	} else {
		_, err = fmt.Fprintln(stdout, text)
	}
	if err == nil && !well {
		err = errTold
	}
	return err
}
