package lease

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"leasehold/internal/vault"
)

// shards spreads hits over locks; a power of two.
const shards = 64

// DefaultMaxBytes bounds what the index holds when Options leave it open: 512 MiB.
const DefaultMaxBytes = 512 << 20

// Options tune an Index; the zero value is production.
type Options struct {
	MaxBytes   int64            // everything counted; 0 means DefaultMaxBytes, less than 0 no limit
	MaxEntries int              // 0 means no limit
	OnFull     func(first bool) // called, outside of locks, for each lease that is not kept for want of room; first since there was some. May be nil
	RenewAt    float64          // share of a life after which it is renewed; 0 means DefaultRenewAt
	Rules      []Rule           // the first that matches a path holds; the last should match every path. None: one with the defaults

	// AutoAuthPaths are those of the auto-auth logins, such as "auth/approle/login/": what is revoked by one takes its token. Unknown ones are left out.
	AutoAuthPaths map[vault.AutoAuthName]string

	Journal journal      // where entries outlive the process; nil keeps them in memory only
	Log     *slog.Logger // told when the journal fails; needed with one
}

// Index owns all entries: by key, by lease id, by token, by accessor, and the tree of tokens. Removal is synchronous and takes the
// whole subtree. It makes no network call and is safe for concurrent use; a hit takes one shard's read lock.
type Index struct {
	opt   Options                // what Tune may change is guarded by mu
	rules atomic.Pointer[[]Rule] // the last matches everything

	mu         sync.Mutex // guards everything below but the shards, which it is taken before
	tokens     map[vault.TokenID]*node
	byAccessor map[vault.Accessor]*node
	byLease    map[vault.LeaseID]*Entry
	namespaces map[vault.Namespace]bool     // those in which something was ever kept
	auto       map[vault.AutoAuthName]*node // the current tokens of auto-auth; one may have several names
	alarms     alarms
	header     *Header // the last one stored: Vault's answers nearly all have the same
	bytes      int64
	entries    int
	full       bool                          // has been, since there was room for another tenth
	renewing   map[*Entry]context.CancelFunc // renewals under way: what is removed needs none
	ready      alarms                        // renewals that are due, by the end of what they renew
	behind     int64                         // Unix nanoseconds: since when the clock has had renewals waiting, 0 when it has none

	ledger  ledger // what is not in the journal yet
	surveys surveys

	looks sync.Mutex // one look at all entries at a time; taken before mu

	epoch atomic.Uint64 // counts evictions that may reach answers still under way
	wake  chan struct{} // nudges the clock: an earlier alarm was set
	shard [shards]shard
}

type shard struct {
	mu    sync.RWMutex
	byKey map[Key]*Entry
}

// NewIndex returns an empty index.
func NewIndex(opt Options) *Index {
	x := &Index{
		opt:        opt,
		renewing:   map[*Entry]context.CancelFunc{},
		tokens:     map[vault.TokenID]*node{},
		byAccessor: map[vault.Accessor]*node{},
		byLease:    map[vault.LeaseID]*Entry{},
		namespaces: map[vault.Namespace]bool{},
		auto:       map[vault.AutoAuthName]*node{},
		ledger:     ledger{changes: map[recordID]change{}, doubts: map[recordID]*doubt{}, turn: make(chan struct{}, 1), behind: make(chan struct{}, 1)},
		wake:       make(chan struct{}, 1),
	}
	x.Tune(opt)
	for i := range x.shard {
		x.shard[i].byKey = map[Key]*Entry{}
	}
	return x
}

// Tune puts the limits, RenewAt and the rules of opt to use, and nothing else of it. What is held stays, even when it is more than a new limit allows:
// leases are never forgotten, so that only growth stops. It keeps its rule, and a renewal that is planned its time; the next one follows RenewAt.
func (x *Index) Tune(opt Options) {
	switch {
	case opt.MaxBytes == 0:
		opt.MaxBytes = DefaultMaxBytes
	case opt.MaxBytes < 0:
		opt.MaxBytes = math.MaxInt64
	}
	if opt.MaxEntries <= 0 {
		opt.MaxEntries = math.MaxInt
	}
	if opt.RenewAt == 0 {
		opt.RenewAt = DefaultRenewAt
	}
	rules := slices.Clone(opt.Rules)
	if n := len(rules); n == 0 || rules[n-1].Path != "" {
		rules = append(rules, Rule{ReplaceBefore: DefaultReplaceBefore})
	}
	x.rules.Store(&rules)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.opt.MaxBytes, x.opt.MaxEntries, x.opt.RenewAt = opt.MaxBytes, opt.MaxEntries, opt.RenewAt
	x.full = false // said again when it is so under the new limits
}

