package lease_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// spelling is one way to say that a request is meant for a namespace.
type spelling struct {
	header, prefix string
	namespace      vault.Namespace
	inPath         bool
}

var spellings = map[string]spelling{
	"root":              {},
	"root by name":      {header: "root"},
	"header":            {header: "ns1", namespace: "ns1/"},
	"header, slashes":   {header: "/ns1/", namespace: "ns1/"},
	"path":              {prefix: "ns1/", namespace: "ns1/", inPath: true},
	"path, nested":      {prefix: "ns1/ns2/", namespace: "ns1/ns2/", inPath: true},
	"header and path":   {header: "ns1", prefix: "ns2/", namespace: "ns1/ns2/", inPath: true},
	"header, long path": {header: "ns1/ns2", prefix: "a/b/", namespace: "ns1/ns2/a/b/", inPath: true},
}

func TestEveryFormOfRenewalIsOne(t *testing.T) {
	for _, path := range []string{
		"auth/token/renew", "auth/token/renew/hvs.x", "auth/token/renew-self", "auth/token/renew-accessor",
		"sys/leases/renew", "sys/leases/renew/aws/creds/deploy/x1", "sys/renew", "sys/renew/aws/creds/deploy/x1",
		"auth/token/renew-self/", "sys/leases/renew/",
	} {
		for name, s := range spellings {
			for _, method := range []string{http.MethodPost, http.MethodPut} {
				t.Run(method+" "+path+" "+name, func(t *testing.T) {
					op := lease.Describe(method, "/v1/"+s.prefix+path, s.header)
					if op.Kind != lease.Renewal || op.Namespace != s.namespace {
						t.Errorf("kind %v in namespace %q, want a renewal in %q", op.Kind, op.Namespace, s.namespace)
					}
				})
			}
		}
	}
}

