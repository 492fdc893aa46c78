package router

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"syscall"
)

// statusClientGone is nginx's word for a client that did not wait for its answer. Nobody reads it; it is for logs and metrics.
const statusClientGone = 499

// fail is the one place that turns an error into an answer.
func (rt *router) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := rt.describe(r, err)
	if status == http.StatusRequestEntityTooLarge {
		rt.refuse(w, r, refusedSize, text)
	}
	if rt.Failed != nil {
		rt.Failed(r, status, err)
	}
	writeError(w, status, text)
}

// describe says what happened in words for the client: the cause's kind, the address of Vault as it is configured, and the remedy. The cause itself
// stays in the log: it may name addresses behind that one.
func (rt *router) describe(r *http.Request, err error) (status int, text string) {
	var tooLarge *http.MaxBytesError
	var told clientError
	var timeout net.Error
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(context.Cause(r.Context()), &told):
		return told.ClientStatus(), told.Error()
	case r.Context().Err() != nil:
		return statusClientGone, "the client closed the connection before its answer came"
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, "http: request body too large; raise max_request_size of the listener if this request is wanted"
	case errors.As(err, &told):
		return told.ClientStatus(), told.Error()
	case errors.As(err, &cert):
		return http.StatusBadGateway, rt.failed("could not show a certificate that is trusted; check ca_cert and tls_server_name in the vault stanza")
	case errors.As(err, &dns):
		return http.StatusBadGateway, rt.failed("could not be found by its host name; check the address in the vault stanza, and DNS")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout, rt.failed("did not answer in time; try again, or raise VAULT_CLIENT_TIMEOUT of Leasehold if it needs longer")
	case errors.Is(err, syscall.ECONNREFUSED):
		return http.StatusBadGateway, rt.failed("refused the connection; check that it runs and that the address in the vault stanza is right")
	default:
		return http.StatusBadGateway, rt.failed("could not be reached, or broke off; Leasehold's log names the cause")
	}
}

func (rt *router) failed(how string) string {
	return "failed to get the response: Vault at " + rt.Vault + " " + how
}

// clientError is an error that knows what the client is to be told, wherever it comes from.
type clientError interface {
	error
	ClientStatus() int
}

// answer is a clientError of our own.
type answer struct {
	status int
	text   string
}

func (a answer) Error() string     { return a.text }
func (a answer) ClientStatus() int { return a.status }

// writeError answers in Vault's form.
func writeError(w http.ResponseWriter, status int, text string) {
	body, err := json.Marshal(struct {
		Errors []string `json:"errors"`
	}{[]string{text}})
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}
