package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	own "leasehold/internal/api"
)

// adminStanza is an admin socket of the test's own.
func adminStanza(path string) string { return fmt.Sprintf("admin_socket = %q\n", path) }

// tells runs the binary against an admin socket and reads what it prints with -json.
func tells[T any](t *testing.T, socket string, code int, args ...string) (v T) {
	t.Helper()
	out := leasehold(t, code, slices.Concat(args[:1], []string{"-json", "-address=unix://" + socket}, args[1:])...)
	if err := json.Unmarshal([]byte(out.out), &v); err != nil {
		t.Fatalf("leasehold %v printed %q, %q: %v", args, out.out, out.err, err)
	}
	return v
}

// lookedAt is a proxy with leases of the auto-auth token and of a client's, and an admin socket.
func lookedAt(t *testing.T) (p *proxy, socket string, paths []string) {
	t.Helper()
	socket = socketPath(t)
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", "auth/token/create: update"))
	p = startProxy(t, adminStanza(socket)+vaultStanza(shared.Address)+r.autoAuth()+injectToken+"cache { rule \"kv/*\" { cache = false } }\n"+
		listenerStanza("proxy_api { enable_status = true }"))
	auth := p.logIn(t, r)
	for n := range 3 {
		path := fmt.Sprintf("/v1/leaser/creds/%s-%d?ttl=600", name(t), n)
		_, _ = p.lease(t, path)
		paths = append(paths, path)
	}
	_, _ = p.lease(t, paths[0])
	_, _ = p.lease(t, paths[0], "X-Vault-Token: "+auth.ClientToken)
	return p, socket, paths
}

func TestStatusOfARunningDaemon(t *testing.T) {
	p, socket, _ := lookedAt(t)
	s := tells[own.Status](t, socket, 0, "status")
	if s.PID != p.cmd.Process.Pid || !s.Ready || len(s.Listeners) != 2 || s.Listeners[0].Address != p.URLs[0] || s.Listeners[1].Role != "admin" {
		t.Errorf("the daemon is %+v", s)
	}
	if len(s.Vault.Nodes) != 1 || s.Vault.Nodes[0].Address != shared.Address || s.Vault.Nodes[0].State != "up" || !s.Vault.Nodes[0].InUse {
		t.Errorf("Vault is %+v", s.Vault)
	}
	if len(s.AutoAuth) != 1 || s.AutoAuth[0].State != "held" || s.AutoAuth[0].Method != "approle" || s.AutoAuth[0].AccessorHash == "" || s.AutoAuth[0].Accessor == "" {
		t.Errorf("the login is %+v", s.AutoAuth)
	}
	c := s.Cache
	if c == nil || c.Entries != 5 || c.Tokens != 2 || c.Hits != 1 || c.Misses != 5 || c.States["fresh"] != 5 || c.Bytes <= 0 || s.Clock.NextDue == nil || s.StateFile != nil {
		t.Errorf("the cache is %+v, the clock %+v", c, s.Clock)
	}
	if files := s.Configuration.Files; len(files) == 0 || filepath.Ext(files[0]) != ".hcl" || s.Configuration.LastReload != nil {
		t.Errorf("the configuration is %+v", s.Configuration)
	}
	text := leasehold(t, 0, "status", "-address=unix://"+socket).out
	for _, want := range []string{fmt.Sprintf("pid %d,", s.PID), ", ready", p.URLs[0], "approle", "5 entries, 2 tokens", "1 hits (16.7 % of requests)", shared.Address} {
		if !strings.Contains(text, want) {
			t.Errorf("status does not say %q:\n%s", want, text)
		}
	}
	// A listener that is not the admin's tells no accessor.
	a := p.do(t, "GET", "/proxy/v1/status", "")
	if a.Status != http.StatusOK || strings.Contains(string(a.Body), s.AutoAuth[0].Accessor) || !strings.Contains(string(a.Body), s.AutoAuth[0].AccessorHash) {
		t.Errorf("status of a listener = %d %s", a.Status, a.Body)
	}
}

