package router_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"leasehold/internal/api"
	"leasehold/internal/router"
)

// peer is who calls in a test.
type peer struct {
	uid    uint32
	groups []uint32
}

// guardedBy is a listener with rights, and the requests that passed them.
type guardedBy struct {
	*fixture
	denied int
}

func withRights(r router.Rights, who *peer, opt router.Options) *guardedBy {
	g := &guardedBy{fixture: &fixture{answer: &fakeAnswer{}, clear: &fakeClear{}, log: &strings.Builder{}}}
	opt.Rights, opt.EnableQuit = r, true
	parts := router.Parts{
		Answer: g.answer, Clear: g.clear, Vault: "https://vault.test", Quit: func() { g.quits++ }, Denied: func() { g.denied++ },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") }),
		Ready:   func() api.Readiness { return api.Readiness{Ready: true} },
		Live:    func(context.Context) api.Liveness { return api.Liveness{Alive: true} },
		Failed:  func(*http.Request, int, error) {},
		Log:     slog.New(slog.NewTextHandler(g.log, nil)),
	}
	if who != nil {
		parts.Peer = func(context.Context) (uint32, []uint32, bool) { return who.uid, who.groups, true }
	}
	g.handler = router.New(parts, opt)
	return g
}

func allow(path string, methods ...string) router.AccessRule {
	return router.AccessRule{Path: path, Methods: methods}
}

func deny(path string, methods ...string) router.AccessRule {
	return router.AccessRule{Path: path, Methods: methods, Deny: true}
}

func closed(rules ...router.AccessRule) router.Rights { return router.Rights{Rules: rules, Deny: true} }
func open(rules ...router.AccessRule) router.Rights   { return router.Rights{Rules: rules} }

