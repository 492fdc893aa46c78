package vault_test

import (
	"testing"

	"leasehold/internal/vault"
)

func TestMethodsInLogs(t *testing.T) {
	for method, want := range map[string]string{
		"GET": "GET", "LIST": "LIST", "VERSION-CONTROL": "VERSION-CONTROL", "": "",
		"hvs.CAESIJ": "[redacted]", "s.abc": "[redacted]", "4f1c2d3e-0000": "[redacted]", "ABCDEFGHIJKLMNOPQ": "[redacted]", "G\x1b": "[redacted]", "GÉT": "[redacted]",
	} {
		if got := vault.LogMethod(method); got != want {
			t.Errorf("LogMethod(%q) = %q, want %q", method, got, want)
		}
	}
}
