package daemon_test

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"leasehold/internal/daemon"
)

// All listeners that cannot be bound are named in one run, each with its place.
func TestAllListenersThatFailAreNamed(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	cfg := parse(t, fmt.Sprintf(`listener "tcp" {
  address     = %q
  tls_disable = true
}
listener "tcp" {
  address       = "127.0.0.1:0"
  tls_cert_file = "/nowhere/a.crt"
  tls_key_file  = "/nowhere/a.key"
}
`, taken.Addr()))
	err = daemon.Run(t.Context(), cfg, daemon.Options{Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "test.hcl:1: listener: ") || !strings.HasPrefix(lines[1], "test.hcl:5: listener: ") {
		t.Errorf("error = %v", err)
	}
}
