package upstream_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// requests by what they may do when they are sent once too often. A body has a known length.
var (
	reads = []string{
		"GET /v1/secret/data/app", "GET /v1/ns1/kv/metadata/app", "GET /v1/secret/subkeys/app", "GET /v1/sys/mounts", "GET /v1/identity/entity/id/x",
		"GET /v1/cubbyhole/x", "GET /v1/auth/token/lookup-self", "GET /v1/database/roles?list=true", "GET /v1/x?a=;&list=1", "LIST /v1/secret/metadata/",
		"HEAD /v1/secret/x",
	}
	creations = []string{
		"GET /v1/leaser/creds/app", "GET /v1/aws/sts/x", "GET /v1/pki/cert/ca", "GET /v1/secret/app", "GET /v1/x?list=false", "GET /v1/x?a=list=true",
		"GET /v1/sys/../leaser/creds/app", "GET /v1/sys/%2e%2e/leaser/creds/app", "GET /v1/data/x", "GET /v1/secret/data/app wrapped",
		"LIST /v1/secret/metadata wrapped",
	}
	writes = []string{"POST /v1/leaser/creds/app", "PUT /v1/secret/x", "PATCH /v1/secret/data/app", "DELETE /v1/secret/x", "SCAN /v1/secret/x"}
	health = []string{"GET /v1/sys/health", "HEAD /v1/sys/health", "GET /v1/sys/seal-status"}
)

// newTry makes a request as a server would hand it over.
func newTry(line string) *http.Request {
	method, target, _ := strings.Cut(line, " ")
	target, wrapped := strings.CutSuffix(target, " wrapped")
	var body io.Reader
	if strings.HasPrefix(method, "P") {
		body = strings.NewReader(`{"data":{}}`)
	}
	r := httptest.NewRequest(method, target, body)
	if wrapped {
		r.Header.Set("X-Vault-Wrap-TTL", "60")
	}
	return r
}

// tries says how often Vault is asked with a budget of two retries.
type tries struct{ reads, creations, writes, health int }

func (n tries) each(t *testing.T, run func(t *testing.T, line string, safeOnly bool, want int)) {
	for _, group := range []struct {
		lines          []string
		want, safeOnly int
	}{
		{reads, n.reads, n.reads}, {creations, n.creations, n.creations}, {writes, n.writes, 1}, {health, n.health, n.health},
	} {
		for _, line := range group.lines {
			t.Run(line, func(t *testing.T) { run(t, line, false, group.want) })
			t.Run(line+" safe only", func(t *testing.T) { run(t, line, true, group.safeOnly) })
		}
	}
}

func TestRepeatsByStatus(t *testing.T) {
	for _, tc := range []struct {
		status int
		tries
	}{
		{200, tries{1, 1, 1, 1}}, {204, tries{1, 1, 1, 1}}, {307, tries{1, 1, 1, 1}},
		{400, tries{1, 1, 1, 1}}, {403, tries{1, 1, 1, 1}}, {404, tries{1, 1, 1, 1}}, {405, tries{1, 1, 1, 1}},
		{412, tries{3, 3, 3, 1}}, {429, tries{3, 3, 3, 1}}, {503, tries{3, 3, 3, 1}},
		{472, tries{1, 1, 1, 1}}, {473, tries{1, 1, 1, 1}},
		{500, tries{3, 3, 1, 1}}, {501, tries{1, 1, 1, 1}},
		{502, tries{3, 1, 1, 1}}, {504, tries{3, 1, 1, 1}}, {599, tries{3, 1, 1, 1}},
	} {
		t.Run(fmt.Sprint(tc.status), func(t *testing.T) {
			tc.each(t, func(t *testing.T, line string, safeOnly bool, want int) {
				synctest.Test(t, func(t *testing.T) {
					b := newRigWith(t, upstream.Settings{NumRetries: 2, Retry: upstream.Retry{SafeOnly: safeOnly}})
					b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(tc.status, http.Header{"X-Last": {"yes"}}, ""))
					w, _, err := b.forward(newTry(line))
					if err != nil || w.Code != tc.status || w.Header().Get("X-Last") != "yes" {
						t.Fatalf("answer %d %v, %v; want Vault's %d", w.Code, w.Header(), err, tc.status)
					}
					if got := len(b.vault.Requests()); got != want {
						t.Errorf("Vault was asked %d times, want %d", got, want)
					}
				})
			})
		})
	}
}

