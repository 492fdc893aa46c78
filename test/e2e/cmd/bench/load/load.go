package load

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Target is a server and what it is asked.
type Target struct {
	Address  string   // host:port
	Requests [][]byte // as they go over the wire, in turn
	Mark     string   // stands in the header of every good answer; "" when the status 200 is enough
}

// Round is what one target did in one round.
type Round struct {
	PerSecond float64 // answers
	P99       time.Duration
}

// warmUp is the share of a round that passes before anything counts: connections are new in every round.
const warmUp = 10 // in percent

// Compare asks the targets in turn, each for d, and then again until there are so many rounds. What disturbs the machine for a
// while disturbs neighbouring turns alike: so the ratio of two targets within a round says more than either figure.
// Each connection sends its next request when it has the whole answer to the last. The result is by target, then by round.
// An answer that is not as the target promises is an error.
func Compare(ctx context.Context, connections, rounds int, d time.Duration, targets ...Target) ([][]Round, error) {
	results := make([][]Round, len(targets))
	for range rounds {
		for i, t := range targets {
			r, err := t.ask(ctx, connections, d)
			if err != nil {
				return nil, fmt.Errorf("ask %s over %d connections: %w", t.Address, connections, err)
			}
			results[i] = append(results[i], r)
		}
	}
	return results, nil
}

// ask is one turn of one target.
func (t Target) ask(ctx context.Context, connections int, d time.Duration) (Round, error) {
	var counted []time.Duration
	var mu sync.Mutex // guards counted
	mark := []byte(t.Mark)
	err := drive(ctx, t.Address, connections, func(i int, c *connection) error {
		next := i * len(t.Requests) / connections // each connection begins elsewhere
		now := time.Now()
		begin, end := now.Add(d*warmUp/100), now.Add(d)
		for now.Before(end) {
			if err := c.exchange(t.Requests[next%len(t.Requests)], mark); err != nil {
				return err
			}
			next++
			sent := now
			if now = time.Now(); sent.After(begin) {
				c.latencies = append(c.latencies, now.Sub(sent))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		counted = append(counted, c.latencies...)
		return nil
	})
	if err != nil {
		return Round{}, err
	}
	if len(counted) == 0 {
		return Round{}, fmt.Errorf("no answer within %v", d)
	}
	slices.Sort(counted)
	measured := d * (100 - warmUp) / 100
	return Round{PerSecond: float64(len(counted)) / measured.Seconds(), P99: counted[len(counted)*99/100]}, nil
}

// Each sends request(0) to request(n-1), spread over the connections, and expects 200 to each. With as many connections as requests all of
// them are under way at once.
func Each(ctx context.Context, address string, connections, n int, request func(i int) []byte) error {
	err := drive(ctx, address, connections, func(first int, c *connection) error {
		for i := first; i < n; i += connections {
			if err := c.exchange(request(i), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("send %d requests to %s: %w", n, address, err)
	}
	return nil
}

// drive opens the connections, lets work use all of them at once and closes them. It returns the first error; the end of ctx is one.
func drive(ctx context.Context, address string, connections int, work func(i int, c *connection) error) error {
	all := make([]*connection, 0, connections)
	closeAll := func() {
		for _, c := range all {
			_ = c.Close() // whoever still uses it gets an error
		}
	}
	defer closeAll()
	var d net.Dialer
	for range connections {
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		all = append(all, &connection{Conn: c, got: make([]byte, 0, 4<<10), latencies: make([]time.Duration, 0, 1<<14)})
	}
	defer context.AfterFunc(ctx, closeAll)()

	errs := make([]error, connections)
	var working sync.WaitGroup
	for i, c := range all {
		working.Go(func() { errs[i] = work(i, c) })
	}
	working.Wait()
	return cmp.Or(context.Cause(ctx), cmp.Or(errs...))
}
