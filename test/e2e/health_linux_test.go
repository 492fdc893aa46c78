package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	own "leasehold/internal/api"
	"leasehold/test/e2e/realvault"
)

// watchful has readyz know of Vault what was so a second ago.
func watchful(hcl string) string {
	return strings.Replace(hcl, "vault {", "vault {\n  health_check_interval = \"1s\"", 1)
}

// wantPart waits until a part is in a state, and the whole answers with that status.
func (p *proxy) wantPart(t *testing.T, name, state string, status int) (part readyPart) {
	t.Helper()
	eventually(t, name+" is "+state, func() bool {
		var got int
		part, got = p.ready(t, name)
		return part.State == state && got == status
	})
	return part
}

// healthcheck runs the command against the first listener.
func (p *proxy) healthcheck(t *testing.T, code int, args ...string) printed {
	t.Helper()
	return leasehold(t, code, append([]string{"healthcheck", "-address=" + p.URLs[0]}, args...)...)
}

// Trouble of Vault fails readiness while there is nothing to answer with, and degrades it while there is; who needs Vault itself requires upstream.
func TestReadyWithoutVault(t *testing.T) {
	for title, c := range map[string]struct {
		harm, repair func(t *testing.T, v *realvault.Server)
		why          string
	}{
		"sealed": {
			func(t *testing.T, v *realvault.Server) { must(t, v.Seal()) }, func(t *testing.T, v *realvault.Server) { must(t, v.Unseal()) },
			" is sealed, not initialized, or a secondary",
		},
		"away": {interrupt, resume, " cannot be reached"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			v := ownVault(t, realvault.Options{})
			p := startProxy(t, watchful(caching(v.Address, newAppRole(t, v, newPolicy(t, v, "leaser/*: read")))))
			p.wantPart(t, "upstream", "available", http.StatusOK)
			why := "Vault at " + v.Address + c.why

			c.harm(t, v)
			if part := p.wantPart(t, "upstream", "unavailable", http.StatusServiceUnavailable); part.Ready || part.Reason != why {
				t.Errorf("without an entry: %+v, want the reason %q", part, why)
			}
			if got := p.healthcheck(t, 1); got.out != "not ready: upstream is unavailable: "+why+"\n" || got.err != "" {
				t.Errorf("healthcheck printed %+v", got)
			}
			if got := p.healthcheck(t, 0, "-live"); got.out != "alive\n" {
				t.Errorf("healthcheck -live printed %+v", got)
			}
			if got := p.healthcheck(t, 0, "-require=auto_auth", "-require=listeners"); got.out != "ready\n" {
				t.Errorf("healthcheck -require=auto_auth printed %+v", got)
			}
			c.repair(t, v)
			p.wantPart(t, "upstream", "available", http.StatusOK)

			path := "/v1/leaser/creds/" + name(t)
			id, _ := p.lease(t, path)
			c.harm(t, v)
			part := p.wantPart(t, "upstream", "degraded", http.StatusOK)
			if !part.Ready || !part.Degraded || part.Reason != why {
				t.Errorf("with an entry: %+v, want the reason %q", part, why)
			}
			p.wantHit(t, path, id)
			if got := p.healthcheck(t, 0); got.out != "ready, and degraded: upstream is degraded: "+why+"\n" {
				t.Errorf("healthcheck printed %+v", got)
			}
			if a := p.do(t, "GET", "/agent/v1/readyz?require=upstream", ""); a.Status != http.StatusServiceUnavailable {
				t.Errorf("?require=upstream = %d %s", a.Status, a.Body)
			}
			if got := p.healthcheck(t, 1, "-require=upstream"); got.out != "not ready: upstream is degraded: "+why+"\n" {
				t.Errorf("healthcheck -require=upstream printed %+v", got)
			}
			c.repair(t, v)
			if now := p.wantPart(t, "upstream", "available", http.StatusOK); now.Since.Before(part.Since) || now.Reason != "" {
				t.Errorf("in the end: %+v", now)
			}
		})
	}
}