// failing is a transport on which every try ends with the same error.
type failing struct{ error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.error }

// slammed is a transport to a server that closes each connection at the first byte.
func slammed(t *testing.T) http.RoundTripper {
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			far.Read(make([]byte, 1))
			far.Close()
		}()
		return near, nil
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func TestRepeatsByPointOfFailure(t *testing.T) {
	var (
		always     = tries{3, 3, 3, 3}
		ifHarmless = tries{3, 1, 1, 3}
		never      = tries{1, 1, 1, 1}
	)
	for name, tc := range map[string]struct {
		tries
		fault     vaulttest.Fault
		transport func(*testing.T) http.RoundTripper // instead of a fault
		refuse    bool
	}{
		"no connection":               {tries: always, refuse: true},
		"no connection to proxy":      {tries: always, transport: fails(&net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED})},
		"no such host":                {tries: always, transport: fails(&net.OpError{Op: "dial", Err: &net.DNSError{Name: "vault"}})},
		"TLS handshake timeout":       {tries: always, transport: fails(errors.New("net/http: TLS handshake timeout"))},
		"closed before it was read":   {tries: ifHarmless, transport: slammed},
		"reset before processing":     {tries: ifHarmless, fault: vaulttest.ResetBefore()},
		"reply lost":                  {tries: ifHarmless, fault: vaulttest.ResetAfter()},
		"reset halfway in the header": {tries: ifHarmless, fault: vaulttest.HalfHeaders()},
		"read timeout":                {tries: ifHarmless, transport: fails(&net.OpError{Op: "read", Err: syscall.ETIMEDOUT})},
		"broken protocol":             {tries: ifHarmless, transport: fails(errors.New("malformed HTTP response"))},
		"untrusted certificate":       {tries: never, transport: fails(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}})},
		"our certificate refused":     {tries: never, transport: fails(&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")})},
		"http where https is":         {tries: never, transport: fails(http.ErrSchemeMismatch)},
		"no answer in time":           {tries: never, fault: vaulttest.Hang()},
		"an error of our own":         {tries: never, transport: fails(ownError{})},
	} {
		t.Run(name, func(t *testing.T) {
			tc.each(t, func(t *testing.T, line string, safeOnly bool, want int) {
				synctest.Test(t, func(t *testing.T) {
					b := newRigWith(t, upstream.Settings{NumRetries: 2, Retry: upstream.Retry{SafeOnly: safeOnly}})
					b.vault.Refuse(tc.refuse)
					if tc.transport != nil {
						b.sent.RoundTripper = tc.transport(t)
					} else if tc.fault != nil {
						b.vault.Fail(vaulttest.On("", "/"), tc.fault)
					}
					w, _, err := b.forward(newTry(line))
					if err == nil {
						t.Fatalf("answer %d, want an error", w.Code)
					}
					if got := int(b.sent.tries.Load()); got != want {
						t.Errorf("tries = %d, want %d (%v)", got, want, err)
					}
				})
			})
		})
	}
}

func fails(err error) func(*testing.T) http.RoundTripper {
	return func(*testing.T) http.RoundTripper { return failing{err} }
}

type ownError struct{}

func (ownError) Error() string     { return "no node of Vault is able to answer" }
func (ownError) ClientStatus() int { return 503 }

// A read whose answer was lost leaves one lease that nobody knows of, and not a second one.
func TestALostLeaseIsNotMadeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 5)
		if _, _, err := b.forward(newTry("GET /v1/leaser/creds/app")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // its connection is in the pool now: net/http believes that what fails on it can be repeated
		b.vault.Fail(vaulttest.On("GET", "/"), vaulttest.ResetAfter())
		if w, _, err := b.forward(newTry("GET /v1/leaser/creds/app")); err == nil {
			t.Fatalf("answer %d, want an error", w.Code)
		}
		if n := len(b.vault.Leases()); n != 2 {
			t.Errorf("leases = %d, want the first one and one whose answer was lost", n)
		}
		if got := b.vault.Requests()[1]; len(got.Header["Content-Length"])+len(got.Header["Transfer-Encoding"])+len(got.Body) != 0 {
			t.Errorf("arrived with %v and body %q, want no sign of a body", got.Header, got.Body)
		}
	})
}

// root may do everything.
var root = vault.Identity{Token: vault.NewToken(vaulttest.RootToken), Injected: true}
