package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"leasehold/test/e2e/realvault"
)

// dialAs connects to a unix socket as another user.
func dialAs(t *testing.T, path string, uid, gid uint32, groups ...uint32) net.Conn {
	t.Helper()
	conn, err := connectAs(path, uid, gid, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// connectAs is dialAs for who wants to see it fail. The change is one thread's, which ends with the goroutine that it is locked to.
func connectAs(path string, uid, gid uint32, groups ...uint32) (net.Conn, error) {
	type dialled struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialled, 1)
	go func() {
		runtime.LockOSThread()
		for _, call := range [][3]uintptr{
			{syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups)))}, {syscall.SYS_SETREGID, uintptr(gid), uintptr(gid)}, {syscall.SYS_SETREUID, uintptr(uid), uintptr(uid)},
		} {
			if _, _, errno := syscall.RawSyscall(call[0], call[1], call[2], 0); errno != 0 {
				done <- dialled{err: errno}
				return
			}
		}
		conn, err := net.Dial("unix", path)
		done <- dialled{conn, err}
	}()
	d := <-done
	return d.conn, d.err
}

// ask sends one request over a connection.
func ask(t *testing.T, conn net.Conn, method, path string) answer {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	return through(t, transport, method, "http://leasehold"+path)
}

func through(t *testing.T, transport *http.Transport, method, url string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

func wantRefused(t *testing.T, a answer, text string) {
	t.Helper()
	if a.Status != http.StatusForbidden || !strings.HasPrefix(string(a.Body), `{"errors":["`+text) {
		t.Errorf("answer = %d %s, want our refusal: %s", a.Status, a.Body, text)
	}
}

// oneLeaseOf returns a check that Vault has issued one lease of each role since.
func oneLeaseOf(t *testing.T, roles ...string) func() {
	t.Helper()
	before := make([]int, len(roles))
	for i, role := range roles {
		before[i] = shared.Issued(role)
	}
	return func() {
		t.Helper()
		for i, role := range roles {
			if n := shared.Issued(role) - before[i]; n != 1 {
				t.Errorf("Vault issued %d leases of %s, want 1", n, role)
			}
		}
	}
}

// Two applications share a socket and the token that it lends, and each gets its own; a hit in the cache is no way round.
func TestRightsOfTwoUsersOnOneSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("connecting as other users needs root")
	}
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", "sys/leases/*: update"))
	path := filepath.Join(publicDir(t), "l.sock")
	p := launch(t, vaultStanza(shared.Address)+r.autoAuth()+injectToken+cacheStanza+fmt.Sprintf(`listener "unix" {
  address      = %q
  socket_mode  = "0666"
  tls_disable  = true
  allow_users  = [21001]
  allow_groups = [22002]
  proxy_api { enable_quit = true }
  rule "leaser/creds/rights-one" {
    action = "allow"
    users  = [21001]
  }
  rule "leaser/creds/rights-two" {
    action  = "allow"
    methods = ["GET"]
    groups  = [22002]
  }
}
`, path)+listenerStanza())
	p.waitLog(t, "msg=ready")
	p.waitListening(t, 1)
	one := func() net.Conn { return dialAs(t, path, 21001, 21001) }
	many := make([]uint32, 100) // more than are asked for at first
	for i := range many {
		many[i] = uint32(30000 + i)
	}
	many[99] = 22002
	two := func() net.Conn { return dialAs(t, path, 21002, 21002, many...) }
	issued := oneLeaseOf(t, "rights-one", "rights-two")
	const first, second = "/v1/leaser/creds/rights-one?ttl=600", "/v1/leaser/creds/rights-two?ttl=600"

	wantHow(t, ask(t, one(), "GET", first), "MISS")
	wantHow(t, ask(t, one(), "GET", first), "HIT")
	wantHow(t, ask(t, two(), "GET", second), "MISS")
	wantRefused(t, ask(t, two(), "GET", first), "no rule of this listener")
	wantRefused(t, ask(t, one(), "GET", second), "no rule of this listener")
	wantRefused(t, ask(t, two(), "POST", second), "no rule of this listener")
	wantRefused(t, ask(t, two(), "GET", "/v1/leaser//creds/rights-one"), "this listener of Leasehold has rules")
	wantRefused(t, ask(t, two(), "GET", "/v1/leaser/creds/rights-two/%2e%2e/rights-one"), "this listener of Leasehold has rules")
	wantRefused(t, ask(t, one(), "POST", "/proxy/v1/quit"), "no rule of this listener")
	wantRefused(t, ask(t, dialAs(t, path, 21003, 21003), "GET", first), "this caller may not use")
	wantRefused(t, ask(t, dialAs(t, path, 21003, 21003), "GET", "/proxy/v1/metrics"), "this caller may not use")
	if a := ask(t, one(), "GET", "/proxy/v1/metrics"); a.Status != http.StatusOK {
		t.Errorf("metrics = %d", a.Status)
	}
	issued()
	if n := count(t, func(e realvault.Entry) bool {
		return strings.HasSuffix(e.Request.Path, "rights-two") && e.Request.Operation == "update"
	}); n != 0 {
		t.Errorf("%d denied requests reached Vault", n)
	}
	if got := p.metric(t, "leasehold_requests_denied"); got != 8 {
		t.Errorf("leasehold_requests_denied = %v, want 8", got)
	}
	for _, text := range []string{"uid=21002", "uid=21003", "path=/v1/leaser/creds/rights-one"} {
		p.waitLog(t, text)
	}
}

// authority signs certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, dir: t.TempDir()}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write(t, "ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue makes a certificate of this name, as files and for use.
func (a *authority) issue(t *testing.T, cn, uri string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, cn+".pem", "CERTIFICATE", der)
	a.write(t, cn+"-key.pem", "EC PRIVATE KEY", private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestRightsByClientCertificates(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", "")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := launch(t, vaultStanza(shared.Address)+r.autoAuth()+injectToken+cacheStanza+fmt.Sprintf(`listener "tcp" {
  address       = "127.0.0.1:0"
  tls_cert_file = "%[1]s/server.pem"
  tls_key_file  = "%[1]s/server-key.pem"
  tls_client_ca_file = "%[1]s/ca.pem"
  tls_require_and_verify_client_cert = true
  allow_client_cn  = ["one"]
  allow_client_san = ["spiffe://example.org/two"]
  rule "leaser/creds/rights-cn" {
    action    = "allow"
    client_cn = ["one"]
  }
  rule "leaser/creds/rights-san" {
    action     = "allow"
    client_san = ["spiffe://example.org/two"]
  }
}
`, ca.dir))
	p.waitLog(t, "msg=ready")
	p.waitListening(t, 1)
	get := func(cert tls.Certificate, path string) answer {
		return through(t, &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}},
			"GET", "https"+strings.TrimPrefix(p.URLs[0], "http")+path)
	}
	issued := oneLeaseOf(t, "rights-cn", "rights-san")
	one, two, three := ca.issue(t, "one", ""), ca.issue(t, "two", "spiffe://example.org/two"), ca.issue(t, "three", "spiffe://example.org/three")
	get(one, "/v1/leaser/creds/rights-cn?ttl=600").secret(t)
	get(two, "/v1/leaser/creds/rights-san?ttl=600").secret(t)
	wantRefused(t, get(one, "/v1/leaser/creds/rights-san?ttl=600"), "no rule of this listener")
	wantRefused(t, get(two, "/v1/leaser/creds/rights-cn?ttl=600"), "no rule of this listener")
	wantRefused(t, get(three, "/v1/leaser/creds/rights-cn?ttl=600"), "this caller may not use")
	p.waitLog(t, "client_cn=three")
	issued()
}

func TestAnUnknownUserStopsTheStart(t *testing.T) {
	p := launch(t, vaultStanza(shared.Address)+fmt.Sprintf("listener \"unix\" {\n  address = %q\n  tls_disable = true\n  allow_users = [\"no-such-user-here\"]\n}\n",
		filepath.Join(t.TempDir(), "l.sock")))
	p.wantExit(t, 1)
	if out := p.log.String(); !strings.Contains(out, "proxy.hcl:") || !strings.Contains(out, `there is no user "no-such-user-here" on this machine`) {
		t.Errorf("output:\n%s", out)
	}
}

// A reload gives rights to those who are connected already and takes them away; one that names an unknown user changes nothing.
func TestRightsChangeByReload(t *testing.T) {
	path := filepath.Join(publicDir(t), "l.sock")
	hcl := func(rights string) string {
		return vaultStanza(shared.Address) + fmt.Sprintf("listener \"unix\" {\n  address = %q\n  tls_disable = true\n%s}\n", path, rights)
	}
	const rule = "  rule \"sys/health\" { action = \"allow\" }\n"
	r := startReloadable(t, hcl(""))
	r.waitLog(t, "msg=ready")
	transport := &http.Transport{MaxConnsPerHost: 1, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	want := func(path string, status int) {
		t.Helper()
		if a := through(t, transport, "GET", "http://leasehold"+path); a.Status != status {
			t.Errorf("%s = %d %s, want %d", path, a.Status, a.Body, status)
		}
	}
	want("/v1/sys/seal-status", 200)
	wantSaid(t, r.to(t, hcl(rule)), "setting=listener[0].allow_*/default_action/rule")
	want("/v1/sys/health", 200)
	want("/v1/sys/seal-status", 403)
	said := r.to(t, hcl(rule+"  allow_users = [\"no-such-user-here\"]\n"))
	wantSaid(t, said, "not reloaded: nothing has changed")
	wantSaid(t, said, "no-such-user-here")
	want("/v1/sys/health", 200)
	wantSaid(t, r.to(t, hcl(fmt.Sprintf("  allow_users = [%d]\n", os.Geteuid()+1))), "reloaded")
	want("/v1/sys/health", 403)
	wantSaid(t, r.to(t, hcl("")), "reloaded")
	want("/v1/sys/seal-status", 200)
}
