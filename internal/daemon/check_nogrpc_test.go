//go:build no_otlp_grpc

package daemon_test

import (
	"testing"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
)

// A build without gRPC says so before the start.
func TestCheckOfAProtocolThatTheBuildLacks(t *testing.T) {
	const file = "vault { address = \"http://127.0.0.1:1\" }\ncache {}\nlistener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}\n" +
		"telemetry {\n  otlp {\n    endpoint = \"https://c\"\n    protocol = \"grpc\"\n  }\n}\n"
	cfg, err := config.Parse("t.hcl", []byte(file), config.Options{Sources: true, LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	begins(t, daemon.Check(cfg, checked).Errors, "t.hcl:10: telemetry: otlp.protocol: this build of Leasehold speaks no gRPC")
}