func TestEveryFormOfRevocationNamesWhatItEnds(t *testing.T) {
	caller := vault.NewToken("hvs.caller")
	for name, tc := range map[string]struct {
		method, path, query, body string
		scope                     lease.Scope
		value                     string
	}{
		"token, body":                    {"POST", "auth/token/revoke", "", `{"token":"hvs.x"}`, lease.ScopeToken, "hvs.x"},
		"token, PUT":                     {"PUT", "auth/token/revoke", "", `{"token":"hvs.x"}`, lease.ScopeToken, "hvs.x"},
		"token, form":                    {"POST", "auth/token/revoke", "", "token=hvs.x&other=1", lease.ScopeToken, "hvs.x"},
		"token, escaped form":            {"POST", "auth/token/revoke", "", "token=hvs%2Ex", lease.ScopeToken, "hvs.x"},
		"token, query":                   {"POST", "auth/token/revoke", "token=hvs.x", "", lease.ScopeToken, "hvs.x"},
		"token, body before query":       {"POST", "auth/token/revoke", "token=hvs.y", `{"token":"hvs.x"}`, lease.ScopeToken, "hvs.x"},
		"token, body empty, query":       {"POST", "auth/token/revoke", "token=hvs.x", `{"token":""}`, lease.ScopeToken, "hvs.x"},
		"token, spaces around":           {"POST", "auth/token/revoke", "", " \n{ \"token\" : \"hvs.x\" } \n", lease.ScopeToken, "hvs.x"},
		"token, more after the object":   {"POST", "auth/token/revoke", "", `{"token":"hvs.x"}{"token":"hvs.y"}`, lease.ScopeToken, "hvs.x"},
		"token, other fields":            {"POST", "auth/token/revoke", "", `{"x":[1,{"token":"no"}],"token":"hvs.x"}`, lease.ScopeToken, "hvs.x"},
		"token, twice":                   {"POST", "auth/token/revoke", "", `{"token":"hvs.y","token":"hvs.x"}`, lease.ScopeToken, "hvs.x"},
		"token, URL":                     {"POST", "auth/token/revoke/hvs.x", "", "", lease.ScopeToken, "hvs.x"},
		"token, URL and slash":           {"POST", "auth/token/revoke/hvs.x/", "", "", lease.ScopeToken, "hvs.x"},
		"token, slash":                   {"POST", "auth/token/revoke/", "", `{"token":"hvs.x"}`, lease.ScopeToken, "hvs.x"},
		"self":                           {"POST", "auth/token/revoke-self", "", "", lease.ScopeToken, "hvs.caller"},
		"self, slash":                    {"PUT", "auth/token/revoke-self/", "", "{}", lease.ScopeToken, "hvs.caller"},
		"self, whatever the body says":   {"POST", "auth/token/revoke-self", "token=hvs.y", `{"token":"hvs.x"}`, lease.ScopeToken, "hvs.caller"},
		"accessor, body":                 {"POST", "auth/token/revoke-accessor", "", `{"accessor":"acc"}`, lease.ScopeAccessor, "acc"},
		"accessor, form":                 {"POST", "auth/token/revoke-accessor", "", "accessor=acc", lease.ScopeAccessor, "acc"},
		"accessor, query":                {"POST", "auth/token/revoke-accessor", "accessor=acc", "", lease.ScopeAccessor, "acc"},
		"accessor, URL":                  {"POST", "auth/token/revoke-accessor/acc", "", "", lease.ScopeAccessor, "acc"},
		"orphaning, body":                {"POST", "auth/token/revoke-orphan", "", `{"token":"hvs.x"}`, lease.ScopeOrphaning, "hvs.x"},
		"orphaning, URL":                 {"POST", "auth/token/revoke-orphan/hvs.x", "", "", lease.ScopeOrphaning, "hvs.x"},
		"token prefix":                   {"POST", "auth/token/revoke-prefix/auth/approle", "", "", lease.ScopePrefix, "auth/approle"},
		"lease, body":                    {"POST", "sys/leases/revoke", "", `{"lease_id":"aws/creds/a/x1"}`, lease.ScopeLease, "aws/creds/a/x1"},
		"lease, asynchronous":            {"PUT", "sys/leases/revoke", "", `{"lease_id":"aws/creds/a/x1","sync":false}`, lease.ScopeLease, "aws/creds/a/x1"},
		"lease, form":                    {"PUT", "sys/leases/revoke", "", "lease_id=aws/creds/a/x1", lease.ScopeLease, "aws/creds/a/x1"},
		"lease, query":                   {"PUT", "sys/leases/revoke", "lease_id=aws%2Fcreds%2Fa%2Fx1", "", lease.ScopeLease, "aws/creds/a/x1"},
		"lease, URL":                     {"PUT", "sys/leases/revoke/aws/creds/a/x1", "", "", lease.ScopeLease, "aws/creds/a/x1"},
		"lease, URL, below an auth path": {"PUT", "sys/leases/revoke/auth/approle/login/h1", "", "", lease.ScopeLease, "auth/approle/login/h1"},
		"lease, body before URL":         {"PUT", "sys/leases/revoke/aws/creds/a/x1", "", `{"lease_id":"aws/creds/a/x2"}`, lease.ScopeLease, "aws/creds/a/x2"},
		"lease, URL and empty body":      {"PUT", "sys/leases/revoke/aws/creds/a/x1", "lease_id=y", `{"sync":true}`, lease.ScopeLease, "aws/creds/a/x1"},
		"old lease, body":                {"PUT", "sys/revoke", "", `{"lease_id":"aws/creds/a/x1"}`, lease.ScopeLease, "aws/creds/a/x1"},
		"old lease, URL":                 {"PUT", "sys/revoke/aws/creds/a/x1", "", "", lease.ScopeLease, "aws/creds/a/x1"},
		"prefix":                         {"PUT", "sys/leases/revoke-prefix/aws/creds", "", "", lease.ScopePrefix, "aws/creds"},
		"prefix, slash":                  {"POST", "sys/leases/revoke-prefix/aws/creds/", "", "", lease.ScopePrefix, "aws/creds"},
		"prefix, body does not count":    {"POST", "sys/leases/revoke-prefix/aws", "lease_id=a", `{"prefix":"pki"}`, lease.ScopePrefix, "aws"},
		"force":                          {"PUT", "sys/leases/revoke-force/aws", "", "", lease.ScopePrefix, "aws"},
		"old prefix":                     {"PUT", "sys/revoke-prefix/aws", "", "", lease.ScopePrefix, "aws"},
		"old force":                      {"PUT", "sys/revoke-force/aws", "", "", lease.ScopePrefix, "aws"},
		"unmount":                        {"DELETE", "sys/mounts/aws", "", "", lease.ScopeMount, "aws"},
		"unmount, slash":                 {"DELETE", "sys/mounts/team/aws/", "", "", lease.ScopeMount, "team/aws"},
		"unmount, a query means nothing": {"DELETE", "sys/mounts/aws", "from=pki", "", lease.ScopeMount, "aws"},
		"unmount, nor does a body":       {"DELETE", "sys/mounts/aws", "", `{"from":"pki"}`, lease.ScopeMount, "aws"},
		"disable an auth method":         {"DELETE", "sys/auth/approle", "", "", lease.ScopeAuthMount, "approle"},
		"remount":                        {"POST", "sys/remount", "", `{"from":"aws","to":"aws2"}`, lease.ScopeMount, "aws"},
		"remount an auth method":         {"POST", "sys/remount", "", `{"from":"auth/approle","to":"auth/a2"}`, lease.ScopeAuthMount, "approle"},
	} {
		for where, s := range spellings {
			t.Run(name+", "+where, func(t *testing.T) {
				op := lease.Describe(tc.method, "/v1/"+s.prefix+tc.path, s.header)
				if op.Kind != lease.Revocation {
					t.Fatalf("kind = %v, want a revocation", op.Kind)
				}
				got, ok := op.Eviction(tc.query, []byte(tc.body), caller)
				want := lease.Eviction{Scope: tc.scope, Namespace: s.namespace, InPath: s.inPath, Value: tc.value}
				if got != want || !ok {
					t.Errorf("Eviction() = %+v, %t; want %+v", got, ok, want)
				}
			})
		}
	}
}

