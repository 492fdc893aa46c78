package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"leasehold/test/e2e/cmd/bench/load"
)

// telemetry compares hits of a Leasehold that has metrics alone, as every one has, with those of others that tell more. It has no budget: who turns
// something on is to know what it costs.
func (b *bench) telemetry(ctx context.Context) error {
	collector, err := startRole(ctx, "bare", instructions{Header: http.Header{"Content-Type": {"application/x-protobuf"}}})
	if err != nil {
		return err
	}
	defer collector.kill()
	traces := func(ratio string) string {
		return fmt.Sprintf("telemetry {\n  otlp { endpoint = \"http://%s\" }\n  traces { sample_ratio = %s }\n}\n", collector.Address, ratio)
	}
	// The first is there to show how much two that are alike differ.
	kinds := []struct{ what, stanza string }{
		{"metrics alone", ""},
		{"an access log", fmt.Sprintf("access_log { path = %q }\n", filepath.Join(filepath.Dir(b.config), "access.log"))},
		{"traces, of none", traces("0.0")},
		{"traces, of all", traces("1.0")},
	}
	const mark = "\r\nX-Cache: HIT\r\n"
	var targets []load.Target
	hit := func(address string) error {
		request := get(address, leasePath+"memory-0"+long, "")
		targets = append(targets, load.Target{Address: address, Requests: [][]byte{request}, Mark: mark})
		return load.Each(ctx, address, 1, 1, func(int) []byte { return request })
	}
	if err := hit(b.leasehold.Address); err != nil {
		return err
	}
	for i, kind := range kinds {
		config, err := b.with(fmt.Sprintf("telemetry-%d.hcl", i), kind.stanza)
		if err != nil {
			return err
		}
		p, err := startLeasehold(ctx, b.binary, config)
		if err != nil {
			return err
		}
		defer p.kill()
		if err := hit(p.Address); err != nil {
			return err
		}
	}
	results, err := load.Compare(ctx, 16, b.rounds, b.round, targets...)
	if err != nil {
		return err
	}
	for i, kind := range kinds {
		b.compare("hit, "+kind.what+": ", results[i+1], results[0], "metrics alone", budget{}, budget{})
	}
	return nil
}

// with is the configuration with another stanza.
func (b *bench) with(name, stanza string) (path string, err error) {
	text, err := os.ReadFile(b.config)
	if err != nil {
		return "", err
	}
	path = filepath.Join(filepath.Dir(b.config), name)
	return path, os.WriteFile(path, append(text, stanza...), 0o600)
}
