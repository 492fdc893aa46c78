//go:build unix

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// reloadable is a binary whose file can be changed.
type reloadable struct {
	*proxy
	file string
}

// startReloadable runs the binary with this configuration, and waits for nothing.
func startReloadable(t *testing.T, hcl string, opts ...option) reloadable {
	t.Helper()
	file := filepath.Join(t.TempDir(), "proxy.hcl")
	writeFile(t, file, hcl, 0o600)
	return reloadable{start(t, []string{"-config=" + file}, opts...), file}
}

// to replaces the file, sends SIGHUP and returns what the log says of the reload.
func (r reloadable) to(t *testing.T, hcl string) string {
	t.Helper()
	replaceFile(t, r.file, hcl)
	return r.hangup(t)
}

// hangup sends SIGHUP and returns what the log says of the reload.
func (r reloadable) hangup(t *testing.T) (said string) {
	t.Helper()
	before := len(r.log.String())
	r.signal(t)
	eventually(t, "the reload is over", func() bool {
		said = r.log.String()[before:]
		return strings.Contains(said, "reloaded") && strings.Contains(said, " took=")
	})
	return said
}

func (r reloadable) signal(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// wantSaid checks that a log has a text.
func wantSaid(t *testing.T, log, text string) {
	t.Helper()
	if !strings.Contains(log, text) {
		t.Errorf("log lacks %q:\n%s", text, log)
	}
}

// What can be is in force at once, what cannot is named, and a file with a problem changes nothing.
func TestReload(t *testing.T) {
	sink := fmt.Sprintf("auto_auth {\n  sink \"file\" { config = { path = %q } }", filepath.Join(t.TempDir(), "token"))
	login := strings.Replace(newAppRole(t, shared).autoAuth(), "auto_auth {", sink, 1)
	hcl := func(more, proxy string, listener ...string) string {
		return more + vaultStanza(shared.Address) + login + proxy + cacheStanza + listenerStanza(append(listener, "max_request_size = 5")...)
	}
	r := startReloadable(t, hcl("", ""), tellOwn) // the level of the log
	r.waitLog(t, "msg=ready")
	r.waitListening(t, 1)
	own := func(want int) {
		t.Helper()
		if got := r.do(t, "GET", "/v1/auth/token/lookup-self", "").Status; got != want {
			t.Errorf("a request without a token: %d, want %d", got, want)
		}
	}
	own(403)
	if r.do(t, "POST", "/v1/sys/nothing", "too long"); strings.Contains(r.log.String(), "level=DEBUG") {
		t.Error("logged at debug without being asked to")
	}
	wantSaid(t, r.hangup(t), `msg="reloaded: nothing has changed"`)
	wantSaid(t, r.to(t, hcl("", injectToken)), "setting=api_proxy.use_auto_auth_token")
	own(200)
	wantSaid(t, r.to(t, hcl("log_level = \"debug\"\npid_file = \"/nowhere\"\n", injectToken)), `msg="needs a restart" setting=pid_file`)
	r.do(t, "POST", "/v1/sys/nothing", "too long")
	r.waitLog(t, "level=DEBUG")
	wantSaid(t, r.to(t, hcl("", "", "role = \"nonsense\"")), `msg="not reloaded: nothing has changed`)
	own(200)
	wantSaid(t, r.to(t, hcl("", injectToken, "require_request_header = true")), "setting=log_level old=DEBUG new=INFO")
	own(412)
}

// SIGHUPs that come together, and under load, cost no request.
func TestHangupsUnderLoad(t *testing.T) {
	role := newAppRole(t, shared)
	files := []string{caching(shared.Address, role), strings.Replace(caching(shared.Address, role), "cache {}", "cache {\n  max_entries = 100\n}", 1)}
	r := startReloadable(t, files[0])
	r.waitLog(t, "msg=ready")
	r.waitListening(t, 1)
	finish := underLoad(t, r.URLs[0]+"/v1/sys/health", &http.Transport{MaxIdleConnsPerHost: 10})
	for n := range 4 {
		replaceFile(t, r.file, files[(n+1)%2])
		r.signal(t)
		r.signal(t)
		r.signal(t)
		want := fmt.Sprintf("setting=cache.max_entries old=%d new=%d", n%2*100, (n+1)%2*100)
		r.waitLog(t, want)
		eventually(t, want, func() bool { return strings.Count(r.log.String(), want) == n/2+1 })
	}
	finish()
}

// underLoad sends requests side by side until the function that it returns is called, which checks that each was answered.
func underLoad(t *testing.T, url string, transport *http.Transport) (finish func()) {
	t.Helper()
	var over atomic.Bool
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for !over.Load() {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Errorf("a request was dropped: %v", err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("status = %d", resp.StatusCode)
				}
			}
		})
	}
	return func() {
		over.Store(true)
		all.Wait()
		transport.CloseIdleConnections()
	}
}