func TestDeletingANamespaceTakesItAndAllBelow(t *testing.T) {
	for name, tc := range map[string]struct {
		path, header string
		want         vault.Namespace
	}{
		"root":            {"/v1/sys/namespaces/ns1", "", "ns1/"},
		"slash":           {"/v1/sys/namespaces/ns1/", "", "ns1/"},
		"in header":       {"/v1/sys/namespaces/ns2", "ns1", "ns1/ns2/"},
		"in path":         {"/v1/ns1/sys/namespaces/ns2", "", "ns1/ns2/"},
		"both":            {"/v1/b/sys/namespaces/c", "a", "a/b/c/"},
		"one called root": {"/v1/sys/namespaces/root", "", "root/"},
	} {
		t.Run(name, func(t *testing.T) {
			op := lease.Describe(http.MethodDelete, tc.path, tc.header)
			e, ok := op.Eviction("", nil, vault.Token{})
			if op.Kind != lease.Revocation || e.Scope != lease.ScopeNamespace || e.Namespace != tc.want || e.InPath || !ok {
				t.Errorf("%+v evicts %+v, %t; want namespace %q", op, e, ok, tc.want)
			}
		})
	}
}

func TestRevocationsThatNameNothing(t *testing.T) {
	for name, tc := range map[string]struct{ path, query, body string }{
		"no body":               {"auth/token/revoke", "", ""},
		"empty object":          {"auth/token/revoke", "", "{}"},
		"empty token":           {"auth/token/revoke", "", `{"token":""}`},
		"null token":            {"auth/token/revoke", "", `{"token":null}`},
		"number":                {"auth/token/revoke", "", `{"token":7}`},
		"array":                 {"auth/token/revoke", "", `["token"]`},
		"null":                  {"auth/token/revoke", "", "null"},
		"other case":            {"auth/token/revoke", "", `{"Token":"hvs.x"}`},
		"nested":                {"auth/token/revoke", "", `{"data":{"token":"hvs.x"}}`},
		"broken JSON":           {"auth/token/revoke", "", `{"token":"hvs.x"`},
		"broken query":          {"auth/token/revoke", "token=%zz", ""},
		"another's parameter":   {"sys/leases/revoke", "", `{"token":"hvs.x","accessor":"a"}`},
		"self without a token":  {"auth/token/revoke-self", "", `{"token":"hvs.x"}`},
		"accessor as a token":   {"auth/token/revoke-accessor", "", `{"token":"hvs.x"}`},
		"remount of nothing":    {"sys/remount", "", `{"to":"aws"}`},
		"binary body":           {"sys/leases/revoke", "", "\x00\xff%"},
		"only a slash":          {"sys/leases/revoke/", "", ""},
		"only the slash's form": {"auth/token/revoke/", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			op := lease.Describe(http.MethodPost, "/v1/"+tc.path, "")
			if op.Kind != lease.Revocation {
				t.Fatalf("kind = %v, want a revocation", op.Kind)
			}
			if e, ok := op.Eviction(tc.query, []byte(tc.body), vault.Token{}); ok {
				t.Errorf("Eviction() = %+v, want nothing", e)
			}
		})
	}
}

