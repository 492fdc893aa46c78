package router_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"leasehold/internal/api"
	"leasehold/internal/router"
	"leasehold/internal/vault"
)

// fakeInside notes what it was asked, and answers with its error if it has one.
type fakeInside struct {
	asked  int
	full   int // how often with accessors
	leases api.LeaseQuery
	asks   router.Question
	err    error
}

func (f *fakeInside) Status(full bool) api.Status {
	f.asked++
	f.note(full)
	return api.Status{Version: "1.2.3"}
}

func (f *fakeInside) Leases(q api.LeaseQuery, full bool) (api.LeasePage, error) {
	f.asked++
	f.leases = q
	f.note(full)
	return api.LeasePage{Total: 7, Leases: []api.Lease{}}, f.err
}

func (f *fakeInside) note(full bool) {
	if full {
		f.full++
	}
}

func (f *fakeInside) Explain(q router.Question) (api.Explanation, error) {
	f.asked++
	f.asks = q
	return api.Explanation{Kind: "creation"}, f.err
}

// looked is a listener that may look inside, with all that its endpoints need.
type looked struct {
	*fixture
	inside *fakeInside
	parts  router.Parts
	mux    *chi.Mux
	reauth int
}

func newLooked(opt router.Options) *looked {
	l := &looked{fixture: newFixture(router.Options{}), inside: &fakeInside{}}
	l.parts = router.Parts{
		Answer: l.answer, Clear: l.clear, Vault: "https://vault.test", Quit: func() { l.quits++ }, Inside: l.inside,
		Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		Ready:   func() api.Readiness { return api.Readiness{Ready: true} },
		Live:    func(context.Context) api.Liveness { return api.Liveness{Alive: true} },
		Reauth:  func(context.Context) error { l.reauth++; return nil },
		Failed:  func(*http.Request, int, error) {}, Log: slog.New(slog.DiscardHandler),
	}
	l.mux = router.New(l.parts, opt)
	l.handler = l.mux
	return l
}

// own are our own endpoints; a test holds api/openapi.yaml to be all of them.
var own = map[string]string{
	"metrics": "GET", "readyz": "GET", "livez": "GET", "cache-clear": "POST", "quit": "POST", "reauth": "POST", "status": "GET", "leases": "GET",
	"explain": "GET",
}

// The admin role has all of our endpoints, whatever is enabled, and nothing goes from there to Vault.
func TestAdmin(t *testing.T) {
	l := newLooked(router.Options{Admin: true})
	for name, method := range own {
		for _, app := range []string{"/agent/v1/", "/proxy/v1/"} {
			body, query := "", ""
			switch name {
			case "cache-clear":
				body = `{"type":"all"}`
			case "explain":
				query = "?path=/v1/kv/a"
			}
			if w := l.do(method, app+name+query, body); w.Code != http.StatusOK {
				t.Errorf("%s %s%s = %d %s", method, app, name, w.Code, w.Body)
			}
		}
	}
	if l.clear.got == nil || l.quits != 2 || l.reauth != 2 || l.inside.asked != 6 || l.inside.full != 4 {
		t.Errorf("cleared %v, quits %d, logins %d, looks inside %d, with accessors %d", l.clear.got, l.quits, l.reauth, l.inside.asked, l.inside.full)
	}
	for _, target := range []string{"/", "/v1/sys/health", "/v1/kv/a", "/ui/", "//v1/kv/a", "/v1/../proxy/v1/status", "/proxy/v1/none", "/agent", "http://vault.test/v1/kv/a"} {
		for _, method := range []string{"GET", "POST", "LIST", "DELETE", "OPTIONS", "BREW"} {
			wantError(t, l.do(method, target, ""), http.StatusNotFound, "no such endpoint on this listener")
		}
	}
	if l.answer.got != nil {
		t.Errorf("%v went to Vault", l.answer.got)
	}
}

