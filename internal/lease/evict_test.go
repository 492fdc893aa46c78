package lease_test

import (
	"slices"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// garden is an index with leases and logins in three namespaces, and the key of each by its name.
func garden(t *testing.T) (*lease.Index, map[string]lease.Key) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "acc-app", "", noon)
	keys := map[string]lease.Key{}
	for name, path := range map[string]string{
		"aws1": "aws/creds/x1", "aws2": "aws/creds2/x2", "aws": "aws/sts/x3", "aws-eu": "aws-eu/creds/x4", "db": "db/creds/ro/x5",
	} {
		request := path[:len(path)-len("/x1")]
		keys[name] = mustKeep(t, x, request, app, leaseAnswer(path, 3600), noon)
		keys["ns1 "+name] = mustKeep(t, x, "ns1/"+request, app, leaseAnswer(path+".id1", 3600), noon)
		keys["ns1/ns2 "+name] = mustKeep(t, x, "ns1/ns2/"+request, app, leaseAnswer(path+".id2", 3600), noon)
	}
	nobody := vault.Token{}
	keys["approle"] = mustKeep(t, x, "auth/approle/login", nobody, tokenAnswer("hvs.approle", "acc-approle", true, 3600), noon)
	keys["bob"] = mustKeep(t, x, "auth/userpass/login/bob", nobody, tokenAnswer("hvs.bob", "acc-bob", true, 3600), noon)
	keys["bobby"] = mustKeep(t, x, "auth/userpass/login/bobby", nobody, tokenAnswer("hvs.bobby", "acc-bobby", true, 3600), noon)
	keys["ns1 approle"] = mustKeep(t, x, "ns1/auth/approle/login", nobody, tokenAnswer("hvs.approle1", "acc-approle1", true, 3600), noon)
	keys["child"] = mustKeep(t, x, "auth/token/create", vault.NewToken("hvs.approle"), tokenAnswer("hvs.child", "acc-child", false, 3600), noon)
	keys["child's lease"] = mustKeep(t, x, "pki/issue/web", vault.NewToken("hvs.child"), leaseAnswer("pki/issue/web/x6", 3600), noon)
	return x, keys
}