func TestWhatOtherRequestsAre(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path string
		want         lease.Kind
	}{
		"read of credentials":            {"GET", "/v1/aws/creds/deploy", lease.Creation},
		"write of credentials":           {"POST", "/v1/pki/issue/web", lease.Creation},
		"in a namespace":                 {"GET", "/v1/ns1/aws/creds/deploy", lease.Creation},
		"login":                          {"POST", "/v1/auth/approle/login", lease.Creation},
		"login, PUT":                     {"PUT", "/v1/auth/approle/login", lease.Creation},
		"login in a namespace":           {"POST", "/v1/ns1/auth/approle/login", lease.Creation},
		"token creation":                 {"POST", "/v1/auth/token/create", lease.Creation},
		"token creation by role":         {"POST", "/v1/auth/token/create/web", lease.Creation},
		"orphan creation":                {"POST", "/v1/auth/token/create-orphan", lease.Creation},
		"creation in a namespace":        {"POST", "/v1/ns1/auth/token/create", lease.Creation},
		"secret below a word like sys":   {"GET", "/v1/secret/mysys/auth-x/a", lease.Creation},
		"lookup":                         {"GET", "/v1/auth/token/lookup-self", lease.Pass},
		"lookup, POST":                   {"POST", "/v1/auth/token/lookup", lease.Pass},
		"token role":                     {"POST", "/v1/auth/token/roles/web", lease.Pass},
		"health":                         {"GET", "/v1/sys/health", lease.Pass},
		"mounting":                       {"POST", "/v1/sys/mounts/aws", lease.Pass},
		"reading mounts":                 {"GET", "/v1/sys/mounts/aws", lease.Pass},
		"tuning":                         {"POST", "/v1/sys/mounts/aws/tune", lease.Pass},
		"enabling an auth method":        {"POST", "/v1/sys/auth/approle", lease.Pass},
		"unwrapping":                     {"POST", "/v1/sys/wrapping/unwrap", lease.Pass},
		"unwrapping in a namespace":      {"POST", "/v1/ns1/sys/wrapping/unwrap", lease.Pass},
		"lease lookup":                   {"PUT", "/v1/sys/leases/lookup", lease.Pass},
		"list":                           {"LIST", "/v1/aws/roles", lease.Pass},
		"delete":                         {"DELETE", "/v1/secret/a", lease.Pass},
		"patch":                          {"PATCH", "/v1/secret/data/a", lease.Pass},
		"head":                           {"HEAD", "/v1/aws/creds/deploy", lease.Pass},
		"lower case":                     {"get", "/v1/aws/creds/deploy", lease.Pass},
		"revocation by GET":              {"GET", "/v1/auth/token/revoke-self", lease.Pass},
		"revocation by DELETE":           {"DELETE", "/v1/sys/leases/revoke/a/b", lease.Pass},
		"renewal by PATCH":               {"PATCH", "/v1/sys/leases/renew", lease.Pass},
		"like a revocation":              {"POST", "/v1/auth/token/revoke-selfish", lease.Pass},
		"like a renewal":                 {"POST", "/v1/sys/leases/renewal", lease.Pass},
		"remount's state":                {"GET", "/v1/sys/remount/status/1", lease.Pass},
		"prefix without a prefix":        {"POST", "/v1/sys/leases/revoke-prefix/", lease.Pass},
		"unmounting nothing":             {"DELETE", "/v1/sys/mounts/", lease.Pass},
		"tidy":                           {"POST", "/v1/auth/token/tidy", lease.Pass},
		"not Vault's API":                {"POST", "/agent/v1/sys/leases/revoke", lease.Pass},
		"other version":                  {"POST", "/v2/sys/leases/revoke", lease.Pass},
		"no version":                     {"POST", "sys/leases/revoke", lease.Pass},
		"empty":                          {"POST", "", lease.Pass},
		"a word that ends like a prefix": {"POST", "/v1/mysys/leases/revoke", lease.Creation},
	} {
		t.Run(name, func(t *testing.T) {
			if op := lease.Describe(tc.method, tc.path, ""); op.Kind != tc.want {
				t.Errorf("Describe(%s %s) = %+v, want kind %v", tc.method, tc.path, op, tc.want)
			}
		})
	}
}

