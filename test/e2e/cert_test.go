package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/test/e2e/realvault"
)

// tlsVault is a Vault that asks for client certificates, and the certificate authority of its clients.
type tlsVault struct {
	*realvault.Server
	url    string
	caFile string // the server's
	mount  string
	ca     certAuthority
}

// startTLSVault mounts the real certificate auth method with a role "web" for certificates of the name "web".
func startTLSVault(t *testing.T, role map[string]any) *tlsVault {
	t.Helper()
	var real http.Handler
	v := &tlsVault{ca: newCertAuthority(t)}
	v.Server = ownVault(t, realvault.Options{Wrap: func(h http.Handler) http.Handler { real = h; return h }})
	front := httptest.NewUnstartedServer(real)
	front.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	front.StartTLS()
	t.Cleanup(front.Close)
	v.url, v.caFile = front.URL, filepath.Join(t.TempDir(), "vault-ca.pem")
	writeFile(t, v.caFile, certPEM(front.Certificate().Raw), 0o600)
	policy := newPolicy(t, v.Server, "leaser/creds/auto: read")
	data := map[string]any{"certificate": certPEM(v.ca.cert.Raw), "allowed_common_names": "web", "token_policies": policy, "token_ttl": "1h"}
	for key, value := range role {
		data[key] = value
	}
	v.mount = mountAuth(t, v.Server, "cert", map[string]map[string]any{"certs/web": data})
	return v
}

// stanza points at the TLS listener; more goes into it.
func (v *tlsVault) stanza(more ...string) string {
	return fmt.Sprintf("vault {\n  address = %q\n  ca_cert = %q\n  %s\n}\n", v.url, v.caFile, strings.Join(more, "\n  "))
}

type certAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertAuthority(t *testing.T) certAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certAuthority{cert, key}
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// pairFiles are those of a client certificate and its key.
type pairFiles struct{ cert, key string }

func newPairFiles(t *testing.T) pairFiles {
	dir := t.TempDir()
	return pairFiles{filepath.Join(dir, "client.pem"), filepath.Join(dir, "client-key.pem")}
}

func (p pairFiles) keys() []string {
	return []string{fmt.Sprintf("client_cert = %q", p.cert), fmt.Sprintf("client_key = %q", p.key)}
}

// issue writes a new pair, one file after the other, and returns its serial number.
func (a certAuthority) issue(t *testing.T, p pairFiles, name string) (serial string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	remember(strings.Split(keyPEM, "\n")[1])
	replaceFile(t, p.cert, certPEM(der))
	replaceFile(t, p.key, keyPEM)
	return template.SerialNumber.String()
}

func TestCertLogin(t *testing.T) {
	v := startTLSVault(t, nil)
	for name, tc := range map[string]struct {
		inVault, inMethod func(p pairFiles) []string
		noBlock           bool
	}{
		"files of the method": {
			inVault:  func(pairFiles) []string { return nil },
			inMethod: func(p pairFiles) []string { return append(p.keys(), `name = "web"`) },
		},
		"files of the method before those of the stanza": {
			inVault: func(pairFiles) []string {
				other := newPairFiles(t)
				newCertAuthority(t).issue(t, other, "web")
				return other.keys()
			},
			inMethod: func(p pairFiles) []string {
				return append(p.keys(), fmt.Sprintf("ca_cert = %q", v.caFile), "reload = true", `reload_period = "1h"`)
			},
		},
		"files of the stanza":                  {inVault: pairFiles.keys, inMethod: func(pairFiles) []string { return []string{`name = "web"`} }},
		"files of the stanza, and no settings": {inVault: pairFiles.keys, inMethod: func(pairFiles) []string { return nil }, noBlock: true},
	} {
		t.Run(name, func(t *testing.T) {
			files, sink := newPairFiles(t), filepath.Join(t.TempDir(), "token")
			first := v.ca.issue(t, files, "web")
			auto := methodStanza("cert", v.mount, tc.inMethod(files)...)
			if tc.noBlock {
				before, after, _ := strings.Cut(auto, "config = {")
				_, after, _ = strings.Cut(after, "}")
				auto = before + after
			}
			p := startProxy(t, v.stanza(tc.inVault(files)...)+withSink(auto, sink)+injectToken+listenerStanza())
			token := sunk(t, sink, "")
			if meta := tokenAt(t, v.Server, token, v.mount); meta["common_name"] != "web" || meta["serial_number"] != first {
				t.Errorf("the token is for %v, want serial number %s", meta, first)
			}
			if got := p.whoAmI(t); got != "auto" {
				t.Errorf("the token is that of %q, want the role's", got)
			}
			// A new pair on disk is used at once.
			second := v.ca.issue(t, files, "web")
			if meta := tokenAt(t, v.Server, sunk(t, sink, token), v.mount); meta["serial_number"] != second {
				t.Errorf("the new token is for %v, want serial number %s", meta, second)
			}
		})
	}
}

