package router_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"leasehold/internal/router"
)

type refusal struct{ status int }

func (r refusal) Error() string     { return "this cannot be; do that" }
func (r refusal) ClientStatus() int { return r.status }

func dial(err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 8200}, Err: err}
}

func TestErrorsBecomeAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		status int
		text   string
	}{
		"too large":          {&http.MaxBytesError{Limit: 10}, 413, "http: request body too large; raise max_request_size"},
		"refusal":            {refusal{403}, 403, "this cannot be; do that"},
		"another refusal":    {fmt.Errorf("wrapped: %w", refusal{400}), 400, "this cannot be; do that"},
		"refused connection": {dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), 502, "failed to get the response: Vault at https://vault.test refused the connection"},
		"unknown host":       {dial(&net.DNSError{Err: "no such host", Name: "vault.internal"}), 502, "failed to get the response: Vault at https://vault.test could not be found by its host name"},
		"DNS that times out": {dial(&net.DNSError{Err: "i/o timeout", Name: "vault.internal", IsTimeout: true}), 502, "failed to get the response: Vault at https://vault.test could not be found by its host name"},
		"certificate": {
			&tls.CertificateVerificationError{Err: x509.HostnameError{Host: "vault.internal", Certificate: &x509.Certificate{}}},
			502, "failed to get the response: Vault at https://vault.test could not show a certificate",
		},
		"deadline":            {context.DeadlineExceeded, 504, "failed to get the response: Vault at https://vault.test did not answer in time"},
		"dial that times out": {dial(os.ErrDeadlineExceeded), 504, "failed to get the response: Vault at https://vault.test did not answer in time"},
		"reset":               {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, 502, "failed to get the response: Vault at https://vault.test could not be reached"},
		"anything else":       {errHidden, 502, "failed to get the response: Vault at https://vault.test could not be reached"},
	} {
		for wrapped, wrap := range map[string]func(error) error{
			"bare":    func(err error) error { return err },
			"wrapped": func(err error) error { return fmt.Errorf("wait for 10.1.2.3:8200: %w", fmt.Errorf("forward: %w", err)) },
			"joined":  func(err error) error { return errors.Join(errHidden, err) },
			"by url":  func(err error) error { return &url.Error{Op: "Get", URL: "https://vault.internal/v1", Err: err} },
		} {
			t.Run(name+" "+wrapped, func(t *testing.T) {
				f := newFixture(router.Options{})
				f.answer.err = wrap(tc.err)
				w := f.do("GET", "/v1/secret/app", "")
				wantError(t, w, tc.status, "")
				got := w.Body.String()
				if !strings.Contains(got, tc.text) {
					t.Errorf("body = %s, want %q", got, tc.text)
				}
				if tc.status != http.StatusForbidden && (strings.Contains(got, "10.1.2.3") || strings.Contains(got, "internal")) {
					t.Errorf("body = %s: it tells of the inside", got)
				}
				if len(f.failures) != 1 || f.failures[0].status != tc.status || !errors.Is(f.failures[0].err, tc.err) {
					t.Errorf("failures = %v, want one of status %d with the cause", f.failures, tc.status)
				}
			})
		}
	}
}

func TestAClientThatLeftIsNobodysFault(t *testing.T) {
	f := newFixture(router.Options{})
	f.answer.err = dial(context.Canceled)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	f.serve(newRequest("GET", "/v1/secret/app", "").WithContext(ctx))
	if len(f.failures) != 1 || f.failures[0].status != 499 {
		t.Errorf("failures = %v, want one of status 499", f.failures)
	}
}

func TestARequestThatTheListenerEndedIsTold(t *testing.T) {
	f := newFixture(router.Options{})
	f.answer.err = context.Canceled
	ctx, end := context.WithCancelCause(t.Context())
	end(refusal{408})
	w := f.serve(newRequest("GET", "/v1/secret/app", "").WithContext(ctx))
	wantError(t, w, http.StatusRequestTimeout, "this cannot be; do that")
}

func TestAnAnswerOfVaultIsNoFailure(t *testing.T) {
	f := newFixture(router.Options{})
	f.do("GET", "/v1/secret/app", "")
	if len(f.failures) != 0 {
		t.Errorf("failures = %v", f.failures)
	}
}
