package daemon_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"leasehold/internal/vaulttest"
)

// Who may listen no longer after a reload does not listen on; who may connects again.
func TestAReloadEndsEvents(t *testing.T) {
	server := vaulttest.NewServer(t)
	file := func(enabled bool, rights string) string {
		return fmt.Sprintf(`vault { address = %q }
cache {}
listener "tcp" {
  address = "127.0.0.1:0"
  tls_disable = true
  proxy_api { enable_status = %t }
%s
}
`, server.URL, enabled, rights)
	}
	const closes = `
  default_action = "allow"
  rule "/proxy/v1/events" { action = "deny" }`
	for name, tc := range map[string]struct {
		to   string
		then int
	}{
		"status is disabled":  {file(false, ""), http.StatusNotFound},
		"rights are narrowed": {file(true, closes), http.StatusForbidden},
		"nothing is changed":  {file(true, ""), http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			r := startReloading(t, file(true, ""))
			status, body := r.events(t)
			if line, err := body.ReadString('\n'); status != http.StatusOK || line != "event: history\n" {
				t.Fatalf("%d %q, %v", status, line, err)
			}
			if said := r.to(t, tc.to); !strings.Contains(said, "msg=reloaded ") && !strings.Contains(said, "msg=\"reloaded: nothing") {
				t.Fatalf("log: %s", said)
			}
			if _, err := io.Copy(io.Discard, body); err != nil {
				t.Errorf("the stream goes on after the reload, or was torn off: %v", err)
			}
			if status, _ := r.events(t); status != tc.then {
				t.Errorf("events = %d after the reload, want %d", status, tc.then)
			}
		})
	}
}

// events listens for as long as the test lasts, but not forever.
func (r *reloading) events(t *testing.T) (status int, body *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/proxy/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = resp.Body.Close()
	})
	return resp.StatusCode, bufio.NewReader(resp.Body)
}
