package router

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"go.opentelemetry.io/otel/trace"

	"leasehold/internal/api"
	"leasehold/internal/vault"
)

// answerer answers requests meant for Vault. An error means that nothing was written.
type answerer interface {
	Answer(w http.ResponseWriter, r *http.Request, id vault.Identity) error
}

// clearer forgets cached entries; its errors are the caller's mistakes, but for those that have a status of their own.
type clearer interface {
	Clear(kind, value, namespace string) (int, error)
}

// tokens gives the auto-auth token: Token without waiting, zero when there is none; Await waits for one.
type tokens interface {
	Token() vault.Token
	Await(ctx context.Context) (vault.Token, error)
}

// TokenUse says when the auto-auth token replaces what a request carries.
type TokenUse uint8

const (
	Never      TokenUse = iota // use_auto_auth_token = false
	WhenAbsent                 // true: only when the request has no token
	Force                      // "force": always
)

// Options are those of one listener.
type Options struct {
	MetricsOnly          bool               // serve metrics, readyz and livez, and nothing else
	RequireRequestHeader bool               // refuse what lacks X-Vault-Request: true, our own endpoints included
	EnableQuit           bool               // serve quit
	EnableReauth         bool               // serve reauth, if there is Parts.Reauth
	EnableStatus         bool               // serve status, leases, explain, events and ui, if there are Parts.Inside and Parts.Feed
	Admin                bool               // serve our own endpoints, all of them, and nothing of Vault
	CacheOff             bool               // cache-clear answers without doing anything
	MaxRequestSize       int64              // bytes of a request's body; 0 or less means no limit
	MaxConcurrent        int                // requests for Vault at one time; 0 or less means no limit
	PrependNamespace     vault.Namespace    // stands before the namespace that a request's header names
	TokenUse             TokenUse           //
	AutoAuth             vault.AutoAuthName // whose tokens Parts.Tokens are
	TokenWait            time.Duration      // how long a request waits for the first login; 0 means 5 s
	Rights               Rights             // who may do what
	TrustParent          bool               // a client's traceparent is the parent of the request's span, and decides whether that is sampled
}

// Parts are what a router hands requests to.
type Parts struct {
	Answer  answerer
	Clear   clearer
	Tokens  tokens // nil without auto-auth
	Vault   string // Vault's address, for the errors that clients read
	Metrics http.Handler
	Ready   func() api.Readiness                         // asked for each readyz
	Live    func(context.Context) api.Liveness           // asked for each livez
	Quit    func()                                       // begins an orderly stop; harmless when called again
	Reauth  func(context.Context) error                  // logs in now, and returns how that went; nil without auto-auth
	Failed  func(r *http.Request, status int, err error) // told of requests that got no answer from Vault; may be nil
	Peer    peerOf                                       // who a request's connection belongs to; may be nil where Rights ask for no user or group
	Inside  insider                                      // nil where nothing may be looked at
	Feed    *Feed                                        // what events tells; nil serves neither events nor the status page
	Over    context.Context                              // ends streams of events, when requests go to another router, which may allow less; may be nil
	Denied  func()                                       // told of each request that Rights refuse; may be nil
	Seen    func(*Exchange)                              // told of every request when it is over, and must not keep the Exchange; may be nil
	// Accessor is asked for the accessor of each request's token before the request, which may be the end of the token. It may be nil.
	Accessor func(vault.Token) vault.Accessor
	Active   *atomic.Int64 // counts the requests under way that Seen will hear of; may be nil
	Tracer   trace.Tracer  // makes a span of each request but those for our own endpoints; nil makes none
	Log      *slog.Logger
}

type router struct {
	Parts
	opt   Options
	allow map[string]string // our own paths → their methods, for the Allow header of a 405

	refusals []line // by kind
}

// New returns the handler of one listener: a *chi.Mux, whose routes a test holds against the API's description.
func New(p Parts, opt Options) *chi.Mux {
	_, m := build(p, opt)
	return m
}

