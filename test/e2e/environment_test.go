package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// All that is wrong with variables is said at once, together with what is wrong in the file, and before anything begins.
func TestBadVariables(t *testing.T) {
	p := launch(t, "pid_file = 5\n"+vaultStanza(shared.Address)+listenerStanza(), env("VAULT_RATE_LIMIT=fast", "VAULT_MAX_RETRIES=many",
		"VAULT_CLIENT_TIMEOUT=soon", "VAULT_SRV_LOOKUP=perhaps", "VAULT_HEADERS=X=1", "VAULT_PROXY_ADDR=http://me:secret@proxy:x"))
	p.wantExit(t, 1)
	out := p.log.String()
	for _, want := range []string{"VAULT_RATE_LIMIT", "VAULT_MAX_RETRIES", "VAULT_CLIENT_TIMEOUT", "VAULT_SRV_LOOKUP", "VAULT_HEADERS", "VAULT_PROXY_ADDR"} {
		wantSaid(t, out, "environment variable "+want+": ")
	}
	wantSaid(t, out, "proxy.hcl:1:1: pid_file must be text")
	if strings.Contains(out, "secret") {
		t.Errorf("a password is shown:\n%s", out)
	}
}

// A variable whose place a flag has taken may name what it likes.
func TestFlagsOverUselessVariables(t *testing.T) {
	v := startTLSVault(t, nil)
	pair := newPairFiles(t)
	v.ca.issue(t, pair, "web")
	file := filepath.Join(t.TempDir(), "proxy.hcl")
	if err := os.WriteFile(file, []byte("vault {\n  address = \""+v.url+"\"\n}\n"+listenerStanza()), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-config=" + file, "-ca-cert=" + v.caFile, "-client-cert=" + pair.cert, "-client-key=" + pair.key}
	useless := env("VAULT_CACERT=/nowhere/ca.pem", "VAULT_CAPATH=/nowhere", "VAULT_CLIENT_CERT=/nowhere/client.pem", "VAULT_CACERT_BYTES=nonsense")
	p := start(t, args, useless)
	p.waitLog(t, "msg=ready")
	p.waitListening(t, 1)
	if got := p.do(t, "GET", "/v1/sys/health", "").Status; got != http.StatusOK {
		t.Errorf("status = %d", got)
	}
	checked := start(t, append([]string{"validate", "-connect"}, args...), useless)
	checked.wantExit(t, 0)
	refused := start(t, args[:1], useless) // without the flags they count
	refused.wantExit(t, 1)
}
