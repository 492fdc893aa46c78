package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"leasehold/internal/seal"
	"leasehold/internal/store"
	"leasehold/test/e2e/cmd/bench/load"
)

// recordBytes is the size of a lease's record, sealed.
const recordBytes = 1024

// commits compares the state file with what a disk can do at all, and with what the incumbents do: a transaction of its own for each change (CCH-49).
func (b *bench) commits(ctx context.Context) error {
	dir, err := os.MkdirTemp(filepath.Dir(b.config), "state-")
	if err != nil {
		return err
	}
	key, err := seal.OpenKeyFile(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, filepath.Join(dir, "state.db"), seal.Local(key), slog.New(slog.DiscardHandler), store.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it is thrown away
	one, err := newAlternatives(dir)
	if err != nil {
		return err
	}
	defer one.close()

	const writes, crowd = 400, 64
	ours := func(ctx context.Context, i int) error {
		return s.Write(ctx, store.Change{ID: [32]byte(keyOf(i % 10_000)), Plain: make([]byte, recordBytes)})
	}
	var alone, together []float64
	var last string
	for round := range b.rounds {
		mine, err := timed(ctx, 1, writes, func(ctx context.Context, i int) error { return ours(ctx, round*writes+i) })
		if err != nil {
			return err
		}
		bare, err := timed(ctx, 1, writes, one.fsync)
		if err != nil {
			return err
		}
		alone = append(alone, mine/bare)
		many, err := timed(ctx, crowd, crowd*writes/4, func(ctx context.Context, i int) error { return ours(ctx, round*crowd*writes+i) })
		if err != nil {
			return err
		}
		each, err := timed(ctx, crowd, writes, one.transaction)
		if err != nil {
			return err
		}
		together = append(together, (each/writes)/(many/(crowd*writes/4)))
		last = fmt.Sprintf("%.0f us, fsync %.0f us; 64 writers %.0f/s, bbolt %.0f/s", mine/writes*1e6, bare/writes*1e6, crowd*writes/4/many, writes/each)
	}
	a, t := load.NewSpread(alone), load.NewSpread(together)
	b.table.row("state file: one writer, against a bare fsync", a.Median, a.String(), atMost(1.3, ""), "of a record written behind the last; last round: "+last)
	b.table.row("state file: 64 writers, against one commit each", t.Median, t.String(), atLeast(20), "bbolt with a transaction for each record; last round as above")
	return nil
}

// alternatives are what the state file is compared with.
type alternatives struct {
	file *os.File
	db   *bbolt.DB
}

func newAlternatives(dir string) (*alternatives, error) {
	file, err := os.Create(filepath.Join(dir, "bare"))
	if err != nil {
		return nil, err
	}
	db, err := bbolt.Open(filepath.Join(dir, "bare.db"), 0o600, nil)
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("records")); return err })
	}
	return &alternatives{file, db}, err
}

func (a *alternatives) close() { _ = errors.Join(a.file.Close(), a.db.Close()) } // both are thrown away

// fsync is the least that makes a record durable.
func (a *alternatives) fsync(context.Context, int) error {
	if _, err := a.file.Write(make([]byte, recordBytes)); err != nil {
		return err
	}
	return a.file.Sync()
}

func (a *alternatives) transaction(_ context.Context, i int) error {
	key := keyOf(i % 10_000)
	return a.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("records")).Put(key[:], make([]byte, recordBytes)) })
}

// timed has so many workers do n things, and returns the seconds that it took.
func timed(ctx context.Context, workers, n int, do func(ctx context.Context, i int) error) (float64, error) {
	var next atomic.Int64
	errs := make([]error, workers)
	var all sync.WaitGroup
	began := time.Now()
	for w := range workers {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n) && errs[w] == nil; i = next.Add(1) {
				errs[w] = do(ctx, int(i))
			}
		})
	}
	all.Wait()
	return time.Since(began).Seconds(), errors.Join(errs...)
}

