package upstream

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	// defaultHealthInterval is Settings.HealthInterval when that is zero.
	defaultHealthInterval = 5 * time.Second
	// probeEvery is how often an unreachable Vault is looked for.
	probeEvery = time.Second
	// checkWithin bounds one check.
	checkWithin = 5 * time.Second
	// lookEvery is how often the TLS files are looked at.
	lookEvery = 10 * time.Second
)

// Run looks after the nodes until ctx ends: it checks each of several addresses, looks for a Vault that cannot be reached, and reads TLS files
// again when they have changed. Without it, a circuit breaker that has opened stays open. It returns nil.
func (c *Client) Run(ctx context.Context) error {
	var checks, probes <-chan time.Time
	files := time.Tick(lookEvery) // also without files: a reload may name some
	if len(c.nodes.list) > 1 {
		checks = time.Tick(c.healthInterval())
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.nodes.outlook.asked:
			if c.nodes.outlook.silent(c.healthInterval()) {
				c.check(ctx)
			} else { // who asked did so while a check was under way, and has its answer
				c.nodes.tellWaiting()
			}
		case <-c.nodes.lost:
			probes = time.Tick(probeEvery)
		case <-probes:
			if c.check(ctx); !c.nodes.open.Load() {
				probes = nil
			}
		case <-checks:
			c.check(ctx)
		case <-files:
			c.reloadTLS()
		}
	}
}

func (c *Client) healthInterval() time.Duration {
	return cmp.Or(c.terms.Load().HealthInterval, defaultHealthInterval)
}

// check asks all nodes how they are, side by side.
func (c *Client) check(ctx context.Context) {
	var all sync.WaitGroup
	for i, n := range c.nodes.list {
		all.Go(func() {
			if found, err := c.health(ctx, n); ctx.Err() == nil {
				c.nodes.checked(i, found, err)
			}
		})
	}
	all.Wait()
	c.nodes.tellWaiting()
}

// health asks Vault what it thinks of itself. Its health endpoint says 429 of a standby, 472 of a disaster recovery secondary, 473 of a performance
// standby, 501 of a node that is not initialized, and 503 of a sealed one. The error is why no answer came.
func (c *Client) health(ctx context.Context, n *node) (level, error) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.origin.String(), nil)
	if err != nil {
		return away, err
	}
	r.Header = http.Header{"User-Agent": {c.userAgent}, "X-Vault-Request": vaultRequest}
	resp, err := n.pools.Load().proxying.RoundTrip(n.aim(r, "/v1/sys/health", nil))
	switch {
	case ctx.Err() != nil:
		return away, fmt.Errorf("no answer within %v", checkWithin)
	case err != nil:
		return away, err
	}
	discard(resp)
	const secondary = 472
	if resp.StatusCode == secondary || resp.StatusCode >= http.StatusInternalServerError {
		return unable, nil
	}
	return steady, nil
}

// tlsStamp changes when one of the TLS files does; "" when there are none.
func (s *Settings) tlsStamp() string {
	files := []string{
		s.env(api.EnvVaultCACert, s.CACert), s.env(api.EnvVaultClientCert, s.ClientCert), s.env(api.EnvVaultClientKey, s.ClientKey),
	}
	if dir := s.env(api.EnvVaultCAPath, s.CAPath); dir != "" {
		entries, _ := os.ReadDir(dir) // what cannot be read is reported when the file is used
		for _, e := range entries {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	var b strings.Builder
	for _, name := range files {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		} else {
			fmt.Fprintf(&b, "%s missing\n", name)
		}
	}
	return b.String()
}