// Each line is a request and whether it passes; a denied one reaches neither Vault nor the cache.
func TestRulesDecide(t *testing.T) {
	app := closed(allow("kv/data/app/*", "GET"), allow("kv/metadata/app/*", "LIST"), allow("db/creds/+/ro"), allow("kv/data/exact", "POST"))
	for name, tc := range map[string]struct {
		rights  router.Rights
		request string
		header  []string
		passes  bool
	}{
		"below the star":              {app, "GET /v1/kv/data/app/a/b", nil, true},
		"another method":              {app, "DELETE /v1/kv/data/app/a", nil, false},
		"HEAD is not GET":             {app, "HEAD /v1/kv/data/app/a", nil, false},
		"a neighbour":                 {app, "GET /v1/kv/data/app2", nil, false},
		"the parent":                  {app, "GET /v1/kv/data/app", nil, false},
		"the parent with a slash":     {app, "GET /v1/kv/data/app/", nil, false},
		"a list":                      {app, "LIST /v1/kv/metadata/app/x", nil, true},
		"a list of the parent":        {app, "LIST /v1/kv/metadata/app", nil, true},
		"a list by GET":               {app, "GET /v1/kv/metadata/app?list=true", nil, true},
		"a list by GET, encoded":      {app, "GET /v1/kv/metadata/app?%6cist=1", nil, true},
		"a list where reads may":      {app, "GET /v1/kv/data/app/a?list=true", nil, false},
		"so, encoded":                 {app, "GET /v1/kv/data/app/a?%6cist=true", nil, false},
		"the first of two lists":      {app, "GET /v1/kv/data/app/a?list=true&list=false", nil, false},
		"list=false":                  {app, "GET /v1/kv/data/app/a?list=false", nil, true},
		"list=maybe":                  {app, "GET /v1/kv/data/app/a?list=maybe", nil, false},
		"a segment":                   {app, "GET /v1/db/creds/x/ro", nil, true},
		"two segments":                {app, "GET /v1/db/creds/x/y/ro", nil, false},
		"a slash at the end":          {app, "GET /v1/db/creds/x/ro/", nil, true},
		"POST":                        {app, "POST /v1/kv/data/exact", nil, true},
		"PUT is POST":                 {app, "PUT /v1/kv/data/exact", nil, true},
		"PATCH is not":                {app, "PATCH /v1/kv/data/exact", nil, false},
		"RECOVER is not":              {app, "RECOVER /v1/kv/data/exact", nil, false},
		"recovery by a header":        {app, "POST /v1/kv/data/exact", []string{"X-Vault-Recover-Snapshot-Id", "1"}, false},
		"recovery by the query":       {app, "PUT /v1/kv/data/exact?recover_snapshot_id=1", nil, false},
		"recovery of another path":    {app, "POST /v1/kv/data/exact", []string{"X-Vault-Recover-Source-Path", "kv/data/other"}, false},
		"a strange method":            {app, "BREW /v1/kv/data/app/a", nil, false},
		"an upgrade":                  {app, "GET /v1/sys/events/subscribe/x", []string{"Connection", "Upgrade", "Upgrade", "websocket"}, false},
		"an absolute target":          {app, "GET http://elsewhere/v1/kv/data/other", nil, false},
		"an absolute target, allowed": {app, "GET http://elsewhere/v1/kv/data/app/a", nil, true},
		"no path of Vault's API":      {app, "GET /ui/", nil, false},
		"what Vault redirects":        {open(deny("x")), "GET /.well-known/x", nil, false},
		"upper case":                  {app, "GET /v1/KV/data/app/a", nil, false},
		"a semicolon":                 {app, "GET /v1/kv/data/exact;x", nil, false},
		"an encoded letter":           {app, "GET /v1/kv/data/%61pp/a", nil, true},
		"a space":                     {app, "GET /v1/kv/data/app/a%20b", nil, true},

		"a namespace in the path":          {closed(allow("ns/kv/*")), "GET /v1/ns/kv/a", nil, true},
		"a namespace in the header":        {closed(allow("ns/kv/*")), "GET /v1/kv/a", []string{"X-Vault-Namespace", "/ns/"}, true},
		"half here, half there":            {closed(allow("a/b/kv/*")), "GET /v1/b/kv/a", []string{"X-Vault-Namespace", "a"}, true},
		"the root by name":                 {closed(allow("kv/*")), "GET /v1/kv/a", []string{"X-Vault-Namespace", "root"}, true},
		"another namespace":                {closed(allow("kv/*")), "GET /v1/kv/a", []string{"X-Vault-Namespace", "ns"}, false},
		"a denied namespace":               {open(deny("ns/*")), "GET /v1/kv/a", []string{"X-Vault-Namespace", "NS"}, false},
		"two namespaces":                   {open(deny("ns/*")), "GET /v1/kv/a", []string{"X-Vault-Namespace", "x", "X-Vault-Namespace", "ns"}, false},
		"a namespace with dots":            {open(deny("ns/*")), "GET /v1/kv/a", []string{"X-Vault-Namespace", "x/../ns"}, false},
		"a namespace below the root":       {open(deny("ns/*")), "GET /v1/kv/a", []string{"X-Vault-Namespace", "root/ns"}, false},
		"an encoded namespace":             {open(deny("ns/*")), "GET /v1/kv/a", []string{"X-Vault-Namespace", "%6es"}, false},
		"a header that only looks like it": {closed(allow("ns/kv/*")), "GET /v1/kv/a", []string{"X_Vault_Namespace", "ns"}, false},

		"the first rule":        {open(deny("kv/data/app/secret"), allow("kv/data/app/*")), "GET /v1/kv/data/app/secret", nil, false},
		"the second":            {open(allow("kv/data/app/*"), deny("kv/data/app/secret")), "GET /v1/kv/data/app/secret", nil, true},
		"what no rule names":    {open(deny("kv/*")), "GET /v1/db/creds/x", nil, true},
		"a name in upper case":  {open(deny("auth/userpass/login/root*")), "POST /v1/auth/userpass/login/ROOT-1", nil, false},
		"a mount without slash": {open(deny("kv/*")), "GET /v1/kv", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := withRights(tc.rights, nil, router.Options{})
			method, target, _ := strings.Cut(tc.request, " ")
			w := g.do(method, target, "", tc.header...)
			if tc.passes {
				if w.Code != http.StatusOK || g.answer.got == nil || g.denied != 0 {
					t.Errorf("status %d %s, want it to pass", w.Code, w.Body)
				}
				return
			}
			wantError(t, w, http.StatusForbidden, "")
			if g.answer.got != nil || g.denied != 1 {
				t.Error("a denied request went on, or was not counted")
			}
		})
	}
}

