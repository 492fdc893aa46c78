package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// risk is what a request may do when it is sent once too often.
type risk uint8

const (
	harmless risk = iota // GET, HEAD and LIST that change nothing in Vault
	creating             // a GET that may create a lease or a token, which nobody knows of when its answer is lost
	writing              // every other method
)

// riskOf takes a GET for creating unless its shape says otherwise: what a mount does with a read, Vault does not tell.
func riskOf(r *http.Request, target string) risk {
	switch r.Method {
	case http.MethodHead: // Vault has no operation for it that creates anything
		return harmless
	case http.MethodGet, "LIST":
	default:
		return writing
	}
	if len(r.Header["X-Vault-Wrap-Ttl"]) > 0 { // the answer is a token
		return creating
	}
	path, query, _ := strings.Cut(target, "?")
	if r.Method == "LIST" || createsNothing(path) || strings.Contains(query, "list=") && isList(query) {
		return harmless
	}
	return creating
}

// createsNothing knows the reads of Vault's own mounts, which stand first in the path, and those of KV v2, whose mount may have any name and
// a namespace before it. A path that somebody in between may read as another one proves nothing.
func createsNothing(path string) bool {
	path, ok := strings.CutPrefix(path, "/v1/")
	if !ok || strings.Contains(path, "/.") || strings.Contains(path, "%2") {
		return false
	}
	for _, own := range [...]string{"sys/", "identity/", "cubbyhole/", "auth/token/lookup"} {
		if strings.HasPrefix(path, own) {
			return true
		}
	}
	for _, kv := range [...]string{"/data/", "/metadata/", "/subkeys/"} {
		if strings.Index(path, kv) > 0 {
			return true
		}
	}
	return false
}

// isList reads the query as Vault does.
func isList(query string) bool {
	values, _ := url.ParseQuery(query) // Vault too goes on with what can be read
	list, _ := strconv.ParseBool(values.Get("list"))
	return list
}

// fate is what has become of a request.
type fate uint8

const (
	settled   fate = iota // the answer or error stands: asking again would not change it
	untouched             // Vault has not acted on the request
	failed                // Vault says that it could not do it
	unknown               // Vault may have acted, and its answer is lost
)

func (x *exchange) fateOf(r *http.Request, resp *http.Response, err error) fate {
	if err != nil {
		var own interface{ ClientStatus() int } // not what the network said
		switch {
		case r.Context().Err() != nil, tlsFailure(err), errors.As(err, &own):
			return settled
		case neverSent(err):
			return untouched
		}
		return unknown
	}
	s := resp.StatusCode
	switch {
	case s == http.StatusPreconditionFailed && x.answers412(), s == http.StatusNotImplemented, healthEndpoint(x.target):
		return settled
	case s == http.StatusPreconditionFailed, s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable:
		return untouched
	case s == http.StatusInternalServerError:
		return failed
	case s > http.StatusInternalServerError:
		return unknown
	}
	return settled
}

// mayRepeat is the table of try.
func (x *exchange) mayRepeat(f fate) bool {
	switch f {
	case untouched:
		return x.risk != writing || !x.terms.Retry.SafeOnly
	case failed:
		return x.risk != writing
	case unknown:
		return x.risk == harmless
	default:
		return false
	}
}

// neverSent reports whether err means that no connection was there to send the request on.
func neverSent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	return staleConnection(err) || says(err, "net/http: TLS handshake timeout")
}

// staleConnection reports whether a connection from the pool turned out to be closed before any of the request was written to it, or an HTTP/2
// server has refused a request unread.
func staleConnection(err error) bool {
	return says(err, "http: server closed idle connection", "readLoopPeekFailLocked: ", "http2: Transport: cannot retry err [")
}

// says looks for errors of net/http that have no type to know them by. Should their words change, a request is repeated less often than it could
// be, and TestStaleConnections fails.
func says(err error, prefixes ...string) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		text := err.Error()
		for _, p := range prefixes {
			if strings.HasPrefix(text, p) {
				return true
			}
		}
	}
	return false
}

// tlsFailure reports whether the two sides disagree on TLS or on certificates: asking again changes nothing.
func tlsFailure(err error) bool {
	var verification *tls.CertificateVerificationError
	var op *net.OpError
	return errors.As(err, &verification) || errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &op) && op.Op == "remote error"
}

// healthEndpoint reports whether the status of the answer is the answer: Vault's health checks say 429, 472, 473, 501 and 503 of a node that
// is perfectly able to answer. Namespaces may stand in front.
func healthEndpoint(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	for _, name := range [...]string{"health", "seal-status", "leader", "init"} {
		if before, ok := strings.CutSuffix(path, "/sys/"+name); ok {
			return strings.HasSuffix(before, "/v1") || strings.Contains(before, "/v1/")
		}
	}
	return false
}