func TestEvictTakesWhatVaultRevokes(t *testing.T) {
	inRoot := []string{"aws", "aws-eu", "aws1", "aws2", "db"}
	inNS1 := []string{"ns1 aws", "ns1 aws-eu", "ns1 aws1", "ns1 aws2", "ns1 db"}
	inNS2 := []string{"ns1/ns2 aws", "ns1/ns2 aws-eu", "ns1/ns2 aws1", "ns1/ns2 aws2", "ns1/ns2 db"}
	logins := []string{"approle", "bob", "bobby", "child", "child's lease", "ns1 approle"}
	all := slices.Concat(inRoot, inNS1, inNS2, logins)
	for name, tc := range map[string]struct {
		evict lease.Eviction
		gone  []string
		auto  bool
	}{
		"nothing":                        {lease.Eviction{}, nil, false},
		"token":                          {lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.child"}, []string{"child", "child's lease"}, false},
		"token with children":            {lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.approle"}, []string{"approle", "child", "child's lease"}, false},
		"auto-auth token":                {lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.app"}, slices.Concat(inRoot, inNS1, inNS2), true},
		"auto-auth token, by accessor":   {lease.Eviction{Scope: lease.ScopeAccessor, Value: "acc-app"}, slices.Concat(inRoot, inNS1, inNS2), true},
		"auto-auth token, cleared":       {lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.app", Clear: true}, slices.Concat(inRoot, inNS1, inNS2), false},
		"prefix of a token":              {lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.approl"}, nil, false},
		"unknown accessor":               {lease.Eviction{Scope: lease.ScopeAccessor, Value: "acc"}, nil, false},
		"accessor":                       {lease.Eviction{Scope: lease.ScopeAccessor, Value: "acc-bob"}, []string{"bob"}, false},
		"orphaning":                      {lease.Eviction{Scope: lease.ScopeOrphaning, Value: "hvs.approle"}, []string{"approle"}, false},
		"orphaning the child":            {lease.Eviction{Scope: lease.ScopeOrphaning, Value: "hvs.child"}, []string{"child", "child's lease"}, false},
		"lease":                          {lease.Eviction{Scope: lease.ScopeLease, Value: "aws/creds/x1"}, []string{"aws1"}, false},
		"lease, in a namespace":          {lease.Eviction{Scope: lease.ScopeLease, Value: "aws/creds/x1.id1"}, []string{"ns1 aws1"}, false},
		"beginning of a lease":           {lease.Eviction{Scope: lease.ScopeLease, Value: "aws/creds/x"}, nil, false},
		"prefix":                         {lease.Eviction{Scope: lease.ScopePrefix, Value: "aws/creds"}, []string{"aws1"}, false},
		"prefix, slashes":                {lease.Eviction{Scope: lease.ScopePrefix, Value: "/aws/creds/"}, []string{"aws1"}, false},
		"prefix of a mount":              {lease.Eviction{Scope: lease.ScopePrefix, Value: "aws"}, []string{"aws", "aws1", "aws2"}, false},
		"prefix that is a lease":         {lease.Eviction{Scope: lease.ScopePrefix, Value: "aws/creds/x1"}, []string{"aws1"}, false},
		"prefix in a namespace":          {lease.Eviction{Scope: lease.ScopePrefix, Namespace: "ns1/", Value: "aws"}, []string{"ns1 aws", "ns1 aws1", "ns1 aws2"}, false},
		"prefix of a login":              {lease.Eviction{Scope: lease.ScopePrefix, Value: "auth/approle/login"}, []string{"approle", "child", "child's lease"}, false},
		"prefix of an auth mount":        {lease.Eviction{Scope: lease.ScopePrefix, Value: "auth/userpass"}, []string{"bob", "bobby"}, false},
		"prefix of created tokens":       {lease.Eviction{Scope: lease.ScopePrefix, Value: "auth/token/create"}, []string{"child", "child's lease"}, false},
		"mount":                          {lease.Eviction{Scope: lease.ScopeMount, Value: "aws"}, []string{"aws", "aws1", "aws2"}, false},
		"mount in a namespace":           {lease.Eviction{Scope: lease.ScopeMount, Namespace: "ns1/ns2/", Value: "db"}, []string{"ns1/ns2 db"}, false},
		"mount below, by full path":      {lease.Eviction{Scope: lease.ScopeMount, Value: "ns1/aws"}, []string{"ns1 aws", "ns1 aws1", "ns1 aws2"}, false},
		"auth mount below, by full path": {lease.Eviction{Scope: lease.ScopeMount, Value: "ns1/auth/approle"}, []string{"ns1 approle"}, false},
		"auth mount":                     {lease.Eviction{Scope: lease.ScopeAuthMount, Value: "approle"}, []string{"approle", "child", "child's lease"}, false},
		"auth mount in a namespace":      {lease.Eviction{Scope: lease.ScopeAuthMount, Namespace: "ns1/", Value: "approle/"}, []string{"ns1 approle"}, false},
		"auth mount, half a name":        {lease.Eviction{Scope: lease.ScopeAuthMount, Value: "app"}, nil, false},
		"namespace":                      {lease.Eviction{Scope: lease.ScopeNamespace, Namespace: "ns1/", Value: "ns1"}, slices.Concat(inNS1, inNS2, []string{"ns1 approle"}), false},
		"inner namespace":                {lease.Eviction{Scope: lease.ScopeNamespace, Namespace: "ns1/ns2/", Value: "ns2"}, inNS2, false},
		"unknown namespace":              {lease.Eviction{Scope: lease.ScopeNamespace, Namespace: "ns/", Value: "ns"}, nil, false},
		"all, cleared":                   {lease.Eviction{Scope: lease.ScopeAll, Clear: true}, all, false},
		"all":                            {lease.Eviction{Scope: lease.ScopeAll}, all, true},
		"path that begins some":          {lease.Eviction{Scope: lease.ScopePath, Value: "aws/cre", Clear: true}, []string{"aws1", "aws2"}, false},
		"path that is one":               {lease.Eviction{Scope: lease.ScopePath, Value: "aws/creds", Clear: true}, []string{"aws1"}, false},
		"path with a slash":              {lease.Eviction{Scope: lease.ScopePath, Value: "aws/", Clear: true}, []string{"aws", "aws1", "aws2"}, false},
		"path in a namespace":            {lease.Eviction{Scope: lease.ScopePath, Value: "ns1/aws", Clear: true}, []string{"ns1 aws", "ns1 aws-eu", "ns1 aws1", "ns1 aws2"}, false},
		"path of a login":                {lease.Eviction{Scope: lease.ScopePath, Value: "auth/approle/login", Clear: true}, []string{"approle", "child", "child's lease"}, false},
		"path that begins another":       {lease.Eviction{Scope: lease.ScopePath, Value: "auth/userpass/login/bob", Clear: true}, []string{"bob"}, false},
		"every path":                     {lease.Eviction{Scope: lease.ScopePath, Value: "", Clear: true}, all, false},
		"root path":                      {lease.Eviction{Scope: lease.ScopePath, Value: "/", Clear: true}, all, false},
		"no path":                        {lease.Eviction{Scope: lease.ScopePath, Value: "pki/x", Clear: true}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			x, keys := garden(t)
			gone, lost := x.Evict(tc.evict)
			if gone != len(tc.gone) || (len(lost) == 1) != tc.auto {
				t.Errorf("Evict() = %d, %d tokens; want %d, %t", gone, len(lost), len(tc.gone), tc.auto)
			}
			var missing []string
			for name, key := range keys {
				if x.Get(&key, noon) == nil {
					missing = append(missing, name)
				}
			}
			slices.Sort(missing)
			if want := slices.Sorted(slices.Values(tc.gone)); !slices.Equal(missing, want) {
				t.Errorf("gone are %q, want %q", missing, want)
			}
			entries, _, _ := x.Stats()
			if want := len(keys) - len(tc.gone); entries != want {
				t.Errorf("%d entries left, want %d", entries, want)
			}
			// A path is another matter: once its own entry is gone it is no more than a prefix.
			if again, _ := x.Evict(tc.evict); again != 0 && tc.evict.Scope != lease.ScopePath {
				t.Errorf("the same again takes %d more", again)
			}
			x.Evict(lease.Eviction{Scope: lease.ScopeAll})
			wantStats(t, x, 0, 0)
			for name, key := range keys {
				if x.Get(&key, noon) != nil {
					t.Errorf("%s outlives all", name)
				}
			}
		})
	}
}

func TestChildrenOfAnOrphanedTokenLiveOn(t *testing.T) {
	x, keys := garden(t)
	x.Evict(lease.Eviction{Scope: lease.ScopeOrphaning, Value: "hvs.approle"})
	if gone, _ := x.Evict(lease.Eviction{Scope: lease.ScopeOrphaning, Value: "hvs.approle"}); gone != 0 {
		t.Errorf("orphaning twice takes %d", gone)
	}
	mustKeep(t, x, "pki/issue/web", vault.NewToken("hvs.child"), leaseAnswer("pki/issue/web/x7", 3600), noon)
	if gone, _ := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.child"}); gone != 3 {
		t.Errorf("the child goes with %d entries, want itself and two leases", gone)
	}
	if key := keys["bob"]; x.Get(&key, noon) == nil {
		t.Error("a stranger went as well")
	}
}

// After a clear the current auto-auth token is still registered (CCH-6).
func TestAfterAClearLeasesAreKeptAgain(t *testing.T) {
	for name, e := range map[string]lease.Eviction{
		"all":      {Scope: lease.ScopeAll, Clear: true},
		"token":    {Scope: lease.ScopeToken, Value: "hvs.app", Clear: true},
		"accessor": {Scope: lease.ScopeAccessor, Value: "acc-app", Clear: true},
		"path":     {Scope: lease.ScopePath, Value: "auth/approle/login", Clear: true},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			key := mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.app", "acc-app", true, 3600), noon)
			x.Hold("", app, "acc-app", "", noon) // the auto-auth token may have been cached as a login before
			mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), noon)

			if gone, lost := x.Evict(e); gone != 2 || lost != nil {
				t.Errorf("Evict() = %d, %d tokens; want the login and the lease, and the token still registered", gone, len(lost))
			}
			wantStats(t, x, 0, 1)
			if x.Get(&key, noon) != nil {
				t.Error("the login is still answered from memory")
			}
			mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x2", 3600), noon)
		})
	}
}

