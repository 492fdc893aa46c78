package lease_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// Each case is a row of the decision table: what Vault answered, whom the request's token belongs to, and what becomes of it.
func TestDecisionTable(t *testing.T) {
	stranger, nobody := vault.NewToken("hvs.stranger"), vault.Token{}
	batch := `{"auth":{"client_token":"hvb.x","accessor":"","lease_duration":3600,"renewable":false,"token_type":"batch","orphan":true},"data":{"a":true}}`
	for name, tc := range map[string]struct {
		caller  vault.Token
		body    string
		want    lease.Verdict
		entries int // beside the lease held already
		tokens  int // beside the auto-auth token
	}{
		"lease of the auto-auth token":  {app, leaseAnswer("aws/creds/a/x1", 3600), lease.KeepLease, 1, 0},
		"lease of a stranger's token":   {stranger, leaseAnswer("aws/creds/a/x1", 3600), lease.UnmanagedToken, 0, 0},
		"lease without a token":         {nobody, leaseAnswer("aws/creds/a/x1", 3600), lease.UnmanagedToken, 0, 0},
		"lease that cannot be renewed":  {app, `{"lease_id":"pki/issue/a/1","renewable":false,"lease_duration":60,"data":{"x":true}}`, lease.NotRenewable, 0, 0},
		"lease without an end":          {app, leaseAnswer("aws/creds/a/x1", 0), lease.NoEnd, 0, 0},
		"lease held already":            {app, leaseAnswer("aws/creds/held/x0", 3600), lease.KnownAlready, 0, 0},
		"login":                         {nobody, tokenAnswer("hvs.new", "acc", true, 3600), lease.KeepToken, 1, 1},
		"login with a stranger's token": {stranger, tokenAnswer("hvs.new", "acc", true, 3600), lease.KeepToken, 1, 1},
		"login without an accessor":     {nobody, tokenAnswer("hvs.new", "", true, 3600), lease.KeepToken, 1, 1},
		"child of the auto-auth token":  {app, tokenAnswer("hvs.new", "acc", false, 3600), lease.KeepToken, 1, 1},
		"orphan of the auto-auth token": {app, tokenAnswer("hvs.new", "acc", true, 3600), lease.KeepToken, 1, 1},
		"child of a stranger's token":   {stranger, tokenAnswer("hvs.new", "acc", false, 3600), lease.UnmanagedToken, 0, 0},
		"login that is no orphan":       {nobody, tokenAnswer("hvs.new", "acc", false, 3600), lease.UnmanagedToken, 0, 0},
		"token held already":            {nobody, tokenAnswer("hvs.app", "acc", true, 3600), lease.KnownAlready, 0, 0},
		"token without an end":          {nobody, tokenAnswer("hvs.new", "acc", true, 0), lease.NoEnd, 0, 0},
		"empty token":                   {nobody, tokenAnswer("", "acc", true, 3600), lease.NotASecret, 0, 0},
		"batch token":                   {app, batch, lease.NotRenewable, 0, 0},
		"waits for a second factor":     {nobody, strings.Replace(tokenAnswer("", "", true, 3600), `"mfa_requirement":null`, `"mfa_requirement":{"mfa_request_id":"1"}`, 1), lease.SecondFactor, 0, 0},
		"wrapped lease":                 {app, strings.Replace(leaseAnswer("aws/creds/a/x1", 3600), `"wrap_info":null`, `"wrap_info":{"token":"hvs.w","ttl":60}`, 1), lease.Wrapped, 0, 0},
		"wrapped login":                 {app, `{"renewable":true,"wrap_info":{"token":"hvs.w"},"auth":null}`, lease.Wrapped, 0, 0},
		"KV":                            {app, `{"lease_id":"","renewable":false,"lease_duration":2764800,"data":{"a":"b"}}`, lease.NotRenewable, 0, 0},
		"KV with a field renewable":     {app, `{"lease_id":"","renewable":false,"lease_duration":60,"data":{"renewable":"true"}}`, lease.NotRenewable, 0, 0},
		"KV that says it is renewable":  {app, `{"lease_id":"","renewable":false,"lease_duration":60,"data":{"renewable":true}}`, lease.NotRenewable, 0, 0},
		"renewable, but neither":        {app, `{"lease_id":"","renewable":true,"lease_duration":60}`, lease.NotRenewable, 0, 0},
		"array":                         {app, `[{"renewable":true}]`, lease.NotASecret, 0, 0},
		"wrong types":                   {app, `{"lease_id":"a/b","renewable":true,"lease_duration":"60"}`, lease.NotASecret, 0, 0},
		"no JSON":                       {app, `"renewable" true`, lease.NotASecret, 0, 0},
		"nothing":                       {app, "", lease.NotRenewable, 0, 0},
		"lease of one second":           {app, leaseAnswer("aws/creds/a/x1", 1), lease.KeepLease, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			x.Hold("", app, "acc-app", "", noon)
			mustKeep(t, x, "aws/creds/held", app, leaseAnswer("aws/creds/held/x0", 3600), noon)

			o := offerOf(x, "auth/or/lease", tc.caller, tc.body, noon)
			e, v := x.Keep(o)
			if v != tc.want || (e != nil) != v.Kept() {
				t.Errorf("Keep() = %v, %q; want %q", e, v, tc.want)
			}
			if got := x.Get(&o.Key, noon); got != e {
				t.Errorf("Get() = %p, Keep returned %p", got, e)
			}
			wantStats(t, x, 1+tc.entries, 1+tc.tokens)
		})
	}
}

