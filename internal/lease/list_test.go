package lease_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

var hasher = vault.NewHasher()

// ask completes a query.
func ask(q lease.Query) lease.Query {
	q.Show, q.Hasher = func(p string) string { return p }, hasher
	if q.Limit == 0 {
		q.Limit = 1000
	}
	return q
}

func list(t testing.TB, x *lease.Index, q lease.Query) lease.Page {
	t.Helper()
	p, err := x.List(ask(q))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func paths(p lease.Page) (all []string) {
	for _, v := range p.Views {
		all = append(all, v.Path)
	}
	return all
}

// several is an index with leases of two tokens, one of which is kept and hangs on the other, in two namespaces.
func several(t testing.TB) *lease.Index {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "accessor.app", "", time.Time{})
	child := vault.NewToken("hvs.child")
	mustKeep(t, x, "auth/token/create", app, tokenAnswer("hvs.child", "accessor.child", false, 7200), noon)
	mustKeep(t, x, "database/creds/a", app, leaseAnswer("database/creds/a/secretid1", 3600), noon)
	mustKeep(t, x, "database/creds/b", child, leaseAnswer("database/creds/b/secretid2", 1800), noon.Add(time.Second))
	mustKeep(t, x, "database2/creds/a", child, leaseAnswer("database2/creds/a/secretid3", 900), noon.Add(2*time.Second))
	o := offerOf(x, "team/database/creds/a", app, leaseAnswer("database/creds/a/secretid4", 600), noon)
	if e, v := x.Keep(o); !v.Kept() {
		t.Fatal(v)
	} else {
		e.Touch()
		e.Touch()
	}
	return x
}

func TestListFilters(t *testing.T) {
	x := several(t)
	root, team := vault.Namespace(""), vault.Namespace("team/")
	all := []string{"auth/token/create", "database/creds/a", "database/creds/b", "database2/creds/a", "team/database/creds/a"}
	for name, c := range map[string]struct {
		q    lease.Query
		want []string
	}{
		"nothing":              {lease.Query{}, all},
		"leases":               {lease.Query{Leases: true}, all[1:]},
		"tokens":               {lease.Query{Tokens: true}, all[:1]},
		"a mount":              {lease.Query{Mount: "database"}, []string{all[1], all[2], all[4]}},
		"a mount and more":     {lease.Query{Mount: "database/creds/a"}, []string{all[1], all[4]}},
		"half a segment":       {lease.Query{Mount: "data"}, nil},
		"a path":               {lease.Query{Path: "database/creds/a"}, all[1:2]},
		"a pattern":            {lease.Query{Path: "+/creds/*"}, all[1:4]},
		"the root":             {lease.Query{Namespace: &root}, all[:4]},
		"a namespace":          {lease.Query{Namespace: &team}, all[4:]},
		"an accessor":          {lease.Query{Accessor: "accessor.child"}, []string{all[0], all[2], all[3]}},
		"its hash":             {lease.Query{Accessor: hasher.Of("accessor.app")}, []string{all[1], all[4]}},
		"another's":            {lease.Query{Accessor: "accessor"}, nil},
		"a state":              {lease.Query{State: lease.Fresh}, all},
		"another state":        {lease.Query{State: lease.Failing}, nil},
		"several at once":      {lease.Query{Leases: true, Mount: "database", Accessor: "accessor.app", Namespace: &root}, all[1:2]},
		"a mount of a login's": {lease.Query{Mount: "auth/token"}, all[:1]},
	} {
		t.Run(name, func(t *testing.T) {
			c.q.Sort = lease.ByPath
			p := list(t, x, c.q)
			if got := paths(p); !slices.Equal(got, c.want) || p.Total != len(c.want) || p.Next != "" || p.Views == nil {
				t.Errorf("got %q, %d in all, next %q; want %q", got, p.Total, p.Next, c.want)
			}
		})
	}
}

func TestListOrders(t *testing.T) {
	x := several(t)
	for _, c := range []struct {
		sort lease.Sort
		want string // first letters, in rising order
	}{
		{lease.ByEnd, "team/database/creds/a database2/creds/a database/creds/b database/creds/a auth/token/create"},
		{"", "team/database/creds/a database2/creds/a database/creds/b database/creds/a auth/token/create"},
		{lease.ByPath, "auth/token/create database/creds/a database/creds/b database2/creds/a team/database/creds/a"},
	} {
		up := paths(list(t, x, lease.Query{Sort: c.sort}))
		if got := strings.Join(up, " "); got != c.want {
			t.Errorf("by %q: %s; want %s", c.sort, got, c.want)
		}
		down := paths(list(t, x, lease.Query{Sort: c.sort, Descending: true}))
		if slices.Reverse(down); !slices.Equal(up, down) {
			t.Errorf("by %q, descending: %q", c.sort, down)
		}
	}
	for sort, want := range map[lease.Sort]string{lease.ByHits: "team/database/creds/a", lease.ByCreated: "database2/creds/a", lease.ByRenewal: "auth/token/create"} {
		if got := paths(list(t, x, lease.Query{Sort: sort, Descending: true, Limit: 1})); len(got) != 1 || got[0] != want {
			t.Errorf("the last by %q = %q, want %q", sort, got, want)
		}
	}
}

