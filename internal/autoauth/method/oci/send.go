package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

const (
	timeout   = 30 * time.Second // of one request
	maxAnswer = 1 << 20          // bytes
)

// proxy is that of the environment, but none for addresses that only this machine can reach.
func proxy(r *http.Request) (*url.URL, error) {
	if addr, err := netip.ParseAddr(r.URL.Hostname()); err == nil && addr.IsLinkLocalUnicast() {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// send sends r once, within its context, and returns the body of a good answer. Of another one it keeps the status: a body could quote what was sent.
func send(t http.RoundTripper, r *http.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	client := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r.WithContext(ctx))
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("no answer from %s: %w", r.URL.Host, failed.Err) // a url.Error would be taken for one about Vault's address
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer of %s is %d %s", r.URL.Host, answer.StatusCode, http.StatusText(answer.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("half an answer from %s: %w", r.URL.Host, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s is longer than %d KiB", r.URL.Host, maxAnswer>>10)
	}
	return body, nil
}
