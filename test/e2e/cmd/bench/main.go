// Command bench measures the built binary beside what it is to be compared with, in one run on one machine: a bare net/http handler for
// cached hits, a real Vault and a bare httputil.ReverseProxy for what passes through. It prints the figures with the budgets of
// docs/design.md beside them. Over budget is no failure, since machines are shared and noisy; an answer that is not as it should
// be is one (exit code 1). Nothing is left running or on disk, also after Ctrl-C (exit code 130).
//
// It needs Linux: resident memory is read from /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// patience bounds the whole run: nothing here is worth waiting longer for.
const patience = 20 * time.Minute

// options are the flags.
type options struct {
	binary string
	round  time.Duration
	rounds int
	leases int
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/leasehold", "the `file` that make build has made")
	seconds := flag.Int("seconds", 5, "length of a measured round; 1 shows whether it works, and no more")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each comparison")
	flag.IntVar(&o.leases, "leases", 100_000, "leases to hold when memory and hits are measured, and to renew at once")
	role := flag.String("role", "", "for the bench itself: serve as `vault, bare or proxy`, as stdin says, until stdin ends")
	flag.Parse()
	if *role != "" {
		exit(play(*role, os.Stdin, os.Stdout))
	}
	if *seconds < 1 || o.rounds < 1 || o.leases < 1 {
		exit(errors.New("-seconds, -rounds and -leases must be at least 1"))
	}
	o.round = time.Duration(*seconds) * time.Second

	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := run(limited, o)
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "\nbench: interrupted; nothing is left running")
		os.Exit(130)
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is what the measurements share.
type bench struct {
	options
	stage
	vault     *child
	leasehold *child
	table     table
}

// run makes the stage, measures one thing after the other, so that they do not disturb each other, and clears the stage.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "leasehold-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	b := bench{options: o, table: table{out: os.Stdout}}
	if b.vault, err = startRole(ctx, "vault", instructions{}); err != nil {
		return err
	}
	defer b.vault.kill()
	if b.stage, err = setUp(b.vault, dir); err != nil {
		return err
	}
	if b.leasehold, err = startLeasehold(ctx, o.binary, b.config); err != nil {
		return err
	}
	defer func() { b.leasehold.kill() }()

	b.table.begin(fmt.Sprintf("%d cores, %s %s/%s; %d rounds of %v a side, side by side; median (min to max)",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, o.rounds, o.round))
	for _, measure := range []func(context.Context) error{
		b.reads, b.allocations, b.coldRequests, b.startAndIdle, b.size, b.commits, b.memory, b.hits, b.telemetry, b.persistence, b.curve, b.renewals, b.evictions,
	} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}
