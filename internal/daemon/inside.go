package daemon

import (
	"errors"
	"fmt"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/cache"
	"leasehold/internal/config"
	"leasehold/internal/lease"
	"leasehold/internal/router"
	"leasehold/internal/vault"
)

// inside tells what goes on inside, for status, leases and explain.
type inside struct{ *parts }

// openListener is a listener as the last reload has left it.
type openListener struct {
	url      string
	listener config.Listener
	rights   bool
	judge    *router.Judge
}

var kinds = map[lease.Kind]string{lease.Pass: "pass", lease.Creation: "creation", lease.Renewal: "renewal", lease.Revocation: "revocation"}

// Leases lists what is held.
func (p inside) Leases(q api.LeaseQuery, full bool) (api.LeasePage, error) {
	query := lease.Query{
		Mount: q.Mount, Path: q.Path, Tokens: q.Kind == "token", Leases: q.Kind == "lease", Accessor: q.Accessor, State: lease.State(q.State),
		Sort: lease.Sort(q.Sort), Descending: q.Order == "desc", Limit: q.Limit, After: q.After, Show: router.Loggable, Hasher: p.hasher,
	}
	if q.Namespace != "" {
		ns := vault.CanonicalNamespace(q.Namespace)
		query.Namespace = &ns
	}
	found, err := p.index.List(query)
	if err != nil {
		return api.LeasePage{}, err
	}
	page := api.LeasePage{Total: found.Total, Next: found.Next, Leases: make([]api.Lease, 0, len(found.Views))}
	now := time.Now()
	for _, v := range found.Views {
		one := api.Lease{
			ID: v.ID, Kind: "lease", Namespace: string(v.Namespace), Path: v.Path, Mount: v.Mount, AccessorHash: p.hasher.Of(string(v.Accessor)),
			ParentHash: p.hasher.Of(string(v.Parent)), Created: seconds(v.Created), Until: seconds(v.Until), TTL: int64(max(v.Until.Sub(now), 0) / time.Second),
			Renewal: known(v.Renewal), Renewable: v.Renewable, State: string(v.State), Hits: v.Hits, Size: v.Size,
		}
		if v.Token {
			one.Kind = "token"
		}
		if full {
			one.Accessor = string(v.Accessor)
		}
		page.Leases = append(page.Leases, one)
	}
	return page, nil
}

// Explain tells what would become of a request, listener by listener, and then token by token.
func (p inside) Explain(q router.Question) (api.Explanation, error) {
	if q.Caller.HasIDs {
		q.Caller.Groups, q.Caller.NoGroups = groupsOf(q.Caller.UID)
	}
	e := api.Explanation{Kind: "own", Listeners: []api.ListenerView{}, Cache: []api.CacheView{}}
	for _, l := range *p.open.Load() {
		view := l.judge.Judge(q)
		view.Address = l.url
		e.Listeners = append(e.Listeners, view)
	}
	if q.Own() { // never for Vault
		return e, nil
	}
	select {
	case <-p.opened:
	default:
		return e, sealedFor{}
	}
	add := func(name string, id vault.Identity) {
		told := p.cache.Explain(q.Onward, id)
		e.Kind = kinds[told.Kind]
		if e.Rule = ""; told.Rule != nil {
			if e.Rule = told.Rule.Path; e.Rule == "" {
				e.Rule = "*"
			}
		}
		e.Cache = append(e.Cache, p.cacheView(name, told))
	}
	add("none", vault.Identity{})
	for _, one := range p.logins {
		t := one.manager.Token()
		if t.IsZero() {
			e.Cache = append(e.Cache, api.CacheView{Token: one.name.Stanza(), Outcome: cache.Refused,
				Why: "there is no token yet: requests that are lent it wait for the login, and get 503 after 5 s"})
			continue
		}
		add(one.name.Stanza(), vault.Identity{Token: t, Injected: true, AutoAuth: one.name})
	}
	return e, nil
}

func (p inside) cacheView(name string, told cache.Explanation) api.CacheView {
	v := api.CacheView{Token: name, Outcome: told.Outcome, Why: told.Why, Kept: told.Kept}
	if told.Entry != nil {
		v.Lease = told.Entry.Name(p.hasher)
		v.TTL = int64(max(told.Entry.Remaining(time.Now()), 0) / time.Second)
	}
	return v
}

// reloaded is how the last reload ended.
type reloaded struct {
	api.Reload
	waiting []string
}

// note notes how a reload ended. One that was refused leaves what waits for a restart as it was.
func (p *parts) note(err error, found []config.Change) {
	now := reloaded{Reload: api.Reload{At: seconds(time.Now()), OK: err == nil}}
	if last := p.reload.Load(); err != nil && last != nil {
		now.waiting = last.waiting
	}
	if err != nil {
		now.Error = err.Error()
		if problems, ok := errors.AsType[*config.Problems](err); ok && len(problems.Errors) > 0 {
			now.Error = fmt.Sprintf("%v", problems.Errors[0])
		}
	}
	for _, c := range found {
		if !isLive(c.Key) {
			now.waiting = append(now.waiting, c.Path)
		}
	}
	p.reload.Store(&now)
}

// seconds is a time as it is told: in UTC, and no finer.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// known is nil for no time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = seconds(t)
	return &t
}
