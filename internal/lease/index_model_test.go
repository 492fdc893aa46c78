package lease_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// Pools are small, so that names meet again: a token that was revoked is issued anew, two answers have one key.
const (
	poolTokens = 5
	poolLeases = 3
	poolKeys   = 6
)

var (
	poolNamespaces = []vault.Namespace{"", "ns1/", "ns1/ns2/"}
	poolPaths      = []string{"aws/creds", "aws/creds/a", "aws/creds2", "db/creds/ro"}
	poolNames      = []vault.AutoAuthName{"", "b", "c"}
	poolLogins     = []string{"auth/approle/login", "auth/approle2/login", "auth/userpass/login/bob", "auth/token/create"}
)

// held is one thing in the model. Everything else about it is found by searching.
type held struct {
	id     string // lease id, or token
	token  bool
	parent string // the token that it hangs on
	ns     vault.Namespace
	path   string // within the namespace; "" of a token that is not cached
	origin string // of a token: its path, after its answer was cleared
	key    lease.Key
	shown  bool // hits of its key answer with it
}

// model is a lease.Index without indexes.
type model struct {
	x      *lease.Index
	all    map[string]*held              // tokens and leases by id
	auto   map[vault.AutoAuthName]string // by login: its current token
	epoch  uint64
	spaces map[vault.Namespace]bool
}

func TestIndexAgreesWithAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := lease.NewIndex(lease.Options{})
		if rapid.Bool().Draw(t, "with a journal") {
			x = journaled(newMemory())
		}
		m := &model{x: x, all: map[string]*held{}, auto: map[vault.AutoAuthName]string{}, spaces: map[vault.Namespace]bool{}}
		t.Repeat(map[string]func(*rapid.T){
			"keep a lease": m.keepLease,
			"keep a token": m.keepToken,
			"hold":         m.hold,
			"release":      m.release,
			"lose":         m.lose,
			"evict":        m.evict,
			"":             m.compare,
		})
		m.x.Evict(lease.Eviction{Scope: lease.ScopeAll})
		if entries, bytes, tokens := m.x.Stats(); entries != 0 || bytes != 0 || tokens != 0 {
			t.Fatalf("emptied, it holds %d entries, %d bytes, %d tokens", entries, bytes, tokens)
		}
	})
}

func drawToken(t *rapid.T, label string) string {
	return fmt.Sprintf("hvs.%d", rapid.IntRange(0, poolTokens-1).Draw(t, label))
}

func accessorOf(token string) string { return "acc-" + token }

func drawKey(t *rapid.T) lease.Key {
	return keyOf(fmt.Sprint(rapid.IntRange(0, poolKeys-1).Draw(t, "key")))
}

func drawLease(t *rapid.T) (id string, ns vault.Namespace, path string) {
	ns = rapid.SampledFrom(poolNamespaces).Draw(t, "namespace")
	path = rapid.SampledFrom(poolPaths).Draw(t, "path")
	id = fmt.Sprintf("%s/%d", path, rapid.IntRange(0, poolLeases-1).Draw(t, "lease"))
	if ns != "" {
		id += "." + strings.ReplaceAll(string(ns), "/", "") // as Vault marks leases of a namespace
	}
	return id, ns, path
}

func (m *model) keepLease(t *rapid.T) {
	id, ns, path := drawLease(t)
	m.keep(t, &held{id: id, ns: ns, path: path}, leaseAnswer(id, 3600), m.all[id] != nil, false)
}

func (m *model) keepToken(t *rapid.T) {
	id, orphan := drawToken(t, "new token"), rapid.Bool().Draw(t, "orphan")
	h := &held{id: id, token: true, ns: rapid.SampledFrom(poolNamespaces).Draw(t, "namespace"), path: rapid.SampledFrom(poolLogins).Draw(t, "path")}
	m.keep(t, h, tokenAnswer(id, accessorOf(id), orphan, 3600), m.all[id] != nil, orphan)
}

func (m *model) keep(t *rapid.T, h *held, body string, known, orphan bool) {
	caller := drawToken(t, "caller")
	o := offerOf(m.x, string(h.ns)+h.path, vault.NewToken(caller), body, noon)
	o.Key = drawKey(t)
	if rapid.Bool().Draw(t, "namespace in header") {
		o.Namespace = h.ns
	}
	late := rapid.IntRange(0, 9).Draw(t, "late") == 0
	if late {
		o.Epoch--
	}
	want := lease.KeepLease
	if h.token {
		want = lease.KeepToken
	}
	switch {
	case m.all[caller] == nil && !orphan:
		want = lease.UnmanagedToken
	case late:
		want = lease.Evicted
	case known:
		want = lease.KnownAlready
	}
	if _, got := m.x.Keep(o); got != want {
		t.Fatalf("Keep(%s by %s) = %q, want %q", h.id, caller, got, want)
	}
	if !want.Kept() {
		return
	}
	h.key, h.shown = o.Key, m.shown(o.Key) == nil
	if !orphan {
		h.parent = caller
	}
	m.all[h.id], m.spaces[h.ns] = h, true
}