func (x *Index) shardOf(k *Key) *shard { return &x.shard[binary.LittleEndian.Uint64(k[:8])%shards] }

// Get returns the living entry of a key, or nil; one that is due to be replaced as well, since it is still good. It does not allocate.
func (x *Index) Get(k *Key, now time.Time) *Entry {
	s := x.shardOf(k)
	s.mu.RLock()
	e := s.byKey[*k]
	s.mu.RUnlock()
	if e == nil || e.Remaining(now) < time.Second { // below one second clients would read "0": does not expire
		return nil
	}
	return e
}

// Epoch is taken before a request is sent and given to Keep: an eviction in between makes Keep refuse what it may have ended.
func (x *Index) Epoch() uint64 { return x.epoch.Load() }

// Offer is an answer of Vault that may be kept, with the request that led to it.
type Offer struct {
	Key       Key
	Caller    vault.Token     // the token that the request carried; zero for a login
	Namespace vault.Namespace // the header's
	Path      string          // as FullPath spells it
	Epoch     uint64
	Answer    Answer
	RawHeader map[string][]string
	Sent      time.Time // when the request left: the life of a lease is counted from here, to be on the safe side
	Rule      *Rule     // as RuleOf told; nil means the last one
	Request   *Request  // for rules with RefreshAhead; nil else
	Replace   bool      // the entry that has the key now gives it up
}

// Keep enters an answer when the decision table allows it. The entry is complete and visible when Keep returns.
func (x *Index) Keep(o Offer) (*Entry, Verdict) {
	var s *Secret
	if o.Rule == nil {
		rules := *x.rules.Load()
		o.Rule = &rules[len(rules)-1]
	}
	if !o.Rule.NonRenewable && !MayHold(o.Answer.Body) {
		return nil, NotRenewable
	}
	s, _ = ParseSecret(o.Answer.Body)
	x.mu.Lock()
	e, v := x.keep(&o, s)
	if v.Kept() {
		x.save(e)
	}
	first := v == Full && !x.full
	x.full = x.full || v == Full
	x.mu.Unlock()
	if x.opt.Journal != nil && v.Kept() {
		x.flush() // a client never holds a lease that a crash right after would forget, nor does a hit tell of one
		x.mu.Lock()
		replaced := x.publish(e, o.Sent, o.Replace)
		x.mu.Unlock()
		if replaced {
			x.flush()
		}
	}
	if v == Full && x.opt.OnFull != nil {
		x.opt.OnFull(first)
	}
	return e, v
}

func (x *Index) keep(o *Offer, s *Secret) (*Entry, Verdict) {
	owner := x.tokens[o.Caller.ID()]
	v := classify(s, owner != nil, o.Rule.NonRenewable)
	switch {
	case !v.Kept():
		return nil, v
	case x.epoch.Load() != o.Epoch:
		return nil, Evicted
	case v == KeepLease && x.byLease[s.LeaseID] != nil:
		return nil, KnownAlready
	case v == KeepToken && x.tokens[s.Auth.Token.ID()] != nil:
		return nil, KnownAlready
	}
	e := &Entry{key: o.Key, path: o.Path, namespace: namespaceOf(o, s), owner: owner, rule: o.Rule}
	answer := o.Answer
	answer.Body = bytes.Clone(answer.Body) // what was read has room to spare, which would stay for the life of the lease
	answer.Header = x.shareHeader(o.RawHeader)
	if v == KeepLease {
		e.leaseID, e.life, answer.digits = s.LeaseID, s.TTL, s.digits
		e.last = !s.Renewable
		if o.Rule.RefreshAhead {
			e.request = o.Request
		}
	} else {
		e.life, answer.digits = s.Auth.TTL, s.Auth.digits
	}
	e.answer = answer
	e.size = e.measure()
	if !x.hasRoom(e, s) {
		return nil, Full
	}
	if v == KeepLease {
		x.hangLease(e)
	} else {
		x.hangToken(e, s.Auth)
	}
	x.namespaces[e.namespace] = true
	x.insert(e, o.Sent)
	if x.opt.Journal == nil {
		x.publish(e, o.Sent, o.Replace)
	}
	return e, v
}

