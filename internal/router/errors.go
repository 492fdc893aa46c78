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
	status, text := describe(r, err)
	rt.Failed(r, status, err)
	writeError(w, status, text)
}

// describe says what happened in words for the client: the cause's kind and the remedy, and no address of the inside.
func describe(r *http.Request, err error) (status int, text string) {
	var tooLarge *http.MaxBytesError
	var told clientError
	var timeout net.Error
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case r.Context().Err() != nil:
		return statusClientGone, "the client closed the connection before its answer came"
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, "http: request body too large; raise max_request_size of the listener if this request is wanted"
	case errors.As(err, &told):
		return told.ClientStatus(), told.Error()
	case errors.As(err, &cert):
		return http.StatusBadGateway, "failed to get the response: Vault's TLS certificate could not be verified; check ca_cert and tls_server_name in the vault stanza"
	case errors.As(err, &dns):
		return http.StatusBadGateway, "failed to get the response: the host name of Vault's address could not be resolved; check the address in the vault stanza"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout, "failed to get the response: Vault did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return http.StatusBadGateway, "failed to get the response: Vault refused the connection; check that it runs and that the address in the vault stanza is right"
	default:
		return http.StatusBadGateway, "failed to get the response: the connection to Vault failed; Leasehold's log names the cause"
	}
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
