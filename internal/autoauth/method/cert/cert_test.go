package cert_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/method/cert"
)

// server is a TLS server that asks for client certificates, and notes each request.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	status int // 0: 200
	got    []string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		who := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			who = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, strings.Join([]string{
			who, r.Method, r.URL.Path, r.Header.Get("X-Vault-Namespace"), r.Header.Get("X-Vault-Wrap-TTL"), r.Header.Get("X-Vault-Token"), string(body),
		}, " "))
		if s.status != 0 {
			w.WriteHeader(s.status)
			fmt.Fprint(w, `{"errors":["invalid certificate or no client certificate supplied"]}`)
			return
		}
		fmt.Fprint(w, `{"auth":{"client_token":"hvs.1"}}`)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// take returns what was noted since the last call.
func (s *server) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

func (s *server) answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *server) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// client is what the manager hands out: it does not know any certificate.
func (s *server) client(t *testing.T) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: s.URL, HttpClient: &http.Client{Transport: noTransport{}}})
	if err != nil {
		t.Fatal(err)
	}
	c.SetMaxRetries(0)
	c.SetNamespace("team")
	return c
}

type noTransport struct{}

func (noTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("the request went over a connection of others")
}

func newMethod(f cert.Files, log io.Writer, o cert.Options) *cert.Method {
	return cert.New(f, opener(f), slog.New(slog.NewTextHandler(log, nil)), o)
}

func TestLogin(t *testing.T) {
	v, ca, f := newServer(t), newAuthority(t), pair(t)
	put(t, f.CA, v.ca())
	certPEM, keyPEM := ca.issue(t, "web-1")
	put(t, f.Cert, certPEM)
	put(t, f.Key, keyPEM)
	for name, tc := range map[string]struct {
		opts cert.Options
		wrap bool
		want string
	}{
		"no name":     {cert.Options{}, false, "web-1 PUT /v1/auth/cert/login team/   {}"},
		"a name":      {cert.Options{Name: "web"}, false, `web-1 PUT /v1/auth/cert/login team/   {"name":"web"}`},
		"other mount": {cert.Options{MountPath: "auth/mtls"}, false, "web-1 PUT /v1/auth/mtls/login team/   {}"},
		"wrapped":     {cert.Options{}, true, "web-1 PUT /v1/auth/cert/login team/ 5m  {}"},
	} {
		t.Run(name, func(t *testing.T) {
			c := v.client(t)
			c.SetNamespace("team/")
			c.SetWrappingLookupFunc(func(string, string) string { return map[bool]string{true: "5m"}[tc.wrap] })
			secret, err := newMethod(f, io.Discard, tc.opts).Login(context.Background(), c)
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			if got := v.take(); len(got) != 1 || got[0] != tc.want {
				t.Errorf("Vault got %q, want %q", got, tc.want)
			}
		})
	}
}

// A token of the environment is not for logins (AUT-4).
func TestTheEnvironmentsTokenIsNotSent(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "hvs.environment")
	v, f := newServer(t), pair(t)
	put(t, f.CA, v.ca())
	c := v.client(t)
	c.ClearToken()
	if _, err := newMethod(cert.Files{CA: f.CA}, io.Discard, cert.Options{}).Login(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	if got := v.take(); len(got) != 1 || strings.Contains(got[0], "hvs.") {
		t.Errorf("Vault got %q", got)
	}
}