// A view tells what there is to tell, and none of its texts is a token or a lease id.
func TestViews(t *testing.T) {
	x := several(t)
	views := list(t, x, lease.Query{Sort: lease.ByPath}).Views
	token, kept := views[0], views[1]
	if !token.Token || token.Accessor != "accessor.child" || token.Parent != "accessor.app" || token.Mount != "auth/token" || !token.Renewable {
		t.Errorf("the token is %+v", token)
	}
	if kept.Token || kept.Accessor != "accessor.app" || kept.Parent != "" || kept.Mount != "database" || !kept.Created.Equal(noon) ||
		!kept.Until.Equal(noon.Add(time.Hour)) || !kept.Renewal.After(noon) || !kept.Renewal.Before(kept.Until) || kept.State != lease.Fresh || kept.Size < 500 {
		t.Errorf("the lease is %+v", kept)
	}
	if views[4].Hits != 2 || views[4].Namespace != "team/" {
		t.Errorf("the lease that was hit is %+v", views[4])
	}
	for _, secret := range []string{"secretid", "hvs."} {
		if strings.Contains(fmt.Sprintf("%+v", views), secret) {
			t.Errorf("%s is in %+v", secret, views)
		}
	}
	shown := ask(lease.Query{})
	shown.Show = func(string) string { return "hidden" }
	if p, err := x.List(shown); err != nil || p.Views[0].Path != "hidden" || p.Views[0].Mount != "hidden" {
		t.Errorf("paths are not shown as asked: %+v, %v", p, err)
	}
}

// Pages of any size, in every order, are the list, also where many entries are equal in what they are ordered by.
func TestPagesAreTheList(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "", "", time.Time{})
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		path := fmt.Sprintf("aws/creds/%d", i)
		o := offerOf(x, path, app, leaseAnswer(path+"/x", 600+60*r.IntN(4)), noon.Add(time.Duration(r.IntN(3))*time.Minute))
		e, v := x.Keep(o)
		if !v.Kept() {
			t.Fatal(v)
		}
		for range r.IntN(4) {
			e.Touch()
		}
	}
	for _, sort := range []lease.Sort{lease.ByEnd, lease.ByHits, lease.ByPath, lease.ByCreated, lease.ByRenewal} {
		for _, descending := range []bool{false, true} {
			q := lease.Query{Sort: sort, Descending: descending}
			whole := list(t, x, q)
			for _, limit := range []int{1, 7, 299, 300, 301} {
				q.Limit, q.After = limit, ""
				var got []lease.View
				for {
					p := list(t, x, q)
					if got = append(got, p.Views...); p.Total != 300 || len(p.Views) > limit {
						t.Fatalf("a page of %d has %d of %d", limit, len(p.Views), p.Total)
					}
					if q.After = p.Next; q.After == "" {
						break
					}
				}
				if !slices.Equal(got, whole.Views) {
					t.Errorf("by %s, descending %v: pages of %d are not the list", sort, descending, limit)
				}
			}
		}
	}
}

// The place of a page does not depend on the entry that it ended with.
func TestAPageFollowsOneThatIsGone(t *testing.T) {
	x := several(t)
	q := lease.Query{Sort: lease.ByPath, Limit: 2}
	first := list(t, x, q)
	x.Evict(lease.Eviction{Scope: lease.ScopePath, Value: first.Views[1].Path})
	q.After = first.Next
	if got := paths(list(t, x, q)); !slices.Equal(got, []string{"database/creds/b", "database2/creds/a"}) {
		t.Errorf("the next page is %q", got)
	}
}

func TestAfterOfAnotherOrder(t *testing.T) {
	x := several(t)
	next := list(t, x, lease.Query{Sort: lease.ByEnd, Limit: 1}).Next
	for _, after := range []string{next, "x", "!", "aGl0cyA", "aGl0cyB4IHkgeg"} {
		if _, err := x.List(ask(lease.Query{Sort: lease.ByHits, After: after})); !errors.Is(err, lease.ErrAfter) {
			t.Errorf("after %q = %v", after, err)
		}
	}
}

func FuzzAfter(f *testing.F) {
	x := several(f)
	f.Add(list(f, x, lease.Query{Limit: 1}).Next)
	f.Add("ZXhwaXJ5IDEgMiAz")
	f.Fuzz(func(t *testing.T, after string) {
		if p, err := x.List(ask(lease.Query{After: after, Limit: 2})); err == nil && (p.Total != 5 || len(p.Views) > 2) {
			t.Errorf("after %q: %+v", after, p)
		}
	})
}

// Whoever lists does not get in the way of those who change what is listed.
func TestListWhileEverythingChanges(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "", "", time.Time{})
	now := time.Now()
	stop := make(chan struct{})
	var done sync.WaitGroup
	for w := range 3 {
		done.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				path := fmt.Sprintf("aws/creds/%d-%d", w, i%200)
				x.Keep(offerOf(x, path, app, leaseAnswer(fmt.Sprintf("%s/%d", path, i), 3600), now))
				x.Evict(lease.Eviction{Scope: lease.ScopePath, Value: fmt.Sprintf("aws/creds/%d-%d", w, (i+100)%200)})
			}
		})
	}
	for range 200 {
		p := list(t, x, lease.Query{Sort: lease.ByHits, Limit: 10})
		if len(p.Views) > 10 {
			t.Errorf("%d on a page of 10", len(p.Views))
		}
		x.Survey(now)
	}
	close(stop)
	done.Wait()
}

// BenchmarkList lists a page of 100,000 leases, while hits go on: how many of them waited longer than a millisecond is part of the report.
func BenchmarkList(b *testing.B) {
	now := time.Now()
	x, all := filled(b, 100_000, now)
	for _, sort := range []lease.Sort{lease.ByEnd, lease.ByPath} {
		b.Run(string(sort), func(b *testing.B) {
			for b.Loop() {
				list(b, x, lease.Query{Sort: sort, Limit: 100})
			}
		})
	}
	b.Run("a hit meanwhile", func(b *testing.B) {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					list(b, x, lease.Query{Limit: 100})
				}
			}
		}()
		for i := 0; b.Loop(); i++ {
			if x.Get(&all[i%len(all)].Key, now) == nil {
				b.Fatal("no hit")
			}
		}
		close(stop)
		<-stopped
	})
}