func build(p Parts, opt Options) (*router, *chi.Mux) {
	if opt.TokenWait == 0 {
		opt.TokenWait = 5 * time.Second
	}
	if opt.Admin {
		opt.EnableQuit, opt.EnableReauth, opt.EnableStatus = true, true, true
	}
	rt := &router{Parts: p, opt: opt, allow: map[string]string{}, refusals: newLines(refusals)}
	m := chi.NewMux()
	if rt.Tracer != nil {
		m.Use(rt.spans)
		rt.Seen = describing(p.Seen)
	}
	if rt.Seen != nil {
		m.Use(rt.watch)
	}
	if !opt.Rights.IsZero() {
		m.Use(rt.guardRights(opt.Rights)) // before everything else: what is denied reaches no endpoint, no cache and no limit
	}
	for _, app := range [...]string{"/agent/v1/", "/proxy/v1/"} {
		rt.own(m, app+"metrics", rt.Metrics, http.MethodGet)
		rt.own(m, app+"readyz", http.HandlerFunc(rt.tellReady), http.MethodGet)
		rt.own(m, app+"livez", http.HandlerFunc(rt.tellLive), http.MethodGet)
		if opt.MetricsOnly {
			continue
		}
		rt.own(m, app+"cache-clear", rt.private(opt.Admin, rt.clearCache), http.MethodPost, http.MethodPut)
		if opt.EnableQuit {
			rt.own(m, app+"quit", rt.private(opt.Admin, rt.quit), http.MethodPost)
		}
		if opt.EnableReauth && rt.Reauth != nil {
			rt.own(m, app+"reauth", rt.private(opt.Admin, rt.reauth), http.MethodPost)
		}
		if opt.EnableStatus && rt.Inside != nil {
			rt.lookInside(m, app)
		}
	}
	rest := rt.guarded(rt.bounded(rt.toVault))
	if opt.MetricsOnly {
		rest = http.NotFound
	}
	if opt.Admin {
		rest = rt.unknown
	}
	catchAll := func(w http.ResponseWriter, r *http.Request) {
		if isOurs(r.URL.Path) {
			rt.unknown(w, r)
			return
		}
		rest(w, r)
	}
	// The path of what goes to Vault is never cleaned: chi matches it as it came, and all it does not know is Vault's affair: paths, strange ones
	// ("OPTIONS *"), and methods (LIST). This is no route "/*", because chi makes path values for one, which costs every hit two allocations.
	m.NotFound(catchAll)
	m.MethodNotAllowed(catchAll)
	return rt, m
}

func (rt *router) own(m *chi.Mux, path string, h http.Handler, methods ...string) {
	for _, method := range methods {
		m.Method(method, path, h)
	}
	rt.allow[path] = strings.Join(methods, ", ")
}

// isOurs tells paths that never go to Vault.
func isOurs(path string) bool {
	for _, app := range [...]string{"/agent", "/proxy"} {
		if rest, ok := strings.CutPrefix(path, app); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

const textHeader = `missing "X-Vault-Request" header`

// guarded applies what protects every endpoint but metrics, readyz and livez, which tell nothing that could be misused and are asked by machines.
func (rt *router) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if rt.opt.RequireRequestHeader {
			if v := r.Header["X-Vault-Request"]; len(v) != 1 || v[0] != "true" {
				rt.refuse(w, r, refusedHeader, textHeader)
				rt.fail(w, r, answer{http.StatusPreconditionFailed, textHeader})
				return
			}
		}
		if rt.opt.MaxRequestSize > 0 && r.Body != http.NoBody && !restoresSnapshot(r.URL.Path) {
			if r.ContentLength > rt.opt.MaxRequestSize {
				rt.fail(w, r, &http.MaxBytesError{Limit: rt.opt.MaxRequestSize})
				return
			}
			r.Body = http.MaxBytesReader(bare(w), r.Body, rt.opt.MaxRequestSize)
		}
		next(w, r)
	}
}

// restoresSnapshot tells the requests whose bodies Vault's own max_request_size does not bound either. A namespace may stand in the path.
func restoresSnapshot(path string) bool {
	before, ok := strings.CutSuffix(strings.TrimSuffix(path, "-force"), "/sys/storage/raft/snapshot")
	return ok && (before == "/v1" || strings.HasPrefix(before, "/v1/"))
}

var errTooMany = answer{http.StatusTooManyRequests, "too many requests at once for this listener of Leasehold; try again, or raise its max_concurrent_requests"}

// bounded refuses what exceeds MaxConcurrent, rather than letting memory grow with whatever clients send.
func (rt *router) bounded(next http.HandlerFunc) http.HandlerFunc {
	if rt.opt.MaxConcurrent <= 0 {
		return next
	}
	var underWay atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		defer underWay.Add(-1)
		if underWay.Add(1) > int64(rt.opt.MaxConcurrent) {
			rt.refuse(w, r, refusedCrowd, errTooMany.text)
			w.Header().Set("Retry-After", "1")
			rt.fail(w, r, errTooMany)
			return
		}
		next(w, r)
	}
}

func (rt *router) toVault(w http.ResponseWriter, r *http.Request) {
	if unserved(r.Method) {
		rt.refuse(w, r, refusedMethod, "CONNECT and TRACE are not served by Leasehold")
		rt.fail(w, r, answer{http.StatusMethodNotAllowed, r.Method + " is not served; use Leasehold's address as VAULT_ADDR, with Vault's methods"})
		return
	}
	id, err := rt.identify(r)
	if x := exchangeOf(w); x != nil {
		x.Token, x.Lent = id.Token, id.Injected
		if rt.Accessor != nil && !id.Token.IsZero() {
			x.Accessor = rt.Accessor(id.Token)
		}
	}
	r = rt.onward(r)
	if err == nil {
		err = rt.Answer.Answer(w, r, id)
	}
	if err != nil {
		rt.fail(w, r, err)
	}
}

const namespaceHeader = "X-Vault-Namespace"

// withNamespace returns a copy of r for ns; the client's header stays as it is for whoever logs it (APX-5).
func withNamespace(r *http.Request, ns vault.Namespace) *http.Request {
	header := r.Header.Clone()
	header[namespaceHeader] = []string{string(ns)}
	r = r.WithContext(r.Context())
	r.Header = header
	return r
}