func TestWhatIsManagedSpreads(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	login, child := vault.NewToken("hvs.login"), vault.NewToken("hvs.child")
	mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc-login", true, 3600), noon)
	mustKeep(t, x, "auth/token/create", login, tokenAnswer("hvs.child", "acc-child", false, 3600), noon)
	mustKeep(t, x, "aws/creds/a", child, leaseAnswer("aws/creds/a/x1", 3600), noon)
	wantStats(t, x, 3, 2)

	if gone, lost := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.login"}); gone != 3 || lost != nil {
		t.Errorf("Evict() = %d, %d tokens; want the login, its child and the child's lease", gone, len(lost))
	}
	wantStats(t, x, 0, 0)
	if _, v := x.Keep(offerOf(x, "aws/creds/a", child, leaseAnswer("aws/creds/a/x2", 3600), noon)); v != lease.UnmanagedToken {
		t.Errorf("a lease of a revoked token is %q", v)
	}
}

// An answer under way while something is revoked by prefix, mount or namespace may be of what was revoked.
func TestAnEvictionInBetweenRefusesTheAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		evict lease.Eviction
		want  lease.Verdict
	}{
		"prefix":       {lease.Eviction{Scope: lease.ScopePrefix, Value: "aws"}, lease.Evicted},
		"mount":        {lease.Eviction{Scope: lease.ScopeMount, Value: "aws"}, lease.Evicted},
		"auth mount":   {lease.Eviction{Scope: lease.ScopeAuthMount, Value: "approle"}, lease.Evicted},
		"namespace":    {lease.Eviction{Scope: lease.ScopeNamespace, Namespace: "ns1/", Value: "ns1"}, lease.Evicted},
		"path":         {lease.Eviction{Scope: lease.ScopePath, Value: "aws", Clear: true}, lease.Evicted},
		"all":          {lease.Eviction{Scope: lease.ScopeAll, Clear: true}, lease.Evicted},
		"first answer": {lease.Eviction{Scope: lease.ScopePrefix, Namespace: "ns1/", InPath: true, Value: "aws"}, lease.Evicted},
		"lease":        {lease.Eviction{Scope: lease.ScopeLease, Value: "aws/creds/a/x9"}, lease.KeepLease},
		"other token":  {lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.other"}, lease.KeepLease},
		"own token":    {lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.app"}, lease.UnmanagedToken},
		"own accessor": {lease.Eviction{Scope: lease.ScopeAccessor, Value: "acc-app"}, lease.UnmanagedToken},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			x.Hold("", app, "acc-app", "", noon)
			o := offerOf(x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), noon)
			x.Evict(tc.evict)
			if _, v := x.Keep(o); v != tc.want {
				t.Errorf("Keep() = %q, want %q", v, tc.want)
			}
		})
	}
}

func TestRequestsSideBySide(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "", "", noon)
	first := offerOf(x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), noon)
	second := offerOf(x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x2", 3600), noon)
	kept, _ := x.Keep(first)
	if e, v := x.Keep(second); !v.Kept() || e == kept {
		t.Fatalf("Keep() of the second = %p, %q; its client holds it, so it is to live", e, v)
	}
	if got := x.Get(&first.Key, noon); got != kept {
		t.Error("hits do not answer with the first")
	}
	wantStats(t, x, 2, 1)

	x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "aws/creds/a/x2"})
	if got := x.Get(&first.Key, noon); got != kept {
		t.Error("the second took the first with it")
	}
	third := offerOf(x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x3", 3600), noon.Add(time.Hour))
	successor, _ := x.Keep(third)
	if got := x.Get(&first.Key, noon.Add(time.Hour)); got != successor {
		t.Error("what has ended is not replaced")
	}
	x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "aws/creds/a/x1"})
	if got := x.Get(&first.Key, noon.Add(time.Hour)); got != successor {
		t.Error("what had ended took its successor with it")
	}
}

