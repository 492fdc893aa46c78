package upstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// tlsVault is a Vault behind TLS, and the files that its clients need.
type tlsVault struct {
	*httptest.Server
	ca, caDir, cert, key string
}

func newTLSVault(t *testing.T) tlsVault {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		if len(r.TLS.PeerCertificates) > 0 {
			w.Header().Set("X-Client", r.TLS.PeerCertificates[0].Subject.CommonName)
		}
		w.Header().Set("X-Name", r.TLS.ServerName)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)

	dir := t.TempDir()
	v := tlsVault{Server: s, caDir: filepath.Join(dir, "ca"), cert: filepath.Join(dir, "c.pem"), key: filepath.Join(dir, "k.pem")}
	v.ca = filepath.Join(v.caDir, "ca.pem")
	if err := os.Mkdir(v.caDir, 0o700); err != nil {
		t.Fatal(err)
	}
	writePEM(t, v.ca, "CERTIFICATE", s.Certificate().Raw)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "leasehold"}, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, v.cert, "CERTIFICATE", raw)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, v.key, "PRIVATE KEY", pkcs8)
	return v
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	v := newTLSVault(t)
	caText, err := os.ReadFile(v.ca)
	if err != nil {
		t.Fatal(err)
	}
	other := newTLSVault(t).cert // a certificate, but of nobody we know
	for name, tc := range map[string]struct {
		settings upstream.Settings
		env      map[string]string
		fails    bool
		want     http.Header
	}{
		"no CA": {fails: true},
		"CA file, HTTP/2": {
			settings: upstream.Settings{CACert: v.ca},
			want:     http.Header{"X-Proto": {"HTTP/2.0"}},
		},
		"CA directory":                      {settings: upstream.Settings{CAPath: v.caDir}},
		"CA file from the environment wins": {settings: upstream.Settings{CACert: other}, env: map[string]string{"VAULT_CACERT": v.ca}},
		"wrong CA file in the environment":  {settings: upstream.Settings{CACert: v.ca}, env: map[string]string{"VAULT_CACERT": other}, fails: true},
		"empty CA in the environment":       {settings: upstream.Settings{CACert: v.ca}, env: map[string]string{"VAULT_CACERT": ""}},
		"CA directory from the environment": {env: map[string]string{"VAULT_CAPATH": v.caDir}},
		"CA bytes":                          {env: map[string]string{"VAULT_CACERT_BYTES": string(caText)}},
		"CA bytes lose to a file": {
			settings: upstream.Settings{CACert: other},
			env:      map[string]string{"VAULT_CACERT_BYTES": string(caText)},
			fails:    true,
		},
		"CA bytes win over a directory": {
			settings: upstream.Settings{CAPath: t.TempDir()},
			env:      map[string]string{"VAULT_CACERT_BYTES": string(caText)},
		},
		"skip verification":                {settings: upstream.Settings{TLSSkipVerify: true}},
		"skip verification by environment": {env: map[string]string{"VAULT_SKIP_VERIFY": "1"}},
		"environment says verify after all": {
			settings: upstream.Settings{TLSSkipVerify: true},
			env:      map[string]string{"VAULT_SKIP_VERIFY": "false"},
			fails:    true,
		},
		"empty says nothing about verifying": {settings: upstream.Settings{TLSSkipVerify: true}, env: map[string]string{"VAULT_SKIP_VERIFY": ""}},
		"flag says verify, environment skip": {
			settings: upstream.Settings{IgnoreEnv: []string{"VAULT_SKIP_VERIFY"}},
			env:      map[string]string{"VAULT_SKIP_VERIFY": "true"},
			fails:    true,
		},
		"server name": {
			settings: upstream.Settings{CACert: v.ca, TLSServerName: "example.com"},
			want:     http.Header{"X-Name": {"example.com"}},
		},
		"wrong server name": {settings: upstream.Settings{CACert: v.ca, TLSServerName: "wrong.test"}, fails: true},
		"server name from the environment": {
			settings: upstream.Settings{CACert: v.ca, TLSServerName: "wrong.test"},
			env:      map[string]string{"VAULT_TLS_SERVER_NAME": "example.com"},
		},
		"client certificate": {
			settings: upstream.Settings{CACert: v.ca, ClientCert: v.cert, ClientKey: v.key},
			want:     http.Header{"X-Client": {"leasehold"}},
		},
		"client certificate from environment": {
			settings: upstream.Settings{CACert: v.ca},
			env:      map[string]string{"VAULT_CLIENT_CERT": v.cert, "VAULT_CLIENT_KEY": v.key},
			want:     http.Header{"X-Client": {"leasehold"}},
		},
		"environment over a stanza's bad pair": {
			settings: upstream.Settings{CACert: v.ca, ClientCert: "/no", ClientKey: "/no"},
			env:      map[string]string{"VAULT_CLIENT_CERT": v.cert, "VAULT_CLIENT_KEY": v.key},
			want:     http.Header{"X-Client": {"leasehold"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, tc.env)
			tc.settings.Address = v.URL
			w, err := ask(t, newClient(t, tc.settings))
			if (err != nil) != tc.fails {
				t.Fatalf("err = %v, want one: %v", err, tc.fails)
			}
			for k, want := range tc.want {
				if got := w.Header().Get(k); got != want[0] {
					t.Errorf("%s = %q, want %q", k, got, want[0])
				}
			}
		})
	}
}

func TestTargetsOverHTTP2(t *testing.T) {
	v := newTLSVault(t)
	var got string
	v.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Proto + " " + r.RequestURI })
	c := newClient(t, upstream.Settings{Address: v.URL, CACert: v.ca})
	for _, target := range []string{"/v1/a%2Fb?c;d=|", "//v1/a|b", "/v1/x?"} {
		r := httptest.NewRequest("LIST", "/", nil)
		r.RequestURI = target
		if err := c.Forward(httptest.NewRecorder(), r, vault.Identity{}, nil); err != nil || got != "HTTP/2.0 "+target {
			t.Errorf("%s arrived as %s, %v", target, got, err)
		}
	}
}

func TestClientTimeoutOverHTTP2(t *testing.T) {
	t.Setenv("VAULT_CLIENT_TIMEOUT", "20ms")
	v := newTLSVault(t)
	v.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if _, err := ask(t, newClient(t, upstream.Settings{Address: v.URL, CACert: v.ca})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Forward = %v, want context.DeadlineExceeded", err)
	}
}