// A KV secret may be called auth/token/revoke (CCH-23). Only what is held tells such a mount from a namespace.
func TestAWriteThatLooksLikeARevocationEvictsNothing(t *testing.T) {
	for name, tc := range map[string]struct{ method, path, body string }{
		"token":            {"POST", "secret/auth/token/revoke", `{"token":"hvs.app"}`},
		"token by URL":     {"POST", "secret/auth/token/revoke/hvs.app", ""},
		"self":             {"POST", "secret/data/auth/token/revoke-self", `{"data":{}}`},
		"accessor":         {"PUT", "secret/auth/token/revoke-accessor", `{"accessor":"acc-child"}`},
		"orphaning":        {"POST", "secret/auth/token/revoke-orphan", `{"token":"hvs.app"}`},
		"lease":            {"POST", "secret/sys/leases/revoke", `{"lease_id":"aws/creds/a/x1"}`},
		"lease, by URL":    {"POST", "secret/sys/revoke/aws/creds/a/x1", ""},
		"prefix":           {"POST", "secret/sys/leases/revoke-prefix/aws", ""},
		"force":            {"POST", "secret/sys/leases/revoke-force/aws", ""},
		"unmount":          {"DELETE", "secret/sys/mounts/aws", ""},
		"its own mount":    {"DELETE", "aws/sys/mounts/creds", ""},
		"auth method":      {"DELETE", "secret/sys/auth/approle", ""},
		"remount":          {"POST", "secret/sys/remount", `{"from":"aws"}`},
		"namespace":        {"DELETE", "secret/sys/namespaces/ns1", ""},
		"mount named root": {"POST", "root/auth/token/revoke", `{"token":"hvs.app"}`},
		"deep":             {"POST", "a/b/c/auth/token/revoke", `{"token":"hvs.app"}`},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			x.Hold("", app, "acc-app", "", noon)
			mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), noon)
			mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.child", "acc-child", true, 3600), noon)
			mustKeep(t, x, "ns1/aws/creds/a", app, leaseAnswer("aws/creds/a/x1.ns1id", 3600), noon)

			op := lease.Describe(tc.method, "/v1/"+tc.path, "")
			e, _ := op.Eviction("", []byte(tc.body), app)
			if gone, lost := x.Evict(e); gone != 0 || lost != nil {
				t.Errorf("Evict(%+v) took %d entries, auto-auth tokens: %d; want nothing", e, gone, len(lost))
			}
			wantStats(t, x, 3, 2)
		})
	}
}

