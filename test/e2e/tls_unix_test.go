//go:build unix

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// secured is a listener on a free port with TLS; more goes into its block.
func secured(pair pairFiles, more ...string) string {
	files := fmt.Sprintf("tls_cert_file = %q\n  tls_key_file = %q", pair.cert, pair.key)
	return strings.Replace(listenerStanza(more...), "tls_disable = true", files, 1)
}

// startSecured runs a configuration with one listener of TLS, and returns its address.
func startSecured(t *testing.T, hcl string) (r reloadable, address string) {
	t.Helper()
	r = startReloadable(t, hcl)
	r.waitLog(t, "msg=ready")
	r.waitListening(t, 1)
	return r, strings.TrimPrefix(r.URLs[0], "http://")
}

// tlsClient keeps its connection, and shows a certificate if there is one. The certificates of the tests' authority are for clients, so that the name is
// not looked at.
func tlsClient(t *testing.T, show *pairFiles) *http.Client {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true}
	if show != nil {
		pair, err := tls.LoadX509KeyPair(show.cert, show.key)
		if err != nil {
			t.Fatal(err)
		}
		// GetClientCertificate shows it whatever authorities the server names: a refusal is then the server's.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// serialOver asks for Vault's health, and returns the serial number of the certificate that the answer came under.
func serialOver(t *testing.T, c *http.Client, address string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/v1/sys/health", nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	var all [1]byte
	for err == nil { // a connection whose answer was read is used again
		_, err = resp.Body.Read(all[:])
	}
	return fmt.Sprint(resp.TLS.PeerCertificates[0].SerialNumber), nil
}

// Who has a certificate of the client CA comes in, and nobody else. A reload with another CA and another certificate is for new handshakes: who was let in
// before stays, and goes on under the old certificate.
func TestMutualTLS(t *testing.T) {
	server, servers := newCertAuthority(t), [2]pairFiles{newPairFiles(t), newPairFiles(t)}
	var cas [2]string
	var clients [2]pairFiles
	var serials [2]string
	for i := range cas {
		ca := newCertAuthority(t)
		cas[i], clients[i] = filepath.Join(t.TempDir(), "clients.pem"), newPairFiles(t)
		writeFile(t, cas[i], certPEM(ca.cert.Raw), 0o600)
		ca.issue(t, clients[i], "client")
		serials[i] = server.issue(t, servers[i], "web")
	}
	hcl := func(i int) string {
		return vaultStanza(shared.Address) + secured(servers[i], "tls_require_and_verify_client_cert = true", fmt.Sprintf("tls_client_ca_file = %q", cas[i]))
	}
	r, address := startSecured(t, hcl(0))
	inBefore := tlsClient(t, &clients[0])
	come := func(title string, c *http.Client, want string) {
		t.Helper()
		got, err := serialOver(t, c, address)
		if (err == nil) != (want != "") || got != want {
			t.Errorf("%s: answered under certificate %q, %v; want %q", title, got, err, want)
		}
	}
	come("a client of the CA", inBefore, serials[0])
	come("a client of another CA", tlsClient(t, &clients[1]), "")
	come("a client without a certificate", tlsClient(t, nil), "")
	wantSaid(t, r.to(t, hcl(1)), "files_read=1")
	come("a client that was in before", inBefore, serials[0])
	come("a client of the old CA", tlsClient(t, &clients[0]), "")
	come("a client of the new CA", tlsClient(t, &clients[1]), serials[1])
	come("a client without a certificate after the reload", tlsClient(t, nil), "")
	wantSaid(t, r.to(t, vaultStanza(shared.Address)+secured(servers[1])), "setting=listener[0].tls_require_and_verify_client_cert")
	come("a client without a certificate when none is required", tlsClient(t, nil), serials[1])
}

// Kubernetes renews a secret by exchanging the link that its files lead through. That is noticed without a signal.
func TestCertificateBehindAnExchangedLink(t *testing.T) {
	t.Parallel() // it waits for the next look at the files
	ca, dir := newCertAuthority(t), t.TempDir()
	version := func(n string) (serial string) {
		t.Helper()
		pair := pairFiles{filepath.Join(dir, n, "tls.crt"), filepath.Join(dir, n, "tls.key")}
		if err := os.Mkdir(filepath.Join(dir, n), 0o700); err != nil {
			t.Fatal(err)
		}
		serial = ca.issue(t, pair, "web")
		if err := os.Symlink(n, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		return serial
	}
	pair := pairFiles{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	for _, file := range []string{pair.cert, pair.key} {
		if err := os.Symlink(filepath.Join("..data", filepath.Base(file)), file); err != nil {
			t.Fatal(err)
		}
	}
	first := version("..1")
	r, address := startSecured(t, vaultStanza(shared.Address)+secured(pair))
	if got, err := serialOver(t, tlsClient(t, nil), address); got != first || err != nil {
		t.Errorf("certificate %s, %v; want %s", got, err, first)
	}
	second := version("..2")
	r.waitLog(t, `msg="new certificate"`)
	if got, err := serialOver(t, tlsClient(t, nil), address); got != second || err != nil {
		t.Errorf("certificate %s, %v; want %s", got, err, second)
	}
}

// Vault's own client, told of http:// where it is https://, says what to do.
func TestVaultsClientWithoutTLS(t *testing.T) {
	ca, pair := newCertAuthority(t), newPairFiles(t)
	ca.issue(t, pair, "web")
	r, address := startSecured(t, "log_level = \"debug\"\n"+vaultStanza(shared.Address)+secured(pair))
	config := api.DefaultConfig()
	config.Address = "http://" + address
	c, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	for title, ask := range map[string]func(context.Context) (*api.Secret, error){
		"read": func(ctx context.Context) (*api.Secret, error) { return c.Logical().ReadWithContext(ctx, "secret/x") },
		"list": func(ctx context.Context) (*api.Secret, error) { return c.Logical().ListWithContext(ctx, "secret") },
		"write": func(ctx context.Context) (*api.Secret, error) {
			return c.Logical().WriteWithContext(ctx, "secret/x", map[string]any{"k": strings.Repeat("v", 100_000)})
		},
		"delete": func(ctx context.Context) (*api.Secret, error) { return c.Logical().DeleteWithContext(ctx, "secret/x") },
	} {
		if _, err := ask(t.Context()); err == nil || !strings.Contains(err.Error(), "Code: 400") || !strings.Contains(err.Error(), "Write https:// in the address") {
			t.Errorf("%s: %v", title, err)
		}
	}
	r.waitLog(t, "client sent an HTTP request to an HTTPS server")
}