// shown is what hits of a key answer with.
func (m *model) shown(key lease.Key) *held {
	for _, h := range m.all {
		if h.shown && h.key == key {
			return h
		}
	}
	return nil
}

func (m *model) hold(t *rapid.T) {
	id, ns := drawToken(t, "token"), rapid.SampledFrom(poolNamespaces).Draw(t, "namespace")
	livesOn := rapid.Bool().Draw(t, "the previous lives on")
	ends := time.Time{}
	if livesOn {
		ends = noon.Add(time.Hour)
	}
	name := rapid.SampledFrom(poolNames).Draw(t, "name")
	m.x.Hold(name, vault.NewToken(id), vault.Accessor(accessorOf(id)), ns, ends)
	old := m.auto[name]
	if id == old {
		return
	}
	if delete(m.auto, name); !livesOn && !m.isAuto(old) {
		m.remove(old)
	}
	if m.all[id] == nil {
		m.all[id], m.spaces[ns] = &held{id: id, token: true, ns: ns}, true
	}
	m.auto[name] = id
}

// isAuto tells whether a token is a login's current one.
func (m *model) isAuto(id string) bool {
	for _, token := range m.auto {
		if token == id {
			return true
		}
	}
	return false
}

func (m *model) release(t *rapid.T) {
	name, id := rapid.SampledFrom(poolNames).Draw(t, "name"), drawToken(t, "token")
	m.x.Release(name, vault.NewToken(id))
	if m.auto[name] != id {
		return
	}
	if delete(m.auto, name); !m.isAuto(id) {
		m.remove(id)
	}
}

func (m *model) lose(t *rapid.T) {
	id := drawToken(t, "token")
	m.x.Lose(vault.NewToken(id))
	m.remove(id)
}

// remove takes a thing and all that hangs on it.
func (m *model) remove(id string) {
	if m.all[id] == nil {
		return
	}
	delete(m.all, id)
	for _, h := range m.all {
		if h.parent == id {
			m.remove(h.id)
		}
	}
	for name, token := range m.auto {
		if token == id {
			delete(m.auto, name)
		}
	}
}

// clear takes a lease, or of a token and all below it the answers and the leases: the tokens themselves stay known.
func (m *model) clear(id string) {
	top := m.all[id]
	if !top.token {
		m.remove(id)
		return
	}
	for _, h := range m.all {
		if h.parent == id {
			m.clear(h.id)
		}
	}
	if top.path != "" {
		top.origin = top.path
	}
	top.path, top.shown = "", false
}

var poolScopes = []lease.Scope{
	lease.ScopeNone, lease.ScopeToken, lease.ScopeSelf, lease.ScopeAccessor, lease.ScopeOrphaning, lease.ScopeLease, lease.ScopePrefix,
	lease.ScopeMount, lease.ScopeAuthMount, lease.ScopeNamespace, lease.ScopePath, lease.ScopeAll,
}

func (m *model) evict(t *rapid.T) {
	e := lease.Eviction{
		Scope:     rapid.SampledFrom(poolScopes).Draw(t, "scope"),
		Namespace: rapid.SampledFrom([]vault.Namespace{"", "ns1/", "ns1/ns2/", "secret/"}).Draw(t, "of namespace"),
		InPath:    rapid.IntRange(0, 4).Draw(t, "in path") == 0,
		Clear:     rapid.Bool().Draw(t, "clear"),
		Value:     drawToken(t, "value"),
	}
	switch e.Scope {
	case lease.ScopeAccessor:
		e.Value = accessorOf(e.Value)
	case lease.ScopeLease:
		e.Value, _, _ = drawLease(t)
	case lease.ScopePrefix:
		e.Value = rapid.SampledFrom([]string{"aws", "aws/creds", "aws/creds/a/", "aws/creds/1", "aws/cr", "auth/approle", "auth/approle/login"}).Draw(t, "prefix")
	case lease.ScopeMount:
		e.Value = rapid.SampledFrom([]string{"aws", "db/", "d", "ns1/aws", "auth/approle"}).Draw(t, "mount")
	case lease.ScopeAuthMount:
		e.Value = rapid.SampledFrom([]string{"approle", "userpass/", "user"}).Draw(t, "auth mount")
	case lease.ScopePath:
		e.Value = rapid.SampledFrom([]string{"", "/", "aws", "aws/", "aws/creds", "ns1", "ns1/aws/creds", "auth/approle"}).Draw(t, "path")
	}
	before, lost := m.entries(), map[string]bool{}
	for _, id := range m.auto {
		lost[id] = true
	}
	m.apply(e)
	for _, id := range m.auto {
		delete(lost, id)
	}
	gone, tokens := m.x.Evict(e)
	if gone != before-m.entries() || len(tokens) != len(lost) {
		t.Fatalf("Evict(%+v) = %d and %d auto-auth tokens; want %d and %d", e, gone, len(tokens), before-m.entries(), len(lost))
	}
	for _, token := range tokens {
		if !lost[token.Reveal()] {
			t.Fatalf("Evict(%+v) tells of the loss of %s", e, token.Reveal())
		}
	}
}