// In Vault a token or a lease can be revoked from any namespace.
func TestARevocationInAKnownNamespaceCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		path, header, body string
		entries, tokens    int
	}{
		"token, header":                  {"auth/token/revoke", "ns1", `{"token":"hvs.app"}`, 0, 0},
		"token, path":                    {"ns1/auth/token/revoke", "", `{"token":"hvs.app"}`, 0, 0},
		"self, path":                     {"ns1/auth/token/revoke-self", "", "", 0, 0},
		"lease, path":                    {"ns1/sys/leases/revoke", "", `{"lease_id":"aws/creds/a/x1.ns1id"}`, 1, 1},
		"prefix, path":                   {"ns1/sys/leases/revoke-prefix/aws", "", "", 1, 1},
		"prefix, root":                   {"sys/leases/revoke-prefix/aws", "", "", 1, 1},
		"header that nothing is held in": {"auth/token/revoke", "ns9", `{"token":"hvs.app"}`, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			x.Hold("", app, "", "", noon)
			mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), noon)
			mustKeep(t, x, "ns1/aws/creds/a", app, leaseAnswer("aws/creds/a/x1.ns1id", 3600), noon)

			e, ok := lease.Describe("POST", "/v1/"+tc.path, tc.header).Eviction("", []byte(tc.body), app)
			if !ok {
				t.Fatal("the revocation names nothing")
			}
			_, lost := x.Evict(e)
			wantStats(t, x, tc.entries, tc.tokens)
			if (len(lost) == 1) != (tc.tokens == 0) {
				t.Errorf("auto-auth token revoked: %t", len(lost) == 1)
			}
		})
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add("POST", "ns1/auth/token/revoke/hvs.x", "ns0")
	f.Add("PUT", "sys/leases/revoke-prefix/aws/creds/", "")
	f.Add("DELETE", "sys/mounts/aws", "root")
	f.Add("POST", "secret/data/sys/renew", "/a/b/")
	f.Add("GET", "//auth//token", "\xff")
	f.Fuzz(func(t *testing.T, method, rest, header string) {
		op := lease.Describe(method, "/v1/"+rest, header)
		lease.Describe(method, rest, header)
		if op.Kind != lease.Renewal && op.Kind != lease.Revocation {
			return
		}
		if !strings.HasPrefix(rest, "sys/") && !strings.HasPrefix(rest, "auth/") &&
			!strings.Contains(rest, "/sys/") && !strings.Contains(rest, "/auth/") {
			t.Errorf("%q has no segment sys or auth", rest)
		}
		if method != http.MethodPost && method != http.MethodPut && method != http.MethodDelete {
			t.Errorf("method %q cannot renew or revoke", method)
		}
		deeper := lease.Describe(method, "/v1/n/"+rest, header)
		outer := vault.CanonicalNamespace(header)
		inPath := strings.TrimPrefix(string(op.Namespace), string(outer))
		want := op
		want.Namespace, want.InPath = outer.Join(vault.Namespace("n/"+inPath)), true
		if deeper != want {
			t.Errorf("in namespace n/ it is %+v, want %+v", deeper, want)
		}
	})
}

func FuzzEviction(f *testing.F) {
	f.Add("auth/token/revoke", "", `{"token":"hvs.x"}`, "hvs.app")
	f.Add("auth/token/revoke-self", "a=%", "\x00", "")
	f.Add("sys/leases/revoke/a/b", "lease_id=x", "lease_id=y", "")
	f.Add("sys/remount", "", `{"from":"auth/x"}`, "")
	f.Add("sys/namespaces/ns1", "", "[]", "")
	f.Fuzz(func(t *testing.T, path, query, body, caller string) {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			op := lease.Describe(method, "/v1/"+path, "")
			if op.Kind != lease.Revocation {
				continue
			}
			e, ok := op.Eviction(query, []byte(body), vault.NewToken(caller))
			if ok != (e.Value != "") {
				t.Errorf("ok = %t for %+v", ok, e)
			}
			switch e.Scope {
			case lease.ScopeToken, lease.ScopeAccessor, lease.ScopeOrphaning, lease.ScopeLease, lease.ScopePrefix,
				lease.ScopeMount, lease.ScopeAuthMount, lease.ScopeNamespace:
			default:
				t.Errorf("no revocation reaches as far as %+v", e)
			}
			if op.Evicts == lease.ScopeSelf && e.Value != caller {
				t.Errorf("revoke-self of %q evicts %q", caller, e.Value)
			}
			if want := namedBy(op, query, body); want != "" && e.Value != want {
				t.Errorf("Eviction() = %+v, but Vault would read %q", e, want)
			}
		}
	})
}

// namedBy is what a well-formed revocation of a token or a lease names, read with the simplest of means.
func namedBy(op lease.Operation, query, body string) string {
	field := map[lease.Scope]string{lease.ScopeToken: "token", lease.ScopeLease: "lease_id", lease.ScopeAccessor: "accessor"}[op.Evicts]
	if field == "" {
		return ""
	}
	var fields map[string]any
	if json.Unmarshal([]byte(body), &fields) == nil {
		if s, ok := fields[field].(string); ok && s != "" {
			return s
		}
		return op.Value
	}
	if op.Value != "" || body != "" {
		return "" // a form, perhaps
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return values.Get(field)
}