func TestAHitEndsASecondBeforeTheLease(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "", "", noon)
	key := mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 60), noon)
	for after, want := range map[time.Duration]bool{0: true, 59 * time.Second: true, 59*time.Second + 1: false, time.Minute: false, time.Hour: false} {
		if got := x.Get(&key, noon.Add(after)); (got != nil) != want {
			t.Errorf("after %v there is an entry: %t, want %t", after, got != nil, want)
		}
	}
}

func TestAFullIndexSaysSoOnce(t *testing.T) {
	calls, firsts := 0, 0
	x := lease.NewIndex(lease.Options{MaxBytes: 2500, OnFull: func(first bool) {
		if calls++; first {
			firsts++
		}
	}})
	x.Hold("", app, "", "", noon)
	mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 60), noon)
	mustKeep(t, x, "aws/creds/b", app, leaseAnswer("aws/creds/b/x1", 60), noon)
	for range 3 {
		if _, v := x.Keep(offerOf(x, "aws/creds/c", app, leaseAnswer("aws/creds/c/x1", 60), noon)); v != lease.Full {
			t.Errorf("Keep() = %q, want %q", v, lease.Full)
		}
	}
	if calls != 3 || firsts != 1 {
		t.Errorf("told %d times that the cache is full, %d times as the first, want 3 and 1", calls, firsts)
	}
	wantStats(t, x, 2, 1)
	x.Evict(lease.Eviction{Scope: lease.ScopeLease, Value: "aws/creds/a/x1"})
	mustKeep(t, x, "aws/creds/c", app, leaseAnswer("aws/creds/c/x1", 60), noon)
}

func TestHeadersAreSharedAndFreeOfTheTransfer(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "", "", noon)
	keep := func(id string, h http.Header) *lease.Header {
		o := offerOf(x, "aws/creds/"+id, app, leaseAnswer("aws/creds/"+id+"/x1", 60), noon)
		o.RawHeader = h
		e, _ := x.Keep(o)
		return e.Answer().Header
	}
	a := keep("a", http.Header{"Content-Type": {"application/json"}, "Date": {"now"}, "Content-Length": {"7"}, "Connection": {"close"}, "X-Cache": {"MISS"}, "Transfer-Encoding": {"chunked"}})
	if len(a.Fields) != 1 || a.Fields[0].Name != "Content-Type" || a.Fields[0].Values[0] != "application/json" {
		t.Errorf("kept %+v", a.Fields)
	}
	if b := keep("b", http.Header{"Content-Type": {"application/json"}, "Date": {"later"}}); b != a {
		t.Error("the same header is kept twice")
	}
	if c := keep("c", http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}); len(c.Fields) != 2 {
		t.Errorf("kept %+v, want both fields", c.Fields)
	}
	if d := keep("d", http.Header{"Content-Type": {"application/json", "x"}}); d == a || len(d.Fields[0].Values) != 2 {
		t.Errorf("a header with more values is taken for the same: %+v", d.Fields)
	}
	if e := keep("e", http.Header{"Content-Type": {"text/json"}}); e.Fields[0].Values[0] != "text/json" {
		t.Errorf("another value is taken for the same: %+v", e.Fields)
	}
}

func TestFullPath(t *testing.T) {
	for name, tc := range map[string]struct {
		header vault.Namespace
		path   string
		want   string
	}{
		"root":            {"", "/v1/aws/creds/a", "aws/creds/a"},
		"header":          {"ns1/", "/v1/aws/creds/a", "ns1/aws/creds/a"},
		"path":            {"", "/v1/ns1/aws/creds/a", "ns1/aws/creds/a"},
		"both":            {"ns1/", "/v1/ns2/aws/creds/a", "ns1/ns2/aws/creds/a"},
		"without version": {"", "aws/creds/a", "aws/creds/a"},
		"trailing slash":  {"", "/v1/aws/", "aws/"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lease.FullPath(tc.header, tc.path); got != tc.want {
				t.Errorf("FullPath(%q, %q) = %q, want %q", tc.header, tc.path, got, tc.want)
			}
		})
	}
}