// Vault renews the token only for a certificate like that of the login.
func TestCertRenewal(t *testing.T) {
	v := startTLSVault(t, map[string]any{"token_ttl": "3s", "token_max_ttl": "1h"})
	files := newPairFiles(t)
	v.ca.issue(t, files, "web")
	p := startProxy(t, v.stanza()+methodStanza("cert", v.mount, files.keys()...)+injectToken+listenerStanza(), tellAll)
	p.waitLog(t, `msg="token renewed"`)
	p.stop(t)
	// The connections are the method's own, and what goes over them belongs to traces as everything does.
	for _, name := range []string{"log in", "renew auto-auth token"} {
		c := p.told.collector
		if all := c.find(name, ""); len(all) == 0 || len(c.below(all[0])) != 1 {
			t.Errorf("%d spans %q; want one with one below it", len(all), name)
		}
	}
}

// A certificate that the role does not take is one sentence that says what to do, and another try when there is a better one.
func TestCertRefusal(t *testing.T) {
	v := startTLSVault(t, nil)
	files := newPairFiles(t)
	for what, issue := range map[string]func(){
		"of another authority": func() { newCertAuthority(t).issue(t, files, "web") },
		"of another name":      func() { v.ca.issue(t, files, "intruder") },
	} {
		t.Run(what, func(t *testing.T) {
			issue()
			p := launch(t, v.stanza()+methodStanza("cert", v.mount, files.keys()...)+injectToken+listenerStanza())
			p.waitLog(t, "Vault refused the login at "+v.mount+"/login (400: ")
			p.waitLog(t, "; write a certificate that a role at "+v.mount+" takes to "+files.cert+", and its key to "+files.key)
			v.ca.issue(t, files, "web")
			p.waitLog(t, "msg=ready")
		})
	}
	t.Run("none", func(t *testing.T) {
		p := launch(t, v.stanza()+methodStanza("cert", v.mount)+injectToken+listenerStanza())
		p.waitLog(t, "; set client_cert and client_key, there or in the vault stanza")
	})
}

// Files that appear later, as an agent of the machine's identity writes them, are waited for.
func TestCertMissing(t *testing.T) {
	v := startTLSVault(t, nil)
	files := newPairFiles(t)
	if err := os.Remove(filepath.Dir(files.cert)); err != nil {
		t.Fatal(err)
	}
	p := launch(t, v.stanza()+methodStanza("cert", v.mount, files.keys()...)+injectToken+listenerStanza())
	p.waitLog(t, "read the certificate files: open "+files.cert)
	if err := os.Mkdir(filepath.Dir(files.cert), 0o700); err != nil {
		t.Fatal(err)
	}
	v.ca.issue(t, files, "web")
	p.waitLog(t, "msg=ready")
}

func TestCertHalfAPair(t *testing.T) {
	for _, key := range []string{"client_cert", "client_key"} {
		p := launch(t, vaultStanza(shared.Address)+methodStanza("cert", "auth/cert", key+` = "/etc/leasehold/one.pem"`)+injectToken+listenerStanza())
		p.wantExit(t, 1)
		if out := p.log.String(); !strings.Contains(out, "client_cert and client_key belong together; set both, or neither") || !strings.Contains(out, "proxy.hcl:") {
			t.Errorf("log with %s alone: %s", key, out)
		}
	}
}