// What Vault would clean, decode or answer with a redirect is refused, whatever the rules say of it.
func TestOnlyCanonicalRequestsReachRules(t *testing.T) {
	g := withRights(open(deny("kv/data/secret")), nil, router.Options{})
	for _, target := range []string{
		"/v1//kv/data/secret", "/v1/kv//data/secret", "//v1/kv/data/secret", "/v1/kv/./data/secret", "/v1/kv/x/../data/secret", "/v1/kv/data/secret//",
		"/v1/kv%2fdata%2fsecret", "/v1/kv%2Fdata/secret", "/v1/kv/x/%2e%2e/data/secret", "/v1/kv/%2E/data/secret", "/v1/kv/data/%2573ecret", "/v1/kv\\data/secret",
		"/v1/kv%5cdata/secret", "/v1/kv/data/secret%00", "/v1/kv/data/secret%0a", "/v1/kv/data/sec%ffret", "/v1", "/v1/", "/V1/kv/data/secret", "/", "/kv/data/secret",
		"/x/../v1/kv/data/secret", "/agent/../v1/kv/data/secret",
	} {
		w := g.do("GET", "http://x"+target, "")
		if g.answer.got != nil || w.Code == http.StatusOK {
			t.Fatalf("%s passed", target)
		}
		wantError(t, w, http.StatusForbidden, "this listener of Leasehold has rules, and a request must be in its canonical form: ")
	}
	if strings.Contains(g.log.String(), "secret") {
		t.Errorf("the log shows a path that nobody understands:\n%s", g.log)
	}
	r := httptest.NewRequest("OPTIONS", "/", nil)
	r.URL = &url.URL{Path: "*"}
	wantError(t, g.serve(r), http.StatusForbidden, "")
	r.URL = &url.URL{Scheme: "http", Opaque: "v1/kv/data/secret"}
	wantError(t, g.serve(r), http.StatusForbidden, "")
}

// The configured namespace stands before the one of the request, as it will for Vault.
func TestRulesSeeThePrependedNamespace(t *testing.T) {
	for pattern, passes := range map[string]bool{"outer/inner/kv/*": true, "inner/kv/*": false, "kv/*": false} {
		g := withRights(closed(allow(pattern)), nil, router.Options{PrependNamespace: "outer/"})
		if w := g.do("GET", "/v1/kv/a", "", "X-Vault-Namespace", "inner"); (w.Code == http.StatusOK) != passes {
			t.Errorf("%s: status = %d, want it to pass: %t", pattern, w.Code, passes)
		}
	}
}

func TestOurEndpointsHaveRights(t *testing.T) {
	for name, tc := range map[string]struct {
		rights  router.Rights
		request string
		status  int
	}{
		"quit by default":               {closed(allow("*")), "POST /proxy/v1/quit", 403},
		"quit by its other name":        {closed(allow("/proxy/v1/quit")), "POST /agent/v1/quit", 200},
		"quit where all others may":     {open(deny("/agent/v1/quit")), "POST /proxy/v1/quit", 403},
		"cache-clear by default":        {closed(allow("*")), "POST /proxy/v1/cache-clear", 403},
		"metrics for machines":          {closed(allow("kv/*")), "GET /proxy/v1/metrics", 200},
		"readyz for machines":           {closed(allow("kv/*")), "GET /agent/v1/readyz", 200},
		"livez for machines":            {closed(allow("kv/*")), "GET /agent/v1/livez", 200},
		"metrics, denied by a rule":     {open(deny("/proxy/v1/metrics")), "GET /agent/v1/metrics", 403},
		"a star of Vault's is not ours": {open(deny("*")), "POST /proxy/v1/quit", 200},
		"callers are asked everywhere":  {router.Rights{Callers: router.Callers{Users: []uint32{7}}}, "GET /proxy/v1/metrics", 403},
	} {
		t.Run(name, func(t *testing.T) {
			method, target, _ := strings.Cut(tc.request, " ")
			g := withRights(tc.rights, &peer{uid: 1}, router.Options{})
			if w := g.do(method, target, ""); w.Code != tc.status || g.quits > 0 && tc.status == 403 {
				t.Errorf("status = %d, %d quits, want %d", w.Code, g.quits, tc.status)
			}
		})
	}
}