func TestTheAutoAuthTokenGoesWithItsNamespace(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "acc-app", "ns1/", noon)
	mustKeep(t, x, "ns1/aws/creds/a", app, leaseAnswer("aws/creds/a/x1.id1", 3600), noon)
	if gone, lost := x.Evict(lease.Eviction{Scope: lease.ScopeNamespace, Namespace: "ns1/", Value: "ns1"}); gone != 1 || len(lost) != 1 || !lost[0].Equal(app) {
		t.Errorf("Evict() = %d, %d tokens; want the lease and the token", gone, len(lost))
	}
	wantStats(t, x, 0, 0)
}

func TestHoldFollowsTheAutoAuthToken(t *testing.T) {
	next := vault.NewToken("hvs.next")
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "acc-app", "", noon)
	mustKeep(t, x, "aws/creds/a", app, leaseAnswer("aws/creds/a/x1", 3600), noon)
	x.Hold("", app, "acc-app", "", noon)
	wantStats(t, x, 1, 1)

	x.Hold("", next, "acc-next", "", noon.AddDate(1, 0, 0)) // the old one still has a year
	wantStats(t, x, 1, 2)
	mustKeep(t, x, "aws/creds/b", app, leaseAnswer("aws/creds/b/x1", 3600), noon)
	if _, lost := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.app"}); lost != nil {
		t.Error("a superseded token is taken for the current one")
	}
	wantStats(t, x, 0, 1)

	mustKeep(t, x, "aws/creds/a", next, leaseAnswer("aws/creds/a/x2", 3600), noon)
	x.Hold("", app, "acc-app", "", noon.AddDate(-2026, 0, 0)) // any moment but the zero one
	wantStats(t, x, 1, 2)
	x.Lose(app)
	wantStats(t, x, 1, 1)
	x.Lose(app)
	x.Lose(vault.Token{})
	x.Lose(next)
	wantStats(t, x, 0, 0)
}

