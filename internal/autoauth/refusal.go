package autoauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/vault"
)

// statusError is an error answer of Vault in one sentence. It is a vault.ErrRefused if repeating the request cannot help.
type statusError struct {
	request string // "login at auth/approle/login", for example
	status  int
	reasons []string // Vault's own words; empty for an answer that is not Vault's
	remedy  string
}

// queries are those of URLs: Vault names the requests that it could not make itself, and for some methods a signature is in there.
var queries = regexp.MustCompile(`(https?://[^\s?"]+)\?[^\s"]*`)

// explain says which request failed, and turns an error answer into one line. Only words out of Vault's errors array are kept:
// a page of something between us and Vault might echo the request.
func explain(err error, request string, remedy func(status int) string) error {
	resp, ok := errors.AsType[*api.ResponseError](err)
	if _, network := errors.AsType[*url.Error](err); network {
		return fmt.Errorf("%s: %w; check that Vault runs there and that vault.address or VAULT_ADDR is right", request, err)
	}
	if !ok {
		return fmt.Errorf("%s: %w", request, err)
	}
	_, path, _ := strings.Cut(resp.URL, "/v1/")
	e := &statusError{request: request + " at " + path, status: resp.StatusCode}
	if !resp.RawError {
		for _, reason := range resp.Errors {
			e.reasons = append(e.reasons, queries.ReplaceAllString(strings.Join(strings.Fields(reason), " "), "$1?..."))
		}
	}
	if e.refused() {
		e.remedy = remedy(e.status)
	}
	return e
}

func (e *statusError) Error() string {
	verb, why := "could not answer", http.StatusText(e.status)
	if e.refused() {
		verb = "refused"
	}
	if len(e.reasons) > 0 {
		why = strings.Join(e.reasons, ", ")
	}
	s := fmt.Sprintf("Vault %s the %s (%d: %s)", verb, e.request, e.status, why)
	if e.remedy != "" {
		s += "; " + e.remedy
	}
	return s
}

func (e *statusError) Is(target error) bool { return target == vault.ErrRefused && e.refused() }

func (e *statusError) refused() bool { return vault.Refuses(e.status) }

// tokenGone reports whether Vault said that it does not know the token. A bare "permission denied" says less: it is what a
// token without the right to renew itself gets too.
func tokenGone(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	if !ok || !e.refused() {
		return false
	}
	for _, reason := range e.reasons {
		if vault.SaysTokenGone(reason) {
			return true
		}
	}
	return false
}
