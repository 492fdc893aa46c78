package cf_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/cf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ autoauth.Watcher = (*cf.Method)(nil)

// recorder answers every request with a token and keeps the last one's path and body.
type recorder struct {
	path string
	body map[string]string
}

func (v *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	v.path = r.Method + " " + r.URL.Path
	if err := json.NewDecoder(r.Body).Decode(&v.body); err != nil {
		return nil, err
	}
	answer := `{"auth":{"client_token":"hvs.1"}}`
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func client(t *testing.T, rt http.RoundTripper) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certificate is a certificate for key, as PEM.
func certificate(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func pkcs1(_ *testing.T, key crypto.Signer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))})
}

func pkcs8(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

var noLog = slog.New(slog.DiscardHandler)

func method(t *testing.T, certFile, keyFile string, o cf.Options) *cf.Method {
	t.Helper()
	m, err := cf.New("web", certFile, keyFile, noLog, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestVaultCanVerifyTheSignature(t *testing.T) {
	for name, tc := range map[string]struct {
		encode func(*testing.T, crypto.Signer) []byte
		mount  string
		path   string
	}{
		"PKCS#1 key":  {pkcs1, "", "PUT /v1/auth/cf/login"},
		"PKCS#8 key":  {pkcs8, "", "PUT /v1/auth/cf/login"},
		"other mount": {pkcs1, "auth/pcf", "PUT /v1/auth/pcf/login"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile := filepath.Join(dir, "instance.crt"), filepath.Join(dir, "instance.key")
			key := rsaKey(t)
			put(t, certFile, certificate(t, key))
			put(t, keyFile, tc.encode(t, key))
			at := time.Date(2026, 3, 1, 12, 30, 45, 999, time.FixedZone("", 3600))
			v := &recorder{}
			secret, err := method(t, certFile, keyFile, cf.Options{MountPath: tc.mount, Now: func() time.Time { return at }}).Login(t.Context(), client(t, v))
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			if v.path != tc.path || v.body["role"] != "web" || v.body["signing_time"] != "2026-03-01T11:30:45Z" || len(v.body) != 4 {
				t.Errorf("sent %s %v", v.path, v.body)
			}
			verify(t, v.body)
		})
	}
}

// verify does what Vault does with the body: the certificate in it has to be that of the signature.
func verify(t *testing.T, body map[string]string) {
	t.Helper()
	block, _ := pem.Decode([]byte(body["cf_instance_cert"]))
	if block == nil {
		t.Fatalf("not a certificate: %q", body["cf_instance_cert"])
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	encoded, ok := strings.CutPrefix(body["signature"], "v1:")
	if !ok {
		t.Errorf("signature %q has no version", body["signature"])
	}
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(body["signing_time"] + body["cf_instance_cert"] + body["role"]))
	if err := rsa.VerifyPSS(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], signature, nil); err != nil {
		t.Error(err)
	}
}

func TestFilesThatCannotBeUsedAreNamed(t *testing.T) {
	key, other := rsaKey(t), rsaKey(t)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cert, key []byte
		says      string
	}{
		"no certificate":    {nil, pkcs1(t, key), "read the instance certificate"},
		"no key":            {certificate(t, key), nil, "read the instance key"},
		"empty certificate": {[]byte("\n"), pkcs1(t, key), "the file is empty"},
		"another's key":     {certificate(t, key), pkcs1(t, other), "does not match"},
		"half a key":        {certificate(t, key), pkcs1(t, key)[:200], "use the instance certificate"},
		"not an RSA key":    {certificate(t, curve), pkcs8(t, curve), "not an RSA key"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile := filepath.Join(dir, "instance.crt"), filepath.Join(dir, "instance.key")
			if tc.cert != nil {
				put(t, certFile, tc.cert)
			}
			if tc.key != nil {
				put(t, keyFile, tc.key)
			}
			v := &recorder{}
			_, err := method(t, certFile, keyFile, cf.Options{}).Login(t.Context(), client(t, v))
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "; ") {
				t.Errorf("Login = %v, want %q, a path and a remedy", err, tc.says)
			}
			if v.path != "" {
				t.Errorf("asked Vault for all that: %s", v.path)
			}
			for line := range bytes.Lines(tc.key) {
				if line = bytes.TrimSpace(line); len(line) > 40 && err != nil && strings.Contains(err.Error(), string(line)) {
					t.Errorf("the error shows the key: %v", err)
				}
			}
		})
	}
}