func TestEachLoginPresentsWhatTheFilesHold(t *testing.T) {
	v, ca, f := newServer(t), newAuthority(t), pair(t)
	put(t, f.CA, v.ca())
	var log bytes.Buffer
	m := newMethod(f, &log, cert.Options{})
	login := func(want string) {
		t.Helper()
		_, err := m.Login(context.Background(), v.client(t))
		if got := v.take(); err != nil || len(got) != 1 || !strings.HasPrefix(got[0], want+" ") {
			t.Errorf("Login = %v, Vault got %q, want one of %s", err, got, want)
		}
	}
	renew := func(want string) {
		t.Helper()
		c, err := m.Through(v.client(t))
		if err != nil {
			t.Fatal(err)
		}
		c.SetToken("hvs.1")
		_, err = c.Auth().Token().RenewSelf(0)
		if got := v.take(); err != nil || len(got) != 1 || got[0] != want+` PUT /v1/auth/token/renew-self team  hvs.1 {"increment":0}` {
			t.Errorf("renewal = %v, Vault got %q, want one of %s", err, got, want)
		}
	}
	if _, err := m.Login(context.Background(), v.client(t)); err == nil || !strings.Contains(err.Error(), f.Cert) {
		t.Errorf("Login without files = %v, want an error that names %s", err, f.Cert)
	}
	certPEM, keyPEM := ca.issue(t, "one")
	put(t, f.Cert, certPEM)
	put(t, f.Key, keyPEM)
	login("one")
	renew("one")

	certPEM, keyPEM = ca.issue(t, "two")
	put(t, f.Cert, certPEM) // and the key of the first
	login("one")
	if !strings.Contains(log.String(), "using what they held before") {
		t.Errorf("log: %s", &log)
	}
	put(t, f.Key, keyPEM)
	renew("one") // Vault renews a token only for the certificate that it was given for
	login("two")
	renew("two")

	_ = os.Remove(f.Key)
	login("two")
	if s := log.String(); strings.Contains(s, "BEGIN") || strings.Contains(s, "hvs.") {
		t.Errorf("the log shows what it should not: %s", s)
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	ca := newAuthority(t)
	certPEM, keyPEM := ca.issue(t, "one")
	_, otherKey := ca.issue(t, "two")
	for name, tc := range map[string]struct {
		ca, cert, key string
		want          string
	}{
		"no CA file":       {"", certPEM, keyPEM, "read the certificate files"},
		"no CA in it":      {"garbage", certPEM, keyPEM, "no certificate in"},
		"no certificate":   {certPEM, "", keyPEM, "read the certificate files"},
		"no key":           {certPEM, certPEM, "", "read the certificate files"},
		"not of one pair":  {certPEM, certPEM, otherKey, "private key does not match"},
		"half a file":      {certPEM, certPEM[:len(certPEM)/2], keyPEM, "write a pair to"},
		"exchanged":        {certPEM, keyPEM, certPEM, "write a pair to"},
		"the key is empty": {certPEM, certPEM, "\n", "write a pair to"},
	} {
		t.Run(name, func(t *testing.T) {
			v, f := newServer(t), pair(t)
			for path, content := range map[string]string{f.CA: tc.ca, f.Cert: tc.cert, f.Key: tc.key} {
				if content != "" {
					put(t, path, content)
				}
			}
			_, err := newMethod(f, io.Discard, cert.Options{}).Login(context.Background(), v.client(t))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), keyPEM[30:60]) {
				t.Errorf("Login = %v, want one with %q", err, tc.want)
			}
			if got := v.take(); len(got) != 0 {
				t.Errorf("Vault got %q for all that", got)
			}
		})
	}
}