func TestCallersByIDs(t *testing.T) {
	two := closed(
		router.AccessRule{Path: "kv/a/*", Callers: router.Callers{Users: []uint32{1}}},
		router.AccessRule{Path: "kv/b/*", Callers: router.Callers{Groups: []uint32{20}}},
	)
	for name, tc := range map[string]struct {
		rights router.Rights
		who    *peer
		target string
		text   string // of the refusal; "" passes
	}{
		"a user":                {router.Rights{Callers: router.Callers{Users: []uint32{5, 7}}}, &peer{uid: 7}, "/v1/x", ""},
		"another user":          {router.Rights{Callers: router.Callers{Users: []uint32{5, 7}}}, &peer{uid: 8}, "/v1/x", "this caller may not use"},
		"root is nobody":        {router.Rights{Callers: router.Callers{Users: []uint32{7}}}, &peer{}, "/v1/x", "this caller may not use"},
		"a group":               {router.Rights{Callers: router.Callers{Users: []uint32{5}, Groups: []uint32{9}}}, &peer{8, []uint32{1, 9}}, "/v1/x", ""},
		"nobody is known":       {router.Rights{Callers: router.Callers{Users: []uint32{5}}}, nil, "/v1/x", "it cannot be told who is calling"},
		"so, of a denying rule": {open(router.AccessRule{Path: "x", Deny: true, Callers: router.Callers{Users: []uint32{5}}}), nil, "/v1/x", "it cannot be told"},
		"the first application": {two, &peer{uid: 1}, "/v1/kv/a/x", ""},
		"at the second's":       {two, &peer{uid: 1}, "/v1/kv/b/x", "no rule of this listener"},
		"the second":            {two, &peer{2, []uint32{20}}, "/v1/kv/b/x", ""},
		"at the first's":        {two, &peer{2, []uint32{20}}, "/v1/kv/a/x", "no rule of this listener"},
	} {
		t.Run(name, func(t *testing.T) {
			w := withRights(tc.rights, tc.who, router.Options{}).do("GET", tc.target, "")
			if tc.text == "" {
				if w.Code != http.StatusOK {
					t.Errorf("status = %d %s, want 200", w.Code, w.Body)
				}
				return
			}
			wantError(t, w, http.StatusForbidden, tc.text)
		})
	}
}

func TestCallersByCertificates(t *testing.T) {
	spiffe, _ := url.Parse("spiffe://example.org/app")
	cert := &x509.Certificate{
		Subject: pkix.Name{CommonName: "app"}, DNSNames: []string{"One.Example.com"}, EmailAddresses: []string{"app@example.com"},
		URIs: []*url.URL{spiffe}, IPAddresses: []net.IP{net.ParseIP("10.0.0.1").To4()},
	}
	for name, tc := range map[string]struct {
		callers router.Callers
		passes  bool
	}{
		"CN":                    {router.Callers{CNs: []string{"other", "app"}}, true},
		"another CN":            {router.Callers{CNs: []string{"App"}}, false},
		"a CN is no name":       {router.Callers{SANs: []string{"app"}}, false},
		"a name is no CN":       {router.Callers{CNs: []string{"one.example.com"}}, false},
		"DNS":                   {router.Callers{SANs: []string{"one.example.com"}}, true},
		"DNS, one label":        {router.Callers{SANs: []string{"*.example.com"}}, true},
		"DNS, two labels":       {router.Callers{SANs: []string{"*.com"}}, false},
		"DNS, none":             {router.Callers{SANs: []string{"*.one.example.com"}}, false},
		"URI":                   {router.Callers{SANs: []string{"spiffe://example.org/app"}}, true},
		"another URI":           {router.Callers{SANs: []string{"spiffe://example.org/app2"}}, false},
		"e-mail":                {router.Callers{SANs: []string{"app@example.com"}}, true},
		"IP":                    {router.Callers{SANs: []string{"::ffff:10.0.0.1"}}, true},
		"another IP":            {router.Callers{SANs: []string{"10.0.0.2"}}, false},
		"either list is enough": {router.Callers{CNs: []string{"x"}, SANs: []string{"10.0.0.1"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("GET", "/v1/x", "")
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
			rights := router.Rights{Callers: tc.callers}
			if w := withRights(rights, nil, router.Options{}).serve(r); (w.Code == http.StatusOK) != tc.passes {
				t.Errorf("status = %d, want it to pass: %t", w.Code, tc.passes)
			}
			r.TLS.VerifiedChains = nil
			wantError(t, withRights(rights, nil, router.Options{}).serve(r), http.StatusForbidden, "it cannot be told who is calling")
		})
	}
}

// A crowd of denials fills no log, no token gets there, and it is told how many lines were left out.
func TestDenialsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := withRights(open(deny("auth/*")), &peer{uid: 42}, router.Options{})
		token := "hvs.CAESIJ" + strings.Repeat("x", 40)
		for range 5 {
			g.do("GET", "/v1/auth/token/lookup/"+token, "")
			g.do("GET", "/v1/auth/a/"+token, "")
		}
		time.Sleep(1100 * time.Millisecond)
		g.do("GET", "/v1/auth/a/"+token, "")
		log := g.log.String()
		if n := strings.Count(log, "request denied"); n != 2 || !strings.Contains(log, "not_logged=9") || !strings.Contains(log, "uid=42") || !strings.Contains(log, "rule=1") {
			t.Errorf("%d lines:\n%s", n, log)
		}
		if strings.Contains(log, "hvs.") || strings.Count(log, "[redacted]") != 2 {
			t.Errorf("a token is in the log:\n%s", log)
		}
	})
}