// A new certificate is for new connections; those that are there stay. One without its key is refused, and the old one serves on.
func TestCertificateReload(t *testing.T) {
	ca, pair := newCertAuthority(t), newPairFiles(t)
	ca.issue(t, pair, "web")
	role := newAppRole(t, shared)
	plain := listenerStanza()
	secured := strings.Replace(plain, "tls_disable = true", fmt.Sprintf("tls_cert_file = %q\n  tls_key_file = %q", pair.cert, pair.key), 1)
	r := startReloadable(t, vaultStanza(shared.Address)+role.autoAuth()+injectToken+cacheStanza+secured)
	r.waitLog(t, "msg=ready")
	r.waitListening(t, 1)
	address := strings.TrimPrefix(r.URLs[0], "http://")
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	config := &tls.Config{RootCAs: pool, ServerName: "web", InsecureSkipVerify: true} // the certificates of this authority are for clients
	serial := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", address, config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return fmt.Sprintf("%x", conn.ConnectionState().PeerCertificates[0].SerialNumber)
	}
	first := serial()
	finish := underLoad(t, "https://"+address+"/v1/sys/health", &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 5})
	ca.issue(t, pair, "web")
	r.hangup(t) // which reads the files, unless the look at them every few seconds came first
	second := serial()
	if second == first {
		t.Error("new connections have the old certificate")
	}
	other := newPairFiles(t)
	ca.issue(t, other, "web")
	replaceFile(t, pair.key, readFile(t, other.key))
	wantSaid(t, r.hangup(t), `msg="not reloaded: nothing has changed`)
	if serial() != second {
		t.Error("a certificate without its key was put to use")
	}
	finish()
}

// The CA that Vault is trusted by.
func TestVaultCAReload(t *testing.T) {
	v := startTLSVault(t, nil)
	good := readFile(t, v.caFile)
	other := filepath.Join(t.TempDir(), "other.pem")
	writeFile(t, other, certPEM(newCertAuthority(t).cert.Raw), 0o600)
	hcl := v.stanza("retry { num_retries = -1 }") + listenerStanza()
	r := startReloadable(t, hcl)
	r.waitLog(t, "msg=ready")
	r.waitListening(t, 1)
	health := func(want int) {
		t.Helper()
		if got := r.do(t, "GET", "/v1/sys/health", "").Status; got != want {
			t.Errorf("status = %d, want %d", got, want)
		}
	}
	health(200)
	wantSaid(t, r.to(t, strings.Replace(hcl, v.caFile, other, 1)), "setting=vault.ca_cert")
	health(502)
	replaceFile(t, other, good)
	wantSaid(t, r.hangup(t), "files_read=1")
	health(200)
	wantSaid(t, r.to(t, strings.Replace(hcl, v.caFile, "/nowhere", 1)), `msg="not reloaded`)
	health(200)
}

// A SIGHUP finds a start that waits for Vault, and the login under way takes no harm.
func TestHangupWhileVaultIsAway(t *testing.T) {
	v, _, release := gated(t)
	release()
	role := newAppRole(t, v)
	interrupt(t, v)
	hcl := caching(v.Address, role)
	r := startReloadable(t, hcl, tellOwn) // the level of the log
	r.waitLog(t, "connection refused")
	wantSaid(t, r.to(t, "log_level = \"debug\"\n"+hcl), "setting=log_level old=INFO new=DEBUG")
	resume(t, v)
	r.waitLog(t, "msg=ready")
}