func TestRefusalsAndTheEndOfTheContext(t *testing.T) {
	v, ca, f := newServer(t), newAuthority(t), pair(t)
	put(t, f.CA, v.ca())
	certPEM, keyPEM := ca.issue(t, "web-1")
	put(t, f.Cert, certPEM)
	put(t, f.Key, keyPEM)
	m := newMethod(f, io.Discard, cert.Options{})
	for status, remedy := range map[int]string{
		400: "write a certificate that a role at auth/cert takes to " + f.Cert + ", and its key to " + f.Key,
		403: "check that a TLS certificate auth method is mounted at auth/cert in this namespace",
		404: "check that a TLS certificate auth method is mounted at auth/cert in this namespace",
	} {
		v.answer(status)
		_, err := m.Login(context.Background(), v.client(t))
		if refusal, ok := errors.AsType[*api.ResponseError](err); !ok || refusal.StatusCode != status {
			t.Errorf("Login = %v, want Vault's %d", err, status)
		}
		if got := m.Remedy(status); !strings.HasPrefix(got, remedy) {
			t.Errorf("Remedy(%d) = %s", status, got)
		}
	}
	if got := newMethod(cert.Files{}, io.Discard, cert.Options{}).Remedy(400); !strings.HasPrefix(got, "set client_cert and client_key") {
		t.Errorf("Remedy without a certificate = %s", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Login(ctx, v.client(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("Login = %v, want that it was cancelled", err)
	}
}

// failing is a transport that never works again, as one that has given Vault up.
type failing struct{ used *int }

func (f *failing) RoundTrip(*http.Request) (*http.Response, error) {
	*f.used++
	return nil, errors.New("given up")
}

func TestATransportThatHasFailedIsReplaced(t *testing.T) {
	v, f := newServer(t), pair(t)
	put(t, f.CA, v.ca())
	used, opened := 0, 0
	m := cert.New(cert.Files{CA: f.CA}, func() (http.RoundTripper, error) {
		if opened++; opened == 1 {
			return &failing{&used}, nil
		}
		return opener(cert.Files{CA: f.CA})()
	}, slog.New(slog.DiscardHandler), cert.Options{})
	if _, err := m.Login(context.Background(), v.client(t)); err == nil || used != 1 {
		t.Fatalf("Login = %v after %d requests", err, used)
	}
	c, err := m.Through(v.client(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Auth().Token().RenewSelf(0); err != nil {
		t.Errorf("renewal = %v", err)
	}
}

func TestThroughIsForOnce(t *testing.T) {
	v, f := newServer(t), pair(t)
	m := newMethod(f, io.Discard, cert.Options{})
	c, err := m.Through(v.client(t))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Through(c); err != nil || again != c {
		t.Errorf("Through of Through = another client (%v): it would lose response callbacks", err)
	}
	if other, err := newMethod(f, io.Discard, cert.Options{}).Through(c); err != nil || other == c {
		t.Errorf("Through of another method's = the same client (%v)", err)
	}
	if _, err := c.Auth().Token().RenewSelf(0); err == nil || !strings.Contains(err.Error(), f.CA) {
		t.Errorf("renewal before the first login, without files = %v", err)
	}
}

func TestHalfAPairIsNoNewPair(t *testing.T) {
	v, ca, f := newServer(t), newAuthority(t), pair(t)
	put(t, f.CA, v.ca())
	certPEM, keyPEM := ca.issue(t, "one")
	put(t, f.Cert, certPEM)
	put(t, f.Key, keyPEM)
	m := newMethod(f, io.Discard, cert.Options{})
	if _, err := m.Login(context.Background(), v.client(t)); err != nil {
		t.Fatal(err)
	}
	second, secondKey := ca.issue(t, "two")
	for _, step := range []struct {
		name string
		do   func()
		want bool
	}{
		{"nothing", func() {}, false},
		{"the certificate alone", func() { put(t, f.Cert, second) }, false},
		{"half a key", func() { put(t, f.Key, secondKey[:len(secondKey)/2]) }, false},
		{"the pair", func() { put(t, f.Key, secondKey) }, true},
		{"no CA", func() { _ = os.Remove(f.CA) }, false},
		{"another CA", func() { put(t, f.CA, certPEM) }, true},
		{"all as it was", func() { put(t, f.CA, v.ca()); put(t, f.Key, keyPEM); put(t, f.Cert, certPEM) }, false},
	} {
		if step.do(); m.Changed() != step.want {
			t.Errorf("%s: taken for new credentials: %t, want %t", step.name, !step.want, step.want)
		}
	}
}

func TestWatchTellsOfANewPair(t *testing.T) {
	v, ca, f := newServer(t), newAuthority(t), pair(t)
	put(t, f.CA, v.ca())
	certPEM, keyPEM := ca.issue(t, "one")
	put(t, f.Cert, certPEM)
	put(t, f.Key, keyPEM)
	m := newMethod(f, io.Discard, cert.Options{Period: 5 * time.Millisecond}) // so that it also looks between the two files
	if _, err := m.Login(context.Background(), v.client(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	told, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func() {
			key, _ := os.ReadFile(f.Key)
			select {
			case told <- string(key):
			default:
			}
		})
	}()
	second, secondKey := ca.issue(t, "two")
	put(t, f.Cert, second)
	put(t, f.Key, secondKey)
	select {
	case key := <-told:
		if key != secondKey {
			t.Error("told of half a pair")
		}
	case <-time.After(15 * time.Second):
		t.Error("a new pair was not noticed")
	}
	cancel()
	<-ended
	v.take()
	if _, err := m.Login(context.Background(), v.client(t)); err != nil {
		t.Fatal(err)
	}
	if got := v.take(); len(got) != 1 || !strings.HasPrefix(got[0], "two ") {
		t.Errorf("Vault got %q", got)
	}
}