func TestRulesAllocateNothing(t *testing.T) {
	rules := closed(deny("kv/data/app/secret", "GET"), allow("NS/kv/+/app/*", "GET"), allow("ns/kv/+/app/*", "GET", "LIST"))
	measure := func(rights router.Rights) float64 {
		g := router.New(router.Parts{Answer: nothing{}, Log: slog.New(slog.DiscardHandler)}, router.Options{Rights: rights})
		r := newRequest("GET", "/v1/kv/data/app/x?ttl=60", "", "X-Vault-Namespace", "ns")
		return testing.AllocsPerRun(500, func() { g.ServeHTTP(nopWriter{}, r) })
	}
	if with, without := measure(rules), measure(router.Rights{}); with != without {
		t.Errorf("allocations with rules = %v, without = %v", with, without)
	}
}

// spellings of a request that Vault treats as the plain one.
func spellings(method, path string) []*http.Request {
	segments := strings.Split(path, "/")
	targets := []string{path, path + "/", path + "//", strings.Replace(path, "/", "//", 1), "./" + path, "x/../" + path, strings.ReplaceAll(path, "/", "%2f"),
		strings.ToUpper(path), fmt.Sprintf("%%%02x", path[0]) + path[1:], "%2e/" + path, "x/%2e%2e/" + path, path + "?list=false"}
	var all []*http.Request
	for _, m := range slices.Compact([]string{method, map[string]string{"POST": "PUT"}[method]}) {
		if m == "" {
			continue
		}
		for _, target := range targets {
			all = append(all, newRequest(m, "/v1/"+target, ""))
		}
		if len(segments) > 1 {
			rest := strings.Join(segments[1:], "/")
			for _, ns := range []string{segments[0], "/" + segments[0] + "/", " " + segments[0] + "/"} {
				all = append(all, newRequest(m, "/v1/"+rest, "", "X-Vault-Namespace", ns))
			}
		}
		if m == "LIST" {
			all = append(all, newRequest("GET", "/v1/"+path+"?list=true", ""), newRequest("GET", "/v1/"+path+"/?list=1", ""))
		}
	}
	return all
}

// What is denied in its plain form passes in none.
func TestNoSpellingPassesWhatIsDenied(t *testing.T) {
	segment := rapid.SampledFrom([]string{"kv", "data", "app", "b", "login"})
	rapid.Check(t, func(t *rapid.T) {
		rights := router.Rights{Deny: rapid.Bool().Draw(t, "default deny")}
		for range rapid.IntRange(1, 4).Draw(t, "rules") {
			parts := rapid.SliceOfN(rapid.OneOf(segment, rapid.Just("+")), 1, 4).Draw(t, "pattern")
			path := strings.Join(parts, "/") + rapid.SampledFrom([]string{"", "/*"}).Draw(t, "end")
			rule := router.AccessRule{Path: path, Deny: rapid.Bool().Draw(t, "deny"), Methods: rapid.SliceOfN(rapid.SampledFrom([]string{"GET", "LIST", "POST", "PUT"}), 0, 2).Draw(t, "methods")}
			rights.Rules = append(rights.Rules, rule)
		}
		method := rapid.SampledFrom([]string{"GET", "LIST", "POST", "DELETE"}).Draw(t, "method")
		path := strings.Join(rapid.SliceOfN(segment, 1, 4).Draw(t, "path"), "/")
		g := withRights(rights, nil, router.Options{})
		if g.do(method, "/v1/"+path, "").Code == http.StatusOK {
			return
		}
		for _, r := range spellings(method, path) {
			if w := g.serve(r); w.Code == http.StatusOK {
				t.Fatalf("%s %s is denied, but %s %s %v passes with %+v", method, path, r.Method, r.URL, r.Header, rights)
			}
		}
	})
}

// Whatever the target: no panic, and what passes has one reading.
func FuzzRules(f *testing.F) {
	for _, s := range []string{"/v1/kv/data/app", "/v1//x", "/v1/%2e%2e", "*", "/v1/kv?list=true", "/proxy/v1/quit", "/v1/\xff"} {
		f.Add("kv/+/app*", s, "ns")
	}
	f.Fuzz(func(t *testing.T, pattern, target, namespace string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		for _, rights := range []router.Rights{open(deny(pattern)), closed(allow(pattern))} {
			g := withRights(rights, nil, router.Options{})
			r := newRequest("GET", "/", "", "X-Vault-Namespace", namespace)
			r.URL = u
			g.serve(r)
			if g.answer.got == nil {
				continue
			}
			if path := u.Path; !strings.HasPrefix(path, "/v1/") || strings.Contains(path, "//") || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./") {
				t.Errorf("%q passed", target)
			}
		}
	})
}