func TestLeasesOfARunningDaemon(t *testing.T) {
	p, socket, paths := lookedAt(t)
	all := tells[own.LeasePage](t, socket, 0, "leases", "-sort=hits", "-order=desc")
	if all.Total != 5 || len(all.Leases) != 5 || all.Next != "" {
		t.Fatalf("leases = %+v", all)
	}
	first := all.Leases[0]
	path, _, _ := strings.Cut(strings.TrimPrefix(paths[0], "/v1/"), "?")
	if first.Hits != 1 || first.Path != path || first.Kind != "lease" || first.Mount != "leaser" || first.TTL < 500 || first.TTL > 600 || first.Renewal == nil || first.State != "fresh" {
		t.Errorf("the lease that was hit is %+v", first)
	}
	tokens := tells[own.LeasePage](t, socket, 0, "leases", "-kind=token")
	if len(tokens.Leases) != 1 || tokens.Leases[0].Path != "auth/approle/login" || tokens.Leases[0].Accessor == "" {
		t.Fatalf("tokens = %+v", tokens)
	}
	// The client's token and what hangs on it, by accessor and by its hash.
	for _, accessor := range []string{tokens.Leases[0].Accessor, tokens.Leases[0].AccessorHash} {
		if page := tells[own.LeasePage](t, socket, 0, "leases", "-accessor="+accessor); page.Total != 2 {
			t.Errorf("of the client's token: %+v", page)
		}
	}
	// Page by page it is the same list.
	var ids, paged []string
	for _, l := range tells[own.LeasePage](t, socket, 0, "leases", "-sort=path").Leases {
		ids = append(ids, l.ID)
	}
	for _, l := range tells[own.LeasePage](t, socket, 0, "leases", "-sort=path", "-limit=2", "-all").Leases {
		paged = append(paged, l.ID)
	}
	if !slices.Equal(ids, paged) {
		t.Errorf("pages have %v, the list %v", paged, ids)
	}
	out := leasehold(t, 0, "leases", "-address=unix://"+socket, "-limit=2").out
	if !strings.Contains(out, "2 of 5; for those that follow: -after=") {
		t.Errorf("leases printed:\n%s", out)
	}
	leasehold(t, 2, "leases", "-address=unix://"+socket, "-mount=none")
	leasehold(t, 1, "leases", "-address=unix://"+socket, "-sort=none")
	// Other listeners say neither accessors nor, as everywhere, lease ids.
	a := p.do(t, "GET", "/proxy/v1/leases", "")
	id, _ := p.lease(t, paths[1])
	if a.Status != http.StatusOK || strings.Contains(string(a.Body), tokens.Leases[0].Accessor) || strings.Contains(string(a.Body), id) {
		t.Errorf("leases of a listener = %d %s", a.Status, a.Body)
	}
}

func TestExplainARequest(t *testing.T) {
	p, socket, paths := lookedAt(t)
	e := tells[own.Explanation](t, socket, 0, "explain", "get", paths[0])
	if e.Kind != "creation" || e.Rule != "*" || len(e.Listeners) != 2 || !e.Listeners[0].Allowed || e.Listeners[0].Token != "auto_auth" || e.Listeners[1].Allowed {
		t.Errorf("explained: %+v", e)
	}
	if len(e.Cache) != 2 || e.Cache[0].Outcome != "MISS" || e.Cache[1].Outcome != "HIT" || e.Cache[1].Lease == "" || e.Cache[1].TTL < 500 {
		t.Errorf("explained: %+v", e.Cache)
	}
	// What it says is what then happens.
	if _, hit := p.lease(t, paths[0]); !hit {
		t.Error("what was said to be a hit is none")
	}
	other := tells[own.Explanation](t, socket, 0, "explain", "GET", paths[0]+"&other=1")
	if other.Cache[1].Outcome != "MISS" || other.Cache[1].Kept == "" {
		t.Errorf("explained: %+v", other.Cache)
	}
	for path, want := range map[string][2]string{
		"/v1/kv/a":                   {"BYPASS", "a rule keeps nothing of this path"},
		"/v1/sys/health":             {"BYPASS", "the request creates nothing that could be kept"},
		"/v1/auth/token/lookup-self": {"BYPASS", "the request creates nothing that could be kept"},
	} {
		if e := tells[own.Explanation](t, socket, 0, "explain", "GET", path); e.Cache[1].Outcome != want[0] || e.Cache[1].Why != want[1] {
			t.Errorf("%s: %+v", path, e.Cache)
		}
	}
	if e := tells[own.Explanation](t, socket, 2, "explain", "TRACE", "/v1/kv/a"); e.Listeners[0].Status != http.StatusMethodNotAllowed {
		t.Errorf("explained: %+v", e.Listeners)
	}
}