// The auto-auth token's login is no entry, and yet what is revoked by its path takes the token.
func TestTheAutoAuthTokenGoesWithItsLogin(t *testing.T) {
	for name, e := range map[string]lease.Eviction{
		"prefix":         {Scope: lease.ScopePrefix, Value: "auth/approle"},
		"prefix, login":  {Scope: lease.ScopePrefix, Value: "auth/approle/login/"},
		"auth mount":     {Scope: lease.ScopeAuthMount, Value: "approle"},
		"another prefix": {Scope: lease.ScopePrefix, Value: "auth/app"},
		"another mount":  {Scope: lease.ScopeAuthMount, Value: "userpass"},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{AutoAuthPaths: map[vault.AutoAuthName]string{"": "auth/approle/login/"}})
			now := time.Now()
			x.Hold("", vault.NewToken("hvs.auto"), "acc", "", time.Time{})
			key := mustKeep(t, x, "db/creds/app", vault.NewToken("hvs.auto"), leaseAnswer("db/creds/app/1", 600), now)
			meant := name != "another prefix" && name != "another mount"
			if _, lost := x.Evict(e); (len(lost) == 1) != meant {
				t.Errorf("the auto-auth token went: %t, want %t", len(lost) == 1, meant)
			}
			if gone := x.Get(&key, now) == nil; gone != meant {
				t.Errorf("its lease went: %t, want %t", gone, meant)
			}
		})
	}
}

// A clear forgets answers, not who may have leases kept: the next lease of a cleared login, and of its child, is kept.
func TestAfterAClearLoginsStayManaged(t *testing.T) {
	for _, e := range []lease.Eviction{
		{Scope: lease.ScopeAll, Clear: true},
		{Scope: lease.ScopeToken, Value: "hvs.login", Clear: true},
		{Scope: lease.ScopeAccessor, Value: "acc", Clear: true},
		{Scope: lease.ScopePath, Value: "auth/approle/login", Clear: true},
	} {
		x := lease.NewIndex(lease.Options{})
		now := time.Now()
		login, child := vault.NewToken("hvs.login"), vault.NewToken("hvs.child")
		mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "acc", true, 600), now)
		mustKeep(t, x, "auth/token/create", login, tokenAnswer("hvs.child", "acc2", false, 600), now)
		mustKeep(t, x, "db/creds/app", child, leaseAnswer("db/creds/app/1", 600), now)
		if gone, _ := x.Evict(e); gone != 3 {
			t.Errorf("%v: %d entries left, want 3", e.Scope, gone)
		}
		wantStats(t, x, 0, 2)
		for i, caller := range []vault.Token{login, child} {
			key := mustKeep(t, x, "db/creds/app", caller, leaseAnswer("db/creds/app/2"+string(rune('a'+i)), 600), now)
			if x.Get(&key, now) == nil {
				t.Errorf("%v: the next lease is not kept", e.Scope)
			}
		}
		if gone, _ := x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.login"}); gone != 2 { // revoked at last: the child goes along
			t.Errorf("%v: a revocation took %d entries, want 2", e.Scope, gone)
		}
		wantStats(t, x, 0, 0)
	}
}