// No role and no key makes an endpoint that another role has to itself: all that a listener serves, the admin's does.
func TestAdminHasEverything(t *testing.T) {
	routes := func(opt router.Options) map[string]bool {
		all := map[string]bool{}
		err := chi.Walk(newLooked(opt).mux, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
			all[method+" "+route] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	admin := routes(router.Options{Admin: true})
	for route := range routes(router.Options{EnableQuit: true, EnableReauth: true, EnableStatus: true}) {
		if !admin[route] {
			t.Errorf("the admin role has no %s", route)
		}
	}
	for route := range admin {
		if !strings.Contains(route, " /agent/v1/") && !strings.Contains(route, " /proxy/v1/") {
			t.Errorf("the admin role has %s", route)
		}
	}
}

// Others look inside when they may, without accessors, and are guarded as everything is.
func TestEnableStatus(t *testing.T) {
	may, mayNot := newLooked(router.Options{EnableStatus: true, RequireRequestHeader: true}), newLooked(router.Options{})
	for _, target := range []string{"/proxy/v1/status", "/agent/v1/leases", "/proxy/v1/explain?path=/v1/x"} {
		if w := may.do("GET", target, "", "X-Vault-Request", "true"); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" ||
			w.Header().Get("Cache-Control") != "no-store" || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s = %d %v %s", target, w.Code, w.Header(), w.Body)
		}
		wantError(t, may.do("GET", target, ""), http.StatusPreconditionFailed, "missing")
		wantError(t, may.do("POST", target, "", "X-Vault-Request", "true"), http.StatusMethodNotAllowed, "method not allowed; use GET")
		wantError(t, mayNot.do("GET", target, ""), http.StatusNotFound, "no such endpoint on this listener")
	}
	if may.inside.full != 0 || may.inside.asked != 3 || mayNot.inside.asked != 0 {
		t.Errorf("with accessors %d, looks %d and %d", may.inside.full, may.inside.asked, mayNot.inside.asked)
	}
}

func TestLeaseQueries(t *testing.T) {
	plain := api.LeaseQuery{Sort: "expiry", Order: "asc", Limit: 100}
	with := func(change func(*api.LeaseQuery)) api.LeaseQuery {
		q := plain
		change(&q)
		return q
	}
	for query, want := range map[string]any{
		"":                            plain,
		"mount=/database/&path=/v1/a": with(func(q *api.LeaseQuery) { q.Mount, q.Path = "database", "a" }),
		"path=a/%2B/*&namespace=team": with(func(q *api.LeaseQuery) { q.Path, q.Namespace = "a/+/*", "team" }),
		"kind=token&state=due":        with(func(q *api.LeaseQuery) { q.Kind, q.State = "token", "due" }),
		"sort=hits&order=desc":        with(func(q *api.LeaseQuery) { q.Sort, q.Order = "hits", "desc" }),
		"limit=1000&after=x":          with(func(q *api.LeaseQuery) { q.Limit, q.After = 1000, "x" }),
		"accessor=a&limit=1":          with(func(q *api.LeaseQuery) { q.Accessor, q.Limit = "a", 1 }),
		"kind=&state=&limit=":         plain,
		"kind=both":                   `\"both\" is no kind; use lease, token`,
		"state=Fresh":                 `\"Fresh\" is no state; use fresh, due, failing, ending`,
		"sort=age":                    `\"age\" is no sort; use expiry, hits, path, created, renewal`,
		"order=up":                    `\"up\" is no order; use asc, desc`,
		"limit=0":                     "limit must be a number from 1 to 1000",
		"limit=1001":                  "limit must be a number from 1 to 1000",
		"limit=-1":                    "limit must be a number from 1 to 1000",
		"limit=many":                  "limit must be a number from 1 to 1000",
		"limit=1e3":                   "limit must be a number from 1 to 1000",
		"kind=both&limit=0":           `\"both\" is no kind`,
		"mout=database":               `there is no parameter \"mout\"; use kind, state, sort, order, mount`,
		"kind=lease&kind=token":       "kind must stand once",
		"mount=%zz":                   "the query cannot be read; encode it as a URL's",
		"mount=a;kind=token":          "the query cannot be read; encode it as a URL's",
	} {
		t.Run(query, func(t *testing.T) {
			l := newLooked(router.Options{EnableStatus: true})
			w := l.do("GET", "/proxy/v1/leases?"+query, "")
			if text, bad := want.(string); bad {
				if wantError(t, w, http.StatusBadRequest, text); l.inside.asked > 0 {
					t.Error("leases are told all the same")
				}
				return
			}
			if w.Code != http.StatusOK || l.inside.leases != want {
				t.Errorf("%d %s; asked for %+v, want %+v", w.Code, w.Body, l.inside.leases, want)
			}
		})
	}
}

// What is not to be had is told with the status that belongs to it.
func TestWhatIsInsideFails(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{{errors.New("after must be of the page before"), http.StatusBadRequest}, {busy{}, http.StatusServiceUnavailable}} {
		l := newLooked(router.Options{EnableStatus: true})
		l.inside.err = c.err
		for _, target := range []string{"/proxy/v1/leases", "/proxy/v1/explain?path=/v1/x"} {
			wantError(t, l.do("GET", target, ""), c.status, c.err.Error())
		}
	}
}

type busy struct{}

func (busy) Error() string     { return "the state file is not open yet" }
func (busy) ClientStatus() int { return http.StatusServiceUnavailable }

func TestQuestions(t *testing.T) {
	for query, want := range map[string]string{
		"path=/v1/kv/a":                         "GET /v1/kv/a  ",
		"path=kv/a":                             "GET /v1/kv/a  ",
		"path=v1/kv/a":                          "GET /v1/kv/a  ",
		"path=/v1/kv%252Fa%3Fx%3D1&method=post": "POST /v1/kv%2Fa?x=1  ",
		"path=/v1/a&namespace=team&method=list": "LIST /v1/a team ",
		"path=/v1/a&uid=1000&client_cn=app":     "GET /v1/a  1000app",
		"path=//v1/a":                           "GET //v1/a  ",
		"":                                      "!path is missing; write for example path=/v1/database/creds/app",
		"method=GET":                            "!path is missing",
		"path=/v1/a%0a":                         "!path cannot be read; write it as it stands in a URL, and encode it as a parameter",
		"path=/v1/%25zz":                        "!path cannot be read",
		"path=/v1/a&method=G%20T":               `!\"G T\" is no method of HTTP`,
		"path=/v1/a&method=GET%20/%20HTTP/1.1%0d": `!\"GET / HTTP/1.1\\r\" is no method of HTTP`,
		"path=/v1/a&uid=root":                     "!uid must be the number of a user",
		"path=/v1/a&uid=-1":                       "!uid must be the number of a user",
		"path=/v1/a&uid=4294967296":               "!uid must be the number of a user",
		"path=/v1/a&token=hvs.x":                  `!there is no parameter \"token\"; use method, path, namespace, uid, client_cn`,
		"path=/v1/a&path=/v1/b":                   "!path must stand once",
		"path=/v1/a&namespace=" + url.QueryEscape("a\r\nX-Vault-Token: x"): "GET /v1/a a\r\nX-Vault-Token: x ", // it is sent nowhere
	} {
		t.Run(query, func(t *testing.T) {
			l := newLooked(router.Options{EnableStatus: true})
			w := l.do("GET", "/proxy/v1/explain?"+query, "")
			if text, bad := strings.CutPrefix(want, "!"); bad {
				if wantError(t, w, http.StatusBadRequest, text); l.inside.asked > 0 {
					t.Error("it is explained all the same")
				}
				return
			}
			if got := asked(l.inside.asks); got != want || w.Code != http.StatusOK {
				t.Errorf("%d %s; asked about %q, want %q", w.Code, w.Body, got, want)
			}
		})
	}
	l := newLooked(router.Options{EnableStatus: true, PrependNamespace: "outer/"})
	l.do("GET", "/proxy/v1/explain?path=/v1/a&namespace=team", "")
	if q := l.inside.asks; q.Request.Header.Get("X-Vault-Namespace") != "team" || q.Onward.Header.Get("X-Vault-Namespace") != "outer/team/" {
		t.Errorf("asked about %v, onward %v", q.Request.Header, q.Onward.Header)
	}
	// What may be a token is not said back.
	if w := l.do("GET", "/proxy/v1/explain?path=/v1/auth/token/lookup/hvs.secret", ""); strings.Contains(w.Body.String(), "hvs.secret") {
		t.Errorf("explain says %s", w.Body)
	}
}

// asked are a question's method, target, namespace and caller in one text.
func asked(q router.Question) string {
	text := q.Request.Method + " " + q.Request.RequestURI + " " + q.Request.Header.Get("X-Vault-Namespace") + " "
	if q.Caller.HasIDs {
		text += "1000"
	}
	if q.Caller.Cert != nil {
		text += q.Caller.Cert.Subject.CommonName
	}
	return text
}

// A judge says what the listener then does, with the same rights.
func TestAJudgeIsTheListener(t *testing.T) {
	rules := map[string]router.Rights{
		"nobody is limited": {}, "all but": open(deny("kv/secret/*")), "only": closed(allow("kv/+/a", "GET", "LIST"), allow("sys/health")),
		"of a namespace": closed(allow("team/kv/*")),
	}
	options := map[string]router.Options{
		"plain": {}, "metrics only": {MetricsOnly: true}, "admin": {Admin: true}, "status": {EnableStatus: true}, "prepended": {PrependNamespace: "team/"},
	}
	targets := []string{
		"/v1/kv/secret/a", "/v1/kv/open/a", "/v1/kv/open/b", "/v1/sys/health", "/v1/kv/open/a?list=true", "/v1/KV/secret/a", "/v1/kv/%73ecret/a", "/proxy/v1/status",
		"/agent/v1/metrics", "/proxy/v1/quit", "/proxy/v1/none", "/", "/v1/kv/secret/../open/a", "/v1/kv//open/a",
	}
	for with, rights := range rules {
		for as, opt := range options {
			opt.Rights = rights
			l := newLooked(opt)
			asking := newLooked(router.Options{EnableStatus: true})
			judge := router.NewJudge(l.parts, opt)
			for _, target := range targets {
				for _, method := range []string{"GET", "POST", "LIST", "DELETE", "TRACE"} {
					w := asking.do("GET", "/proxy/v1/explain?method="+method+"&path="+url.QueryEscape(target), "")
					if w.Code != http.StatusOK {
						t.Fatalf("%s %s: %s", method, target, w.Body)
					}
					view := judge.Judge(asking.inside.asks)
					got := httptest.NewRecorder()
					l.mux.ServeHTTP(got, newRequest(method, target, ""))
					refused := got.Code == http.StatusForbidden || got.Code == http.StatusNotFound || got.Code == http.StatusMethodNotAllowed
					if view.Allowed == refused || refused && view.Status != got.Code || view.Why == "" {
						t.Errorf("%s, %s: %s %s = %d %s; it was said to be %+v", with, as, method, target, got.Code, got.Body, view)
					}
				}
			}
		}
	}
}

func TestAJudgeTellsWhichTokenIsLent(t *testing.T) {
	asking := newLooked(router.Options{EnableStatus: true})
	asking.do("GET", "/proxy/v1/explain?path=/v1/kv/a", "")
	for want, opt := range map[string]router.Options{
		"":                {},
		"auto_auth":       {TokenUse: router.WhenAbsent},
		`auto_auth "app"`: {TokenUse: router.Force, AutoAuth: "app"},
	} {
		l := newLooked(router.Options{})
		l.parts.Tokens = fakeTokens{token: vault.NewToken(autoToken)}
		if got := router.NewJudge(l.parts, opt).Judge(asking.inside.asks); got.Token != want {
			t.Errorf("lends %q, want %q", got.Token, want)
		}
	}
}

// Whatever is asked for, the answer is 200 or a 400 that says why, and what is understood is within bounds.
func FuzzLeaseQuery(f *testing.F) {
	for _, seed := range []string{"", "mount=database&limit=10", "kind=token&state=due&sort=hits&order=desc", "limit=0", "a=b", "mount=%zz", "path=%2B/*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		l := newLooked(router.Options{EnableStatus: true})
		r := newRequest("GET", "/proxy/v1/leases", "")
		r.URL.RawQuery = query
		w := l.serve(r)
		q := l.inside.leases
		switch {
		case w.Code == http.StatusOK && (q.Limit < 1 || q.Limit > api.MaxLeases || own[q.Kind] != "" || q.Sort == "" || q.Order == ""):
			t.Errorf("%q is understood as %+v", query, q)
		case w.Code != http.StatusOK && (w.Code != http.StatusBadRequest || l.inside.asked > 0):
			t.Errorf("%q = %d %s", query, w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("the answer is no JSON: %q", w.Body)
		}
	})
}

func FuzzQuestion(f *testing.F) {
	for _, seed := range []string{"path=/v1/a", "path=kv/a&method=list", "path=/v1/%252e&uid=7", "method=%00", "path=http://x/v1/a", "path=*", "path=/v1/a&client_cn=%ff"} {
		f.Add(seed)
	}
	rights := closed(allow("kv/*"))
	f.Fuzz(func(t *testing.T, query string) {
		l := newLooked(router.Options{EnableStatus: true, Rights: open(deny("none"))})
		r := newRequest("GET", "/proxy/v1/explain", "")
		r.URL.RawQuery = query
		w := l.serve(r)
		if w.Code != http.StatusOK {
			if w.Code != http.StatusBadRequest || l.inside.asked > 0 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%q = %d %s", query, w.Code, w.Body)
			}
			return
		}
		q := l.inside.asks
		if q.Request.URL == nil || q.Onward == nil || !strings.HasPrefix(q.Request.RequestURI, "/") {
			t.Errorf("%q is understood as %+v", query, q.Request)
		}
		if view := router.NewJudge(l.parts, router.Options{Rights: rights}).Judge(q); view.Allowed == (view.Status != 0) || view.Why == "" {
			t.Errorf("%q is judged %+v", query, view)
		}
	})
}
