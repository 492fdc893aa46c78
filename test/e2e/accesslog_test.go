package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// accessLines are the lines of an access log, as far as it is written.
func accessLines(t *testing.T, path string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(readFile(t, path)) {
		fields := map[string]any{}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, fields)
	}
	return all
}

// The access log tells what became of requests to the real Vault, and nothing that is a secret: not the tokens that logins bring, not those that
// stand in paths and queries, not passwords.
func TestAccessLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", "auth/token/*: create, update", "sys/leases/*: update"))
	p := startProxy(t, fmt.Sprintf("access_log {\n path = %q\n exclude = [\"sys/health\"]\n}\n", path)+caching(shared.Address, r))
	lease, _ := p.lease(t, "/v1/leaser/creds/accesslog?ttl=600")
	p.wantHit(t, "/v1/leaser/creds/accesslog?ttl=600", lease)
	created := p.do(t, "POST", "/v1/auth/token/create", `{"ttl":"10m"}`).secret(t)
	token := created.Auth.ClientToken
	remember(token, created.Auth.Accessor, lease[strings.LastIndex(lease, "/")+1:])
	p.do(t, "GET", "/v1/auth/token/lookup-self", "", "X-Vault-Token: "+token)
	p.do(t, "GET", "/v1/auth/token/lookup-self?token="+token, "", "Authorization: Bearer "+token)
	p.do(t, "POST", "/v1/auth/token/lookup/"+token, "", "X-Vault-Token: "+token)
	p.do(t, "GET", "/v1/kv/"+token, "", "X-Vault-Token: "+token)
	p.do(t, "PUT", "/v1/sys/leases/renew/"+lease, "")
	p.do(t, "GET", "/v1/sys/health", "")
	p.do(t, "POST", "/v1/auth/token/revoke-self", "", "X-Vault-Token: "+token)
	p.do(t, "GET", "/v1/sys/last", "")
	eventually(t, "the last request has its line", func() bool { return strings.Contains(readFile(t, path), "/v1/sys/last") })
	text := readFile(t, path)
	for _, s := range seenIn(text) {
		t.Errorf("a secret is in the access log: the one that begins %.8q", s)
	}
	lines := accessLines(t, path)
	if len(lines) != 10 || strings.Contains(text, "/v1/sys/health") {
		t.Fatalf("%d lines, want 10:\n%s", len(lines), text)
	}
	if a, b := lines[0], lines[1]; a["outcome"] != "MISS" || a["upstream_status"] != 200.0 || a["tries"] != 1.0 || b["outcome"] != "HIT" || b["tries"] != nil ||
		a["accessor_hash"] == nil || a["accessor_hash"] != b["accessor_hash"] || b["lent"] != true {
		t.Errorf("miss and hit are\n%v\n%v", a, b)
	}
	own := lines[3]["accessor_hash"]
	if own == nil || own == lines[0]["accessor_hash"] || lines[4]["accessor_hash"] != own {
		t.Errorf("the client's token is %v, then %v", own, lines[4]["accessor_hash"])
	}
	if last := lines[8]; last["accessor_hash"] != own || last["route"] != "revoke" || last["status"] != 204.0 || last["lent"] != nil {
		t.Errorf("the revocation is %v, want it with %v", last, own)
	}
}

// A logrotate moves the file and sends SIGHUP: the lines that follow are in a new one of that name. At the end every request has its line.
func TestAccessLogIsOpenedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	p := startProxy(t, fmt.Sprintf("access_log { path = %q }\n", path)+vaultStanza(shared.Address)+listenerStanza(), tellOwn)
	p.do(t, "GET", "/v1/sys/before", "")
	eventually(t, "there is a line", func() bool { return len(accessLines(t, path)) == 1 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.waitLog(t, "reloaded")
	for range 50 {
		if a := p.do(t, "GET", "/v1/sys/after", ""); a.Status == http.StatusOK {
			t.Fatal("there is no such path")
		}
	}
	p.stop(t)
	if before, after := accessLines(t, path+".1"), accessLines(t, path); len(before) != 1 || len(after) != 50 {
		t.Errorf("%d lines before the reload and %d after, want 1 and 50", len(before), len(after))
	}
}

// When Vault is away each request fails alike: the log has the first at once, and then how many there were.
func TestRepeatedFailuresAreSummarised(t *testing.T) {
	p := startProxy(t, vaultStanza("http://127.0.0.1:1")+listenerStanza(), env("VAULT_MAX_RETRIES=0"))
	for range 20 {
		p.do(t, "GET", "/v1/secret/data/app", "")
	}
	p.stop(t)
	const said = `msg="request not answered by Vault"`
	if out := p.log.String(); strings.Count(out, said) != 1 || !strings.Contains(out, `msg="repeated: request not answered by Vault" times=`) {
		t.Errorf("%d lines, want one and a summary", strings.Count(out, said))
	}
}
