package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"leasehold/test/e2e/cmd/bench/load"
)

// hits compares cached hits with a bare handler that writes the same header and body.
func (b *bench) hits(ctx context.Context) error {
	target := fmt.Sprintf("%smemory-%d%s", leasePath, 0, long)
	header, body, err := b.cached(ctx, target)
	if err != nil {
		return err
	}
	bare, err := startRole(ctx, "bare", instructions{Header: header, Body: body})
	if err != nil {
		return err
	}
	defer bare.kill()
	for _, connections := range []int{16, 128} {
		results, err := load.Compare(ctx, connections, b.rounds, b.round,
			load.Target{Address: b.leasehold.Address, Requests: b.all(b.leasehold.Address), Mark: "\r\nX-Cache: HIT\r\n"},
			load.Target{Address: bare.Address, Requests: b.all(bare.Address)},
		)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("hit, one of %d, %d connections: ", b.leases, connections)
		b.compare(what, results[0], results[1], "bare net/http", atLeast(0.85), atMost(2, ""))
	}
	return nil
}

// all are requests for every lease that is held.
func (b *bench) all(address string) [][]byte {
	requests := make([][]byte, b.leases)
	for i := range requests {
		requests[i] = get(address, fmt.Sprintf("%smemory-%d%s", leasePath, i, long), "")
	}
	return requests
}

// cached makes a lease through Leasehold and returns the answer from memory to the same request.
func (b *bench) cached(ctx context.Context, target string) (header http.Header, body []byte, err error) {
	for range 2 {
		if header, body, err = fetch(ctx, b.leasehold.Address, target); err != nil {
			return nil, nil, err
		}
	}
	if header.Get("X-Cache") != "HIT" {
		return nil, nil, fmt.Errorf("the second read of %s should be a hit, and has the header %v", target, header)
	}
	header.Del("Date") // net/http writes its own
	return header, body, nil
}

// fetch reads one answer.
func fetch(ctx context.Context, address, target string) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+target, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.Header, body, err
}

// reads compares a read that is never kept with the same read straight from Vault, and with the standard library's proxy between.
func (b *bench) reads(ctx context.Context) error {
	proxy, err := startRole(ctx, "proxy", instructions{Upstream: b.vault.Address})
	if err != nil {
		return err
	}
	defer proxy.kill()
	var targets []load.Target
	for _, address := range []string{b.leasehold.Address, b.vault.Address, proxy.Address} {
		targets = append(targets, load.Target{Address: address, Requests: [][]byte{get(address, secretPath, b.token)}})
	}
	results, err := load.Compare(ctx, 16, b.rounds, b.round, targets...)
	if err != nil {
		return err
	}
	b.compare("uncached read, 16 connections: ", results[0], results[1], "Vault itself", atLeast(0.55), atMost(2, ""))
	b.compare("  by a bare httputil.ReverseProxy: ", results[2], results[1], "Vault itself", budget{}, budget{})
	return nil
}

// compare prints the ratios of a to b.
func (b *bench) compare(what string, ours, others []load.Round, other string, share, p99 budget) {
	s := load.Ratio(ours, others, load.Throughput)
	b.table.row(what+"throughput", s.Median, s.String(), share, fmt.Sprintf("%.0f/s, %s %.0f/s",
		load.Median(ours, load.Throughput), other, load.Median(others, load.Throughput)))
	s = load.Ratio(ours, others, load.P99)
	b.table.row(what+"p99", s.Median, s.String(), p99, fmt.Sprintf("%.2f ms, %s %.2f ms",
		load.Median(ours, load.P99)*1e3, other, load.Median(others, load.P99)*1e3))
}

// coldRequests sends one request many times at once when nothing is kept.
func (b *bench) coldRequests(ctx context.Context) error {
	const requests = 200
	request := get(b.leasehold.Address, leasePath+"cold"+long, "")
	if err := load.Each(ctx, b.leasehold.Address, requests, requests, func(int) []byte { return request }); err != nil {
		return err
	}
	made, err := b.leasesOf("cold")
	if err != nil {
		return err
	}
	b.table.row("identical cold requests: leases at Vault", float64(made), fmt.Sprint(made), exactly(1),
		fmt.Sprintf("%d at once, each on a connection of its own", requests))
	return nil
}

// starts is how often the start is measured.
const starts = 7

// startAndIdle measures the way from the process to ready, which includes a login, and the memory of a process that was asked nothing.
func (b *bench) startAndIdle(ctx context.Context) error {
	var ready, idle []float64
	for range starts {
		p, err := startLeasehold(ctx, b.binary, b.config)
		if err != nil {
			return err
		}
		bytes, err := p.resident()
		p.kill()
		if err != nil {
			return err
		}
		ready, idle = append(ready, p.readyAfter.Seconds()*1e3), append(idle, mebibytes(bytes))
	}
	s := load.NewSpread(ready)
	b.table.row("start to ready, Vault up", s.Median, fmt.Sprintf("%.0f ms (%.0f to %.0f)", s.Median, s.Min, s.Max), atMost(100, " ms"),
		fmt.Sprintf("%d starts, each with an AppRole login", starts))
	s = load.NewSpread(idle)
	b.table.row("resident memory, idle", s.Median, fmt.Sprintf("%.1f MiB (%.1f to %.1f)", s.Median, s.Min, s.Max), atMost(30, " MiB"),
		"VmRSS of the same processes, ready and never asked")
	return nil
}

func (b *bench) size(context.Context) error {
	file, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	size := mebibytes(file.Size())
	b.table.row("binary", size, fmt.Sprintf("%.1f MiB", size), atMost(40, " MiB"), "")
	return nil
}

// memory measures what a lease costs a process of its own that holds many.
func (b *bench) memory(ctx context.Context) error {
	p, err := startLeasehold(ctx, b.binary, b.config)
	if err != nil {
		return err
	}
	b.leasehold.kill() // p takes its place: hits are measured where many leases are held
	b.leasehold = p
	const connections, warmUp = 16, 2000
	// What connections and buffers cost is not a lease's to pay.
	read := get(p.Address, secretPath, b.token)
	if err := load.Each(ctx, p.Address, connections, warmUp, func(int) []byte { return read }); err != nil {
		return err
	}
	before, err := p.resident()
	if err != nil {
		return err
	}
	began := time.Now()
	err = load.Each(ctx, p.Address, connections, b.leases, func(i int) []byte {
		return get(p.Address, fmt.Sprintf("%smemory-%d%s", leasePath, i, long), "")
	})
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := p.resident()
	if err != nil {
		return err
	}
	each := float64(after-before) / float64(b.leases) / 1024
	b.table.row("resident memory per cached lease", each, fmt.Sprintf("%.2f KiB", each), atMost(2.5, " KiB"),
		fmt.Sprintf("VmRSS %.1f MiB after %d leases (made in %.1f s over %d connections) less %.1f MiB after %d uncached reads; garbage counts",
			mebibytes(after), b.leases, took.Seconds(), connections, mebibytes(before), warmUp))
	return nil
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