func TestCancelledLogin(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "instance.crt"), filepath.Join(dir, "instance.key")
	key := rsaKey(t)
	put(t, certFile, certificate(t, key))
	put(t, keyFile, pkcs1(t, key))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := &recorder{}
	if _, err := method(t, certFile, keyFile, cf.Options{}).Login(ctx, client(t, v)); err == nil || v.path != "" {
		t.Errorf("Login = %v, and asked %q", err, v.path)
	}
}

func TestUnsetVariablesAreNamed(t *testing.T) {
	if _, err := cf.New("web", "", "/k", noLog, cf.Options{}); err == nil || !strings.Contains(err.Error(), "CF_INSTANCE_CERT is not set; ") {
		t.Error(err)
	}
	if _, err := cf.New("web", "/c", "", noLog, cf.Options{}); err == nil || !strings.Contains(err.Error(), "CF_INSTANCE_KEY is not set; ") {
		t.Error(err)
	}
}

func TestANewPairIsANotice(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "instance.crt"), filepath.Join(dir, "instance.key")
	key, next := rsaKey(t), rsaKey(t)
	put(t, certFile, certificate(t, key))
	put(t, keyFile, pkcs1(t, key))
	m := method(t, certFile, keyFile, cf.Options{Period: 10 * time.Millisecond})
	v := &recorder{}
	if _, err := m.Login(t.Context(), client(t, v)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	notices, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func() {
			// Whatever is told now has to be whole: the login of the notice is made with it.
			if _, err := m.Login(ctx, client(t, v)); err != nil {
				t.Errorf("a login at the notice: %v", err)
			}
			notices <- struct{}{}
		})
	}()
	put(t, certFile, certificate(t, next)) // and for a while the key is still the old one
	put(t, keyFile, pkcs8(t, next))
	select {
	case <-notices:
	case <-time.After(30 * time.Second):
		t.Fatal("no notice")
	}
	verify(t, v.body)
	cancel()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("Watch goes on after its context")
	}
}

func TestHalfAPairIsNoNotice(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "instance.crt"), filepath.Join(dir, "instance.key")
	key, next := rsaKey(t), rsaKey(t)
	put(t, certFile, certificate(t, key))
	put(t, keyFile, pkcs1(t, key))
	m := method(t, certFile, keyFile, cf.Options{})
	if _, err := m.Login(t.Context(), client(t, &recorder{})); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what    string
		do      func()
		differs bool
	}{
		{"nothing", func() {}, false},
		{"a new certificate", func() { put(t, certFile, certificate(t, next)) }, false},
		{"half a key", func() { put(t, keyFile, pkcs1(t, next)[:300]) }, false},
		{"no key", func() { _ = os.Remove(keyFile) }, false},
		{"the new key", func() { put(t, keyFile, pkcs1(t, next)) }, true},
	} {
		step.do()
		if got := cf.Differs(m); got != step.differs {
			t.Errorf("after %s: differs = %v", step.what, got)
		}
	}
}

func TestRemedy(t *testing.T) {
	m := method(t, "/run/instance.crt", "/run/instance.key", cf.Options{})
	if got := m.Remedy(400); !strings.Contains(got, `role "web"`) || !strings.Contains(got, "/run/instance.crt") {
		t.Error(got)
	}
	if got := m.Remedy(404); !strings.Contains(got, "mounted at auth/cf") {
		t.Error(got)
	}
}