// hasRoom tells whether e, and the token that comes with it, stay within the bounds. Nothing that is held makes room before its end.
func (x *Index) hasRoom(e *Entry, s *Secret) bool {
	size := e.size
	if s.Auth != nil && s.LeaseID == "" {
		size += (&node{token: s.Auth.Token, accessor: s.Auth.Accessor, origin: e.origin()}).size()
	}
	return x.bytes+size <= x.opt.MaxBytes && x.entries < x.opt.MaxEntries
}

func (x *Index) shareHeader(h map[string][]string) *Header {
	if x.header == nil || !x.header.same(h) {
		x.header = newHeader(h)
	}
	return x.header
}

// FullPath is a request's path below the root namespace: the header's namespace and the URL path without /v1/. A request with its namespace in
// the header and one with it in the path have the same.
func FullPath(header vault.Namespace, urlPath string) string {
	path := strings.TrimPrefix(strings.TrimPrefix(urlPath, "/"), "v1/")
	if header == "" {
		return path
	}
	return string(header) + path
}

// namespaceOf returns the full namespace of what was created. What the path alone cannot tell the lease id can: it begins with the request's
// path as seen inside the namespace. A token's path begins with auth/ there.
func namespaceOf(o *Offer, s *Secret) vault.Namespace {
	inside := s.LeaseID.Path()
	if s.LeaseID == "" {
		_, inside = splitNamespace(o.Path)
	}
	prefix, ok := strings.CutSuffix(strings.TrimSuffix(o.Path, "/"), strings.TrimSuffix(inside, "/"))
	if !ok || inside == "" || (prefix != "" && !strings.HasSuffix(prefix, "/")) {
		return o.Namespace
	}
	return vault.Namespace(prefix)
}

func (x *Index) hangLease(e *Entry) {
	x.byLease[e.leaseID] = e
	if e.owner.leases == nil {
		e.owner.leases = map[*Entry]struct{}{}
	}
	e.owner.leases[e] = struct{}{}
}

func (x *Index) hangToken(e *Entry, a *Auth) {
	n := &node{id: a.Token.ID(), token: a.Token, accessor: a.Accessor, namespace: e.namespace, entry: e, origin: e.origin()}
	if a.Orphan {
		e.owner = nil
	}
	if e.owner != nil {
		n.parent = e.owner
		n.parent.adopt(n)
	}
	e.token = n
	x.add(n)
}

func (n *node) adopt(child *node) {
	if n.children == nil {
		n.children = map[*node]struct{}{}
	}
	n.children[child] = struct{}{}
}

// insert counts a hung entry and sets its alarm.
func (x *Index) insert(e *Entry, sent time.Time) {
	x.bytes += e.size
	x.entries++
	e.alarm.entry = e
	e.setEnd(sent.Add(e.life))
	x.plan(e, sent, e.life)
}

// setEnd notes when an entry ends: with the tokens above it at the latest.
func (e *Entry) setEnd(end time.Time) {
	at := end.UnixNano()
	for n := e.owner; n != nil; n = n.parent {
		if n.ends != 0 {
			at = min(at, n.ends)
		}
	}
	e.end.Store(at)
}

// plan sets the alarm of a life that was granted at from: to be renewed; to be replaced when that is not possible; to end when it was replaced.
func (x *Index) plan(e *Entry, from time.Time, life time.Duration) {
	end := time.Unix(0, e.end.Load())
	switch {
	case e.replaced:
		x.setAlarm(&e.alarm, end)
	case e.last:
		x.setAlarm(&e.alarm, end.Add(-time.Duration(e.rule.ReplaceBefore*float64(e.life))))
	default:
		e.due.Store(false)
		x.setAlarm(&e.alarm, x.renewAt(from, life))
	}
}

// publish makes an entry visible to hits, unless it was removed meanwhile. When its key is taken (two answers for one request, side by side) it is
// kept alive for the client that holds it, and hits go on answering with the first; unless that was due to be replaced, or is to be.
func (x *Index) publish(e *Entry, sent time.Time, replace bool) (replaced bool) {
	if e.end.Load() == 0 {
		return false
	}
	s := x.shardOf(&e.key)
	s.mu.Lock()
	old := s.byKey[e.key]
	takes := old == nil || replace || old.Due() || old.Remaining(sent) < time.Second
	if takes {
		s.byKey[e.key] = e
	}
	s.mu.Unlock()
	if old == nil || !takes {
		return false
	}
	old.replaced = true
	x.plan(old, sent, old.life)
	x.save(old)
	return true
}

// Stats tells how much is held: entries, their bytes as counted against the limit, and tokens in the tree.
func (x *Index) Stats() (entries int, size int64, tokens int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.entries, x.bytes, len(x.tokens)
}
