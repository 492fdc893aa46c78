package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/test/e2e/realvault"
)

// persistent is a caching configuration with a state file in dir.
func persistent(address string, r appRole, dir string) string {
	return vaultStanza(address) + r.autoAuth() + injectToken + listenerStanza() +
		fmt.Sprintf("cache {\n  persist \"file\" {\n    path = %q\n    key_file = %q\n  }\n}\n", dir, filepath.Join(dir, "key"))
}

// What a client was told of outlives a kill -9: the lease is a hit again, the token of before is used without another login, and
// what was revoked does not come back.
func TestKilledAndRestarted(t *testing.T) {
	dir := t.TempDir()
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", "sys/leases/*: update"))
	hcl := persistent(shared.Address, r, dir)
	const path, revoked = "/v1/leaser/creds/killed?ttl=600", "/v1/leaser/creds/killed-revoked?ttl=600"
	var id, gone string
	for round := range 4 {
		p := startProxy(t, hcl) // from the second round on there is no secret id left to log in with
		if round == 0 {
			id, _ = p.lease(t, path)
			gone, _ = p.lease(t, revoked)
			if a := p.do(t, "PUT", "/v1/sys/leases/revoke", `{"lease_id":"`+gone+`"}`); a.Status != http.StatusNoContent {
				t.Fatalf("revoke = %d %s", a.Status, a.Body)
			}
		}
		p.wantHit(t, path, id)
		if round > 0 {
			if again, hit := p.lease(t, revoked); again == gone || hit != (round > 1) {
				t.Errorf("round %d: the revoked lease is back: %v, hit %v", round, again == gone, hit)
			}
		}
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.exited
	}
	logins, err := shared.AuditCount(func(e realvault.Entry) bool {
		return e.Request.Path == "auth/approle/login" && e.Request.Data["role_id"] == r.RoleID
	})
	if err != nil || logins != 1 {
		t.Errorf("%d logins, %v; want 1", logins, err)
	}
	for _, file := range []string{"leasehold.db", "key"} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info, err)
		}
	}
	state := []byte(readFile(t, filepath.Join(dir, "leasehold.db")))
	if found := seenIn(string(state)); len(found) > 0 {
		t.Errorf("%d secrets stand in the state file in the clear", len(found))
	}
	for _, text := range []string{"leaser/creds", id, "lease_id"} {
		if bytes.Contains(state, []byte(text)) {
			t.Errorf("%q stands in the state file in the clear", text)
		}
	}
}

// A state file that cannot be used is set aside with a word; exit_on_err makes that the end.
func TestUnusableStateFile(t *testing.T) {
	for title, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"another key": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "key")); err != nil {
				t.Fatal(err)
			}
		}, "set aside"},
		"no state file": {func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "leasehold.db"), []byte(strings.Repeat("not a state file\n", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "set aside"},
		"a key for all to read": {func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, "key"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, ""},
	} {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
			hcl := strings.Replace(persistent(shared.Address, r, dir), "secret_id_file_path", "remove_secret_id_file_after_reading = false\n      secret_id_file_path", 1)
			p := startProxy(t, hcl)
			id, _ := p.lease(t, "/v1/leaser/creds/unusable?ttl=600")
			p.stop(t)
			c.spoil(t, dir)
			strict := launch(t, strings.Replace(hcl, "key_file", "exit_on_err = true\n    key_file", 1))
			strict.wantExit(t, 1)
			if out := strict.log.String(); !strings.Contains(out, "leasehold: ") || strings.Contains(out, "goroutine ") {
				t.Errorf("with exit_on_err: %s", out)
			}
			if c.want == "" {
				return
			}
			p = startProxy(t, hcl)
			p.waitLog(t, c.want)
			if again, hit := p.lease(t, "/v1/leaser/creds/unusable?ttl=600"); hit || again == id {
				t.Error("a hit from a file that cannot be read")
			}
		})
	}
}