func TestClearFromTheCommandLine(t *testing.T) {
	p, socket, paths := lookedAt(t)
	clear := func(code, want int, args ...string) {
		t.Helper()
		got := tells[struct{ Cleared int }](t, socket, code, append([]string{"clear"}, args...)...)
		if got.Cleared != want {
			t.Errorf("clear %v = %d, want %d", args, got.Cleared, want)
		}
	}
	id, _ := p.lease(t, paths[1])
	clear(0, 1, "lease", id)
	clear(2, 0, "lease", id)
	if _, hit := p.lease(t, paths[1]); hit {
		t.Error("what was forgotten is a hit")
	}
	path, _, _ := strings.Cut(paths[2], "?")
	clear(0, 1, "path", strings.TrimPrefix(path, "/v1/"))
	token := tells[own.LeasePage](t, socket, 0, "leases", "-kind=token").Leases[0]
	clear(0, 2, "accessor", token.Accessor)
	clear(0, 2, "all")
	clear(2, 0, "all")
	leasehold(t, 1, "clear", "-address=unix://"+socket, "some")
	leasehold(t, 1, "clear", "-address=unix://"+socket, "token") // nothing comes on standard input
}

func TestAdminSocketByDefault(t *testing.T) {
	runtime := filepath.Dir(socketPath(t))
	hcl := vaultStanza(shared.Address) + listenerStanza()
	p := startProxy(t, hcl, env("XDG_RUNTIME_DIR="+runtime))
	path := filepath.Join(runtime, "leasehold", "admin.sock")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket || info.Mode().Perm() != 0o600 {
		t.Fatalf("the admin socket is %v, %v", info, err)
	}
	// The command finds it.
	var out output
	c := start(t, []string{"status"}, env("XDG_RUNTIME_DIR="+runtime), func(_ *testing.T, cmd *exec.Cmd) { cmd.Stdout = &out })
	c.wantExit(t, 0)
	if !strings.Contains(out.String(), "unix://"+path) {
		t.Errorf("status printed:\n%s", out.String())
	}
	// It is no way to Vault.
	if a := over(t, path, "/v1/sys/health"); a.Status != http.StatusNotFound {
		t.Errorf("Vault's health over the admin socket = %d %s", a.Status, a.Body)
	}
	// Another daemon goes without, and says so.
	other := startProxy(t, hcl, env("XDG_RUNTIME_DIR="+runtime))
	other.waitLog(t, "no admin socket: another Leasehold may have it")
	other.stop(t)
	off := startProxy(t, `admin_socket = "off"`+"\n"+hcl, env("XDG_RUNTIME_DIR="+runtime))
	if strings.Contains(off.log.String(), "admin socket") {
		t.Error("admin_socket = off is not heeded")
	}
	// One that was asked for is a reason not to start.
	taken := launch(t, adminStanza(path)+hcl)
	taken.wantExit(t, 1)
	if !strings.Contains(taken.log.String(), "admin_socket: listener: "+path+" is in use by another process") {
		t.Errorf("the log says:\n%s", taken.log.String())
	}
	p.stop(t)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	leasehold(t, 1, "status", "-address=unix://"+path)
}

// The admin socket is for the user of the daemon, and root: others cannot connect, whatever they would ask.
func TestAdminSocketIsForItsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be another user")
	}
	socket := socketPath(t)
	if err := os.Chmod(filepath.Dir(socket), 0o755); err != nil { // the way there is open to all
		t.Fatal(err)
	}
	startProxy(t, adminStanza(socket)+vaultStanza(shared.Address)+listenerStanza())
	conn, err := connectAs(socket, 1000, 1000)
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("another user connects: %v, %v", conn, err)
	}
	if a := over(t, socket, "/proxy/v1/status"); a.Status != http.StatusOK {
		t.Errorf("status = %d %s", a.Status, a.Body)
	}
}

// over asks over a unix socket.
func over(t *testing.T, socket, path string) answer {
	t.Helper()
	return through(t, &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}, http.MethodGet, "http://leasehold"+path)
}
