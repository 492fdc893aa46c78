package vaulttest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// RootToken is valid from the start and does not expire.
const RootToken = "hvs.root"

// AppRole is the one role that auth/approle/login knows.
type AppRole struct {
	RoleID, SecretID string
	TTL, MaxTTL      time.Duration // of the tokens
}

// state is what Vault remembers. It is guarded by Server.mu.
type state struct {
	serial int // numbers tokens, leases and passwords
	role   AppRole
	tokens map[string]*token // by token
	leases map[string]*lease // by lease id
	kv     map[string]*secret
}

// span is the life of a token or lease: what one renewal gives, the present end, and the end that no renewal passes.
type span struct {
	ttl       time.Duration
	end, max  time.Time // zero: none
	renewable bool
}

type token struct {
	span
	id, accessor, parent string
}

type lease struct {
	span
	id, token string
}

type secret struct {
	version int
	data    map[string]any
}

func newState() state {
	return state{
		role:   AppRole{RoleID: "role", SecretID: "secret", TTL: time.Hour, MaxTTL: 24 * time.Hour},
		tokens: map[string]*token{RootToken: {id: RootToken, accessor: "accessor.root"}},
		leases: map[string]*lease{},
		kv:     map[string]*secret{},
	}
}

func newSpan(ttl, maxTTL time.Duration, renewable bool) span {
	now := time.Now()
	s := span{ttl: ttl, renewable: renewable, max: now.Add(maxTTL)}
	s.renew(0)
	return s
}

// renew gives increment, or the ttl when that is 0, bounded by the longest life.
func (s *span) renew(increment time.Duration) {
	s.end = time.Now().Add(cmp.Or(increment, s.ttl))
	if s.end.After(s.max) {
		s.end = s.max
	}
}

// seconds is what is left, as Vault reports it.
func (s *span) seconds() int {
	if s.end.IsZero() {
		return 0
	}
	return int(time.Until(s.end).Round(time.Second) / time.Second)
}

func (s *span) over() bool { return !s.end.IsZero() && !time.Now().Before(s.end) }

func (st *state) next() int {
	st.serial++
	return st.serial
}

func (st *state) addToken(parent string, life span) *token {
	n := st.next()
	t := &token{span: life, id: fmt.Sprintf("hvs.test%06d", n), accessor: fmt.Sprintf("accessor%06d", n), parent: parent}
	st.tokens[t.id] = t
	return t
}

func (st *state) addLease(path, token string, life span) *lease {
	l := &lease{span: life, id: fmt.Sprintf("%s/lease%06d", path, st.next()), token: token}
	st.leases[l.id] = l
	return l
}

// sweep ends what has run out.
func (st *state) sweep() {
	for id, t := range st.tokens {
		if t.over() {
			st.revokeToken(id)
		}
	}
	maps.DeleteFunc(st.leases, func(_ string, l *lease) bool { return l.over() })
}

// revokeToken takes the token, its leases and its children.
func (st *state) revokeToken(id string) {
	delete(st.tokens, id)
	maps.DeleteFunc(st.leases, func(_ string, l *lease) bool { return l.token == id })
	for child, t := range st.tokens {
		if t.parent == id {
			st.revokeToken(child)
		}
	}
}

// SetAppRole replaces the role; the initial one is "role" with "secret", an hour per token and a day at most.
func (s *Server) SetAppRole(r AppRole) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.role = r
}

// SetKV writes a new version of the KV v2 secret at path, which is read at secret/data/<path>.
func (s *Server) SetKV(path string, data map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := cmp.Or(s.state.kv[path], &secret{})
	s.state.kv[path] = &secret{version: old.version + 1, data: data}
}

// Leases returns the ids of the living leases, sorted.
func (s *Server) Leases() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.sweep()
	return slices.Sorted(maps.Keys(s.state.leases))
}

// Tokens returns the living tokens, sorted; the root token is one of them.
func (s *Server) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.sweep()
	return slices.Sorted(maps.Keys(s.state.tokens))
}
