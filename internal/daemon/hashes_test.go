package daemon_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"leasehold/internal/api"
	"leasehold/internal/config"
	"leasehold/internal/daemon"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// read reads what one of our own endpoints says.
func (r running) read(t *testing.T, path string, into any) {
	t.Helper()
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(httpGet(t, r.url+path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s = %d, %v", path, resp.StatusCode, err)
	}
}

func httpGet(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A token has one hash in a run: who sees it in status finds its lines in the access log, and its leases.
func TestATokenHasOneHash(t *testing.T) {
	server := vaulttest.NewServer(t)
	cfg := parse(t, fmt.Sprintf(`vault { address = %q }
cache {}
access_log {}
listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
  proxy_api { enable_status = true }
}`, server.URL))
	cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent
	out := &lines{}
	r := run(t, cfg, daemon.Options{Token: vault.NewToken(vaulttest.RootToken), Stdout: out})
	r.ask(t, "GET", "/v1/leaser/creds/app?ttl=3600")
	var status api.Status
	var page api.LeasePage
	eventually(t, "the look at the token is done, which no request waits for", func() bool {
		status = api.Status{}
		r.read(t, "/proxy/v1/status", &status)
		return status.AutoAuth[0].AccessorHash != ""
	})
	r.read(t, "/proxy/v1/leases?accessor="+status.AutoAuth[0].AccessorHash, &page)
	line := r.end(t, out)[0]
	hash := status.AutoAuth[0].AccessorHash
	if len(hash) != 16 || line["accessor_hash"] != hash || len(page.Leases) != 1 || page.Leases[0].AccessorHash != hash {
		t.Errorf("status has %q, the access log %v, leases %+v", hash, line["accessor_hash"], page)
	}
	if c := status.Cache; c == nil || c.Entries != 1 || c.Misses != 1 || c.States["fresh"] != 1 || len(c.States) != 4 || c.Outcomes["MISS"] != 1 || len(c.Outcomes) != 5 {
		t.Errorf("the cache is %+v", c)
	}
}

// Lease ids of the log are for nobody, since some leases may be revoked by whoever knows their ids; accessors are for administrators.
func TestDetailsOfProblems(t *testing.T) {
	of := map[string]string{"lease": "db/creds/app/1", "accessor": "acc", "vault.lease": "db/creds/app/2", "path": "db/creds/app", "error": "refused", "in": "30s"}
	for _, full := range []bool{true, false} {
		got := daemon.Details(of, full)
		for key, text := range of {
			switch hidden := key == "lease" || key == "vault.lease" || key == "accessor" && !full; {
			case hidden && (len(got[key]) != 16 || got[key] == text), !hidden && got[key] != text:
				t.Errorf("full %t: %s=%s, of %s", full, key, got[key], text)
			}
		}
		if len(got) != len(of) || of["lease"] != "db/creds/app/1" {
			t.Errorf("full %t: %v; what was kept is now %v", full, got, of)
		}
	}
	if got := daemon.Details(nil, false); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// What leases shows can be cleared by the name that it has there.
func TestClearByName(t *testing.T) {
	server := vaulttest.NewServer(t)
	cfg := parse(t, fmt.Sprintf(`vault { address = %q }
cache {}
listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
  proxy_api { enable_status = true }
}`, server.URL))
	cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent
	r := run(t, cfg, daemon.Options{Token: vault.NewToken(vaulttest.RootToken)})
	clear := func(kind, value string) string {
		body := strings.NewReader(fmt.Sprintf(`{"type": %q, "value": %q}`, kind, value))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/proxy/v1/cache-clear", body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.Header.Get(api.ClearedHeader)
	}
	var page api.LeasePage
	eventually(t, "a lease whose token's accessor is known", func() bool {
		r.ask(t, "GET", "/v1/leaser/creds/app?ttl=3600")
		r.ask(t, "GET", "/v1/leaser/creds/other?ttl=3600")
		page = api.LeasePage{}
		r.read(t, "/proxy/v1/leases?sort=path", &page)
		return page.Total == 2 && page.Leases[0].AccessorHash != ""
	})
	for _, step := range []struct{ kind, value, want string }{
		{"lease", "0123456789abcdef", "0"},
		{"token_accessor", page.Leases[0].ID, "0"},
		{"lease", page.Leases[0].ID, "1"},
		{"lease", page.Leases[0].ID, "0"},
		{"token_accessor", page.Leases[0].AccessorHash, "1"},
	} {
		if got := clear(step.kind, step.value); got != step.want {
			t.Errorf("cache-clear of %s %s: %s entries, want %s", step.kind, step.value, got, step.want)
		}
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}
