package listener_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/listener"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, s listener.Settings) *listener.Socket {
	t.Helper()
	ln, err := listener.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() }) // Serve may have closed it
	return ln
}

func TestAPortInUse(t *testing.T) {
	address := open(t, listener.Settings{Address: "127.0.0.1:0"}).Addr().String()
	_, err := listener.Open(t.Context(), listener.Settings{Address: address})
	want := "listener: " + address + " is in use by another process; stop it or choose another address"
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestAnAddressThatCannotBe(t *testing.T) {
	for _, address := range []string{"192.0.2.1:0", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:http-no", "[::1:0"} {
		ln, err := listener.Open(t.Context(), listener.Settings{Address: address})
		if err == nil {
			_ = ln.Close()
			t.Errorf("%s: no error", address)
			continue
		}
		if !strings.HasPrefix(err.Error(), "listener: cannot listen on "+address+": ") || !strings.HasSuffix(err.Error(), "; choose an address of this machine") {
			t.Errorf("error = %v", err)
		}
	}
}

// 0.0.0.0 must not open the machine's IPv6 side as well; no host at all means both.
func TestAnIPv4AddressStaysIPv4(t *testing.T) {
	for address, want := range map[string]string{"0.0.0.0:0": "0.0.0.0", "127.0.0.1:0": "127.0.0.1"} {
		host, _, err := net.SplitHostPort(open(t, listener.Settings{Address: address}).Addr().String())
		if err != nil || host != want {
			t.Errorf("%s listens on %s, %v; want %s", address, host, err, want)
		}
	}
}

// keyPair writes a certificate for 127.0.0.1 and its key, and returns what trusts it.
func keyPair(t *testing.T, name string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(certFile, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, roots
}

func TestATLSPairThatIsNone(t *testing.T) {
	cert, key, _ := keyPair(t, "one")
	_, otherKey, _ := keyPair(t, "other")
	for name, pair := range map[string][2]string{
		"no certificate":   {"/nowhere/one.crt", key},
		"no key":           {cert, "/nowhere/one.key"},
		"key not given":    {cert, ""},
		"another's key":    {cert, otherKey},
		"exchanged":        {key, cert},
		"a directory":      {filepath.Dir(cert), key},
		"certificate only": {cert, cert},
	} {
		t.Run(name, func(t *testing.T) {
			s := listener.Settings{Address: free(t), CertFile: pair[0], KeyFile: pair[1]}
			_, err := listener.Open(t.Context(), s)
			const begin, end = "listener: error loading TLS cert: ", "; tls_cert_file and tls_key_file must be a PEM pair without passphrase"
			if err == nil || !strings.HasPrefix(err.Error(), begin) || !strings.HasSuffix(err.Error(), end) {
				t.Fatalf("error = %v", err)
			}
			open(t, listener.Settings{Address: s.Address}) // the socket is not left behind
		})
	}
}

// free returns an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	ln := open(t, listener.Settings{Address: "127.0.0.1:0"})
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	return ln.Addr().String()
}

func TestTLS(t *testing.T) {
	cert, key, roots := keyPair(t, "one")
	ln := open(t, listener.Settings{Address: "127.0.0.1:0", CertFile: cert, KeyFile: key})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	go func() {
		done <- listener.Serve(ctx, ln, hello, listener.Settings{}, time.Second, slog.New(slog.DiscardHandler))
	}()
	for want, transport := range map[string]*http.Transport{
		"HTTP/1.1": {TLSClientConfig: &tls.Config{RootCAs: roots}},
		"HTTP/2.0": {TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
	} {
		client := &http.Client{Transport: transport}
		resp, err := client.Get("https://" + ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != want {
			t.Errorf("protocol = %s, %v; want %s", body, err, want)
		}
		transport.CloseIdleConnections()
	}
	old := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", ln.Addr().String(), old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