// Who requires a part that there is none of has misspelt it: that is 400, and says what there is.
func TestRequireAnUnknownPart(t *testing.T) {
	p := startProxy(t, caching(shared.Address, newAppRole(t, shared)))
	const want = `there is no part \"upstraem\" to require; there are listeners, auto_auth, upstream, clock`
	if a := p.do(t, "GET", "/proxy/v1/readyz?require=auto_auth,upstraem", ""); a.Status != http.StatusBadRequest || !contains(a.Body, want) {
		t.Errorf("readyz = %d %s", a.Status, a.Body)
	}
	for _, command := range []string{"healthcheck", "wait"} {
		if got := leasehold(t, 1, command, "-address="+p.URLs[0], "-require=upstraem"); !strings.Contains(got.err, strings.ReplaceAll(want, `\`, "")) || got.out != "" {
			t.Errorf("%s printed %+v", command, got)
		}
	}
}

// A sink whose directory is gone degrades: requests are answered, and who reads the sink may ask for it.
func TestHealthOfASinkWithoutDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sinks")
	must(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "token")
	hcl := withSinks(shared, newAppRole(t, shared), sinkStanza(path))
	p := startProxy(t, strings.Replace(hcl, allowQuit, "proxy_api { enable_reauth = true }", 1))
	p.wantPart(t, "sink file "+path, "token stored", http.StatusOK)
	remember(readFile(t, path))
	must(t, os.RemoveAll(dir))
	if a := p.do(t, "POST", "/proxy/v1/reauth", ""); a.Status/100 != 2 {
		t.Fatalf("reauth = %d %s", a.Status, a.Body)
	}
	part := p.wantPart(t, "sink file "+path, "token not stored", http.StatusOK)
	if !part.Ready || !part.Degraded || !strings.Contains(part.Reason, "create the directory "+dir) {
		t.Errorf("%+v", part)
	}
	if got := p.healthcheck(t, 1, "-require=sinks"); !strings.Contains(got.out, "not ready: sink file "+path+" is token not stored: ") {
		t.Errorf("healthcheck -require=sinks printed %+v", got)
	}
	p.healthcheck(t, 0)
	must(t, os.Mkdir(dir, 0o700))
	p.wantPart(t, "sink file "+path, "token stored", http.StatusOK)
	p.healthcheck(t, 0, "-require=sinks")
	remember(readFile(t, path))
}

// An init script starts wait, then Leasehold, and Vault comes last.
func TestWaitForEverything(t *testing.T) {
	v := ownVault(t, realvault.Options{})
	r := newAppRole(t, v)
	interrupt(t, v)
	addr := freeAddress(t)
	var out, told output
	w := start(t, []string{"wait", "-address=http://" + addr}, func(_ *testing.T, cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = &out, &told })
	says := func(text string) {
		t.Helper()
		eventually(t, "wait says "+text, func() bool { return strings.Contains(told.String(), text) })
	}
	says("waiting: Leasehold at http://" + addr + " does not answer: ")
	p := launch(t, strings.Replace(eager(caching(v.Address, r)), "127.0.0.1:0", addr, 1))
	p.waitListening(t, 1)
	says("waiting: not ready: auto_auth is ")
	if got := p.healthcheck(t, 1); !strings.Contains(got.out, "not ready: auto_auth is ") {
		t.Errorf("healthcheck printed %+v", got)
	}
	late := leasehold(t, 1, "wait", "-timeout=1s", "-require=auto_auth", "-address="+p.URLs[0])
	if !strings.Contains(late.err, "\nleasehold: gave up after 1s: not ready: auto_auth is ") || late.out != "" {
		t.Errorf("wait -timeout=1s printed %+v", late)
	}
	resume(t, v)
	w.wantExit(t, 0)
	if out.String() != "ready\n" {
		t.Errorf("wait printed %q", out.String())
	}
	all := leasehold(t, 0, "healthcheck", "-address="+p.URLs[0])
	if all.out != "ready\n" || all.err != "" {
		t.Errorf("healthcheck printed %+v", all)
	}
	p.stop(t)
	for _, args := range [][]string{nil, {"-live"}} { // nobody is there
		if got := p.healthcheck(t, 1, args...); got.out != "" || !strings.Contains(got.err, "leasehold: Leasehold at "+p.URLs[0]+" does not answer: ") {
			t.Errorf("healthcheck %v printed %+v", args, got)
		}
	}
}

// Over the admin socket as well, and as JSON.
func TestHealthOverTheAdminSocket(t *testing.T) {
	_, socket, _ := lookedAt(t)
	if r := tells[own.Readiness](t, socket, 0, "healthcheck"); !r.Ready || len(r.Parts) != 4 {
		t.Errorf("healthcheck: %+v", r)
	}
	if r := tells[own.Readiness](t, socket, 0, "wait", "-require=clock"); !r.Ready || len(r.Parts) != 1 || r.Parts[0].State != "on time" {
		t.Errorf("wait: %+v", r)
	}
	if l := tells[own.Liveness](t, socket, 0, "healthcheck", "-live"); !l.Alive || l.Since.IsZero() {
		t.Errorf("healthcheck -live: %+v", l)
	}
}

// The image's HEALTHCHECK runs as it is written there, where there is neither a shell nor a place for a socket.
func TestHealthcheckOfTheImage(t *testing.T) {
	t.Parallel()
	if withRace {
		t.Skip("the race detector needs libc; the image does not")
	}
	if os.Getuid() != 0 {
		t.Skip("only root may change the root of a process")
	}
	words := regexp.MustCompile(`(?m)^HEALTHCHECK .*CMD (\[.*\])$`).FindStringSubmatch(readFile(t, filepath.Join("..", "..", "Dockerfile")))
	var command []string
	if words == nil {
		t.Fatal("the Dockerfile has no HEALTHCHECK in exec form")
	}
	must(t, json.Unmarshal([]byte(words[1]), &command))
	root := t.TempDir()
	must(t, os.WriteFile(filepath.Join(root, "proxy.hcl"), []byte(vaultStanza(shared.Address)+cacheStanza+listenerStanza()), 0o644))
	p := start(t, []string{"-config=/proxy.hcl"}, emptyRoot(root))
	p.waitLog(t, "msg=ready")
	p.waitListening(t, 1)
	check := func(code int, address, want string) {
		t.Helper()
		var out output
		h := start(t, command[1:], func(_ *testing.T, cmd *exec.Cmd) {
			cmd.Path, cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = command[0], "/", []string{"LEASEHOLD_ADDR=" + address}, &out, &out
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		})
		if h.wantExit(t, code); !strings.Contains(out.String(), want) {
			t.Errorf("%q printed %q, want %q", command, out.String(), want)
		}
	}
	check(0, p.URLs[0], "ready\n")
	p.stop(t)
	check(1, p.URLs[0], " does not answer: ")
}
