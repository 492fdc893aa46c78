package router

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"leasehold/internal/api"
	"leasehold/internal/vault"
)

// Question is a request that is to be explained. It is never sent.
type Question struct {
	Request *http.Request
	Onward  *http.Request // as the cache would get it: with the namespace that is put before that of the header
	Caller  Caller        // zero where it is left open who calls; of a user only the UID, until his groups are looked up
}

// explain serves explain.
func (rt *router) explain(w http.ResponseWriter, r *http.Request) {
	q, err := rt.readQuestion(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	told, err := rt.Inside.Explain(q)
	if err != nil {
		rt.failInside(w, err)
		return
	}
	told.Method, told.Path, told.Namespace = q.Request.Method, loggable(q.Request.URL.Path), q.Request.Header.Get(namespaceHeader)
	writeJSON(w, http.StatusOK, told)
}

// readQuestion makes a request of the parameters.
func (rt *router) readQuestion(r *http.Request) (q Question, err error) {
	v, err := parameters(r.URL.RawQuery, []string{"method", "path", "namespace", "uid", "client_cn"})
	if err != nil {
		return q, err
	}
	target := v.Get("path")
	if target == "" {
		return q, errors.New("path is missing; write for example path=/v1/database/creds/app")
	}
	if !strings.HasPrefix(target, "/") {
		target = "/v1/" + strings.TrimPrefix(target, "v1/")
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return q, errors.New("path cannot be read; write it as it stands in a URL, and encode it as a parameter")
	}
	method := strings.ToUpper(v.Get("method"))
	if method == "" {
		method = http.MethodGet
	}
	q.Request, err = http.NewRequestWithContext(r.Context(), method, "/", http.NoBody)
	if err != nil {
		return q, fmt.Errorf("%s is no method of HTTP", strconv.Quote(clip(method)))
	}
	q.Request.URL, q.Request.RequestURI = u, target
	if ns := v.Get("namespace"); ns != "" {
		q.Request.Header[namespaceHeader] = []string{ns}
	}
	if uid := v.Get("uid"); uid != "" {
		n, err := strconv.ParseUint(uid, 10, 32)
		if err != nil {
			return q, errors.New("uid must be the number of a user")
		}
		q.Caller.HasIDs, q.Caller.UID = true, uint32(n)
	}
	if cn := v.Get("client_cn"); cn != "" {
		q.Caller.Cert = &x509.Certificate{Subject: pkix.Name{CommonName: cn}}
	}
	q.Onward = rt.onward(q.Request)
	return q, nil
}

// Judge says what a listener does with requests before the cache is asked, by the very rules of its router.
type Judge struct {
	rt   *router
	gate *gate // nil without rights
}

// NewJudge returns the judge of the router that New makes of the same.
func NewJudge(p Parts, opt Options) *Judge {
	rt, _ := build(p, opt)
	j := &Judge{rt: rt}
	if !opt.Rights.IsZero() {
		j.gate = rt.newGate(opt.Rights)
	}
	return j
}

// textGroups is no denial: what the listener would do cannot be said.
const textGroups = "it cannot be told: the rights of this listener depend on groups, and the user's groups are not known on this machine"

// Judge judges one request. The address of the listener is left to the caller.
func (j *Judge) Judge(q Question) api.ListenerView {
	refused := func(status int, why string) api.ListenerView { return api.ListenerView{Status: status, Why: why} }
	why := "the listener is for everybody"
	if j.gate != nil {
		if q.Caller.NoGroups && j.gate.asks.groups {
			return refused(http.StatusForbidden, textGroups)
		}
		no := j.gate.judge(q.Request, q.Caller)
		switch {
		case no.text != "" && no.kind == kindUnknown:
			return refused(http.StatusForbidden, no.text+"; say who calls")
		case no.text != "":
			return refused(http.StatusForbidden, no.text)
		case no.rule > 0:
			why = "rule " + strconv.Itoa(no.rule) + " allows this"
		default:
			why = "no rule denies this"
		}
	}
	if path := q.Request.URL.Path; isOurs(path) {
		allow, ok := j.rt.allow[path]
		switch {
		case !ok:
			return refused(http.StatusNotFound, "no such endpoint on this listener")
		case !strings.Contains(", "+allow+", ", ", "+q.Request.Method+", "):
			return refused(http.StatusMethodNotAllowed, "the endpoint has "+allow)
		}
		return api.ListenerView{Allowed: true, Why: why}
	}
	switch {
	case j.rt.opt.MetricsOnly, j.rt.opt.Admin:
		return refused(http.StatusNotFound, "the listener serves Leasehold's own endpoints only")
	case unserved(q.Request.Method):
		return refused(http.StatusMethodNotAllowed, "the method is not served")
	}
	view := api.ListenerView{Allowed: true, Why: why}
	if j.rt.lends(false) {
		view.Token = j.rt.opt.AutoAuth.Stanza()
	}
	return view
}

// onward is r with the namespace that it goes to Vault with.
func (rt *router) onward(r *http.Request) *http.Request {
	if rt.opt.PrependNamespace == "" {
		return r
	}
	return withNamespace(r, rt.opt.PrependNamespace.Join(vault.CanonicalNamespace(r.Header.Get(namespaceHeader))))
}

// unserved tells the methods that are not passed on: Leasehold is a proxy for Vault only, and what echoes a request would show the token that we lend it.
func unserved(method string) bool { return method == http.MethodConnect || method == http.MethodTrace }

// Own reports whether the request is for an endpoint of ours, and so never for Vault.
func (q *Question) Own() bool { return isOurs(q.Request.URL.Path) }