// persistence fills a Leasehold that has a state file with as many leases as the one that has none holds, compares their hits, and kills it.
func (b *bench) persistence(ctx context.Context) error {
	config, err := b.persistent()
	if err != nil {
		return err
	}
	p, err := startLeasehold(ctx, b.binary, config)
	if err != nil {
		return err
	}
	defer func() { p.kill() }()
	began := time.Now()
	err = load.Each(ctx, p.Address, 64, b.leases, func(i int) []byte {
		return get(p.Address, fmt.Sprintf("%smemory-%d%s", leasePath, i, long), "")
	})
	if err != nil {
		return err
	}
	filled := time.Since(began)
	const mark = "\r\nX-Cache: HIT\r\n"
	results, err := load.Compare(ctx, 16, b.rounds, b.round,
		load.Target{Address: p.Address, Requests: b.all(p.Address), Mark: mark},
		load.Target{Address: b.leasehold.Address, Requests: b.all(b.leasehold.Address), Mark: mark},
	)
	if err != nil {
		return err
	}
	s := load.Ratio(results[0], results[1], load.Throughput)
	b.table.row("hit with a state file, against one without", s.Median, s.String(), atLeast(0.95), fmt.Sprintf("one of %d each, 16 connections; made in %.1f s over 64", b.leases, filled.Seconds()))
	return b.restarts(ctx, &p, config)
}

// persistent is the configuration with a state file.
func (b *bench) persistent() (path string, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(b.config), "persist-")
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(b.config)
	if err != nil {
		return "", err
	}
	stanza := fmt.Sprintf("cache {\n  persist \"file\" {\n    path     = %q\n    key_file = %q\n  }\n}", dir, filepath.Join(dir, "key"))
	path = filepath.Join(dir, "proxy.hcl")
	return path, os.WriteFile(path, []byte(strings.Replace(string(text), "cache {}", stanza, 1)), 0o600)
}

var restored = regexp.MustCompile(`msg="cache restored" entries=(\d+) .*\btook=(\S+)`)

// restarts kills *p and starts it again, some times. *p is the last one.
func (b *bench) restarts(ctx context.Context, p **child, config string) error {
	const kills = 5
	var restores, hits, peaks []float64
	for i := range kills {
		began := time.Now()
		(*p).kill()
		next, err := startLeasehold(ctx, b.binary, config)
		if err != nil {
			return err
		}
		*p = next
		if err := load.Each(ctx, next.Address, 1, 1, func(int) []byte {
			return get(next.Address, fmt.Sprintf("%smemory-%d%s", leasePath, i, long), "")
		}); err != nil {
			return err
		}
		hits = append(hits, time.Since(began).Seconds())
		peak, err := next.memoryOf("VmHWM")
		if err != nil {
			return err
		}
		peaks = append(peaks, mebibytes(peak))
		m := restored.FindStringSubmatch(next.said)
		if m == nil || m[1] != fmt.Sprint(b.leases) {
			return fmt.Errorf("not all of %d leases were restored; its log:\n%s", b.leases, next.said)
		}
		took, err := time.ParseDuration(m[2])
		if err != nil {
			return err
		}
		restores = append(restores, took.Seconds())
	}
	if err := b.allHits(ctx, (*p).Address); err != nil {
		return err
	}
	for _, row := range []struct {
		what, unit string
		values     []float64
		limit      float64
		how        string
	}{
		{"restore", " s", restores, 2, "as the log says"},
		{"peak memory of a restored process", " MiB", peaks, 300, "VmHWM at its first hit"},
		{"kill -9 to the first hit", " s", hits, 2.5, "the end of the old process, the start of the next, a request; then all leases were hits"},
	} {
		s := load.NewSpread(row.values)
		b.table.row(fmt.Sprintf("%s, %d leases", row.what, b.leases), slices.Max(row.values), fmt.Sprintf("%.2f%s (%.2f to %.2f)", s.Median, row.unit, s.Min, s.Max),
			atMost(row.limit, row.unit), fmt.Sprintf("%d kills; %s", kills, row.how))
	}
	return nil
}

// allHits asks for every lease once.
func (b *bench) allHits(ctx context.Context, address string) error {
	before, err := b.leasesOf("memory-0")
	if err != nil {
		return err
	}
	if err := load.Each(ctx, address, 16, b.leases, func(i int) []byte {
		return get(address, fmt.Sprintf("%smemory-%d%s", leasePath, i, long), "")
	}); err != nil {
		return err
	}
	misses, err := metric(ctx, address, "vault_proxy_cache_miss")
	if err != nil {
		return err
	}
	after, err := b.leasesOf("memory-0")
	if err != nil {
		return err
	}
	if misses != 0 || after != before {
		return fmt.Errorf("%d of %d restored leases were no hits", misses, b.leases)
	}
	return nil
}

// metric reads one of Leasehold's counters.
func metric(ctx context.Context, address, name string) (n int, err error) {
	_, text, err := fetch(ctx, address, "/proxy/v1/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			_, err := fmt.Sscan(value, &n)
			return n, err
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}
