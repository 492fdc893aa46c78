package gcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	timeout   = 30 * time.Second // of one request
	maxAnswer = 1 << 20          // bytes
)

// statusError is an answer that is an error. Only its status is kept: the body could quote what was sent.
type statusError struct {
	host   string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the answer of %s is %d %s", e.host, e.status, http.StatusText(e.status))
}

// exchange sends r once and returns the body of a good answer. The caller's context is r's.
func exchange(client *http.Client, r *http.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	answer, err := client.Do(r.WithContext(ctx))
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("no answer from %s: %w", r.URL.Host, failed.Err) // a url.Error would be taken for one about Vault's address
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, &statusError{host: r.URL.Host, status: answer.StatusCode}
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

// straight is a client that follows no redirects.
func straight(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
