package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
)

const (
	timeout   = 30 * time.Second // of one request
	maxAnswer = 1 << 20          // bytes
)

// StatusError is an answer that is an error. Only its status is kept: the body could quote what was sent.
type StatusError struct {
	Host   string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the answer of %s is %d %s", e.Host, e.Status, http.StatusText(e.Status))
}

// Send sends r once, within its context and 30 s, and returns the body of a good answer, of up to 1 MiB. No error holds anything of an answer, and none is a
// *url.Error, which would be taken for one about Vault's address.
func Send(client *http.Client, r *http.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	answer, err := client.Do(r.WithContext(ctx))
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("no answer from %s: %w", r.URL.Host, failed.Err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, &StatusError{Host: r.URL.Host, Status: answer.StatusCode}
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

// Straight is a client that follows no redirects: what is sent is for one address.
func Straight(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// metadataV6 is where AWS has the IPv6 addresses of its metadata.
var metadataV6 = netip.MustParsePrefix("fd00:ec2::/32")

// Proxy is the environment's, but none for metadata: it belongs to the machine, and a proxy would answer with its own or learn ours.
func Proxy(r *http.Request) (*url.URL, error) {
	if addr, err := netip.ParseAddr(r.URL.Hostname()); err == nil && (addr.IsLinkLocalUnicast() || metadataV6.Contains(addr)) {
		return nil, nil
	}
	return httpproxy.FromEnvironment().ProxyFunc()(r.URL)
}