func (m *model) apply(e lease.Eviction) {
	switch e.Scope {
	case lease.ScopePrefix, lease.ScopeMount, lease.ScopeAuthMount, lease.ScopeNamespace, lease.ScopePath, lease.ScopeAll:
		m.epoch++
	}
	if e.InPath && !m.spaces[e.Namespace] {
		return
	}
	take := m.remove
	if e.Clear {
		take = m.clear
	}
	switch e.Scope {
	case lease.ScopeToken, lease.ScopeAccessor:
		if id := strings.TrimPrefix(e.Value, "acc-"); m.all[id] != nil {
			take(id)
		}
	case lease.ScopeOrphaning:
		for _, h := range m.all {
			if h.parent == e.Value && h.token {
				h.parent = ""
			}
		}
		m.remove(e.Value)
	case lease.ScopeLease:
		m.remove(e.Value)
	default:
		meant := m.meant(e)
		for id := range meant {
			if m.all[id] != nil {
				take(id)
			}
		}
	}
}

// meant are the things that a wide eviction names by themselves.
func (m *model) meant(e lease.Eviction) map[string]bool {
	exact := strings.HasSuffix(e.Value, "/")
	for _, h := range m.all {
		exact = exact || (h.path != "" && string(h.ns)+h.path == e.Value)
	}
	meant := map[string]bool{}
	for id, h := range m.all {
		login := cmp.Or(h.path, h.origin)
		full, origin := string(h.ns)+h.path, login+"/" // of a lease id the random part is of no matter
		value := strings.Trim(e.Value, "/") + "/"
		var takes bool
		switch {
		case e.Scope == lease.ScopeAll:
			takes = true
		case e.Scope == lease.ScopeNamespace:
			takes = strings.HasPrefix(string(h.ns), string(e.Namespace))
		case login == "", e.Scope == lease.ScopePath && h.path == "":
		case e.Scope == lease.ScopePrefix:
			takes = h.ns == e.Namespace && (strings.HasPrefix(origin, value) || id == e.Value && !h.token)
		case e.Scope == lease.ScopeMount:
			takes = strings.HasPrefix(string(h.ns)+origin, string(e.Namespace)+value)
		case e.Scope == lease.ScopeAuthMount:
			takes = h.ns == e.Namespace && strings.HasPrefix(origin, "auth/"+value)
		case e.Scope == lease.ScopePath && exact && e.Value != "/":
			takes = strings.HasPrefix(full+"/", value)
		case e.Scope == lease.ScopePath:
			takes = strings.HasPrefix(full, strings.TrimPrefix(e.Value, "/"))
		}
		if takes {
			meant[id] = true
		}
	}
	return meant
}

// entries counts what is cached: leases, and tokens that are answers.
func (m *model) entries() (n int) {
	for _, h := range m.all {
		if h.path != "" {
			n++
		}
	}
	return n
}

func (m *model) compare(t *rapid.T) {
	tokens := 0
	for _, h := range m.all {
		if h.token {
			tokens++
		}
	}
	gotEntries, bytes, gotTokens := m.x.Stats()
	if gotEntries != m.entries() || gotTokens != tokens || (bytes == 0) != (gotTokens == 0) || bytes < 0 {
		t.Fatalf("Stats() = %d entries, %d bytes, %d tokens; want %d entries, %d tokens", gotEntries, bytes, gotTokens, m.entries(), tokens)
	}
	if m.x.Epoch() != m.epoch {
		t.Fatalf("Epoch() = %d, want %d", m.x.Epoch(), m.epoch)
	}
	for i := range poolKeys {
		key := keyOf(fmt.Sprint(i))
		e, want := m.x.Get(&key, noon), m.shown(key)
		switch {
		case (e == nil) != (want == nil):
			t.Fatalf("Get(%d) = %v, want %+v", i, e, want)
		case e != nil && !strings.Contains(string(e.Answer().Body), fmt.Sprintf("%q", want.id)):
			t.Fatalf("Get(%d) answers %s, want that of %s", i, e.Answer().Body, want.id)
		}
	}
}
