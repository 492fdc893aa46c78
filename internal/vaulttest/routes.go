package vaulttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// body is what the handlers understand of a request's JSON.
type body struct {
	RoleID         string `json:"role_id"`
	SecretID       string `json:"secret_id"`
	Token          string `json:"token"`
	LeaseID        string `json:"lease_id"`
	Increment      any    `json:"increment"`
	TTL            any    `json:"ttl"`
	ExplicitMaxTTL any    `json:"explicit_max_ttl"`
	Renewable      *bool  `json:"renewable"`
	NoParent       bool   `json:"no_parent"`
}

// answer is the envelope of Vault's successful answers.
type answer struct {
	RequestID     string `json:"request_id"`
	LeaseID       string `json:"lease_id"`
	Renewable     bool   `json:"renewable"`
	LeaseDuration int    `json:"lease_duration"`
	Data          any    `json:"data"`
	WrapInfo      any    `json:"wrap_info"`
	Warnings      any    `json:"warnings"`
	Auth          *auth  `json:"auth"`
}

type auth struct {
	ClientToken   string         `json:"client_token"`
	Accessor      string         `json:"accessor"`
	Policies      []string       `json:"policies"`
	TokenPolicies []string       `json:"token_policies"`
	Metadata      map[string]any `json:"metadata"`
	LeaseDuration int            `json:"lease_duration"`
	Renewable     bool           `json:"renewable"`
	EntityID      string         `json:"entity_id"`
	TokenType     string         `json:"token_type"`
	Orphan        bool           `json:"orphan"`
}

// refusal is an error that Vault answers; without a text it is Vault's plain "nothing here".
type refusal struct {
	status int
	text   string
}

var (
	errDenied   = &refusal{http.StatusForbidden, "permission denied"}
	errNothing  = &refusal{http.StatusNotFound, ""}
	errNoLease  = &refusal{http.StatusBadRequest, "lease not found"}
	errNotRenew = &refusal{http.StatusBadRequest, "lease is not renewable"}
)

// handler serves one route with the state locked; from is nil for routes that need no token. A nil answer is a 204.
type handler func(r *http.Request, in body, from *token) (*answer, *refusal)

func (s *Server) newRoutes() http.Handler {
	mux := http.NewServeMux()
	write := func(path string, open bool, h handler) {
		mux.Handle("POST "+path, s.handle(open, h))
		mux.Handle("PUT "+path, s.handle(open, h))
	}
	st := &s.state
	mux.Handle("GET /v1/leaser/creds/{name}", s.handle(false, st.readCreds))
	mux.Handle("GET /v1/secret/data/{path...}", s.handle(false, st.readKV))
	write("/v1/auth/approle/login", true, st.login)
	write("/v1/auth/token/create", false, st.createToken)
	write("/v1/auth/token/create-orphan", false, st.createToken)
	mux.Handle("GET /v1/auth/token/lookup-self", s.handle(false, st.lookupToken))
	write("/v1/auth/token/lookup", false, st.lookupToken)
	write("/v1/auth/token/renew-self", false, st.renewToken)
	write("/v1/auth/token/renew", false, st.renewToken)
	write("/v1/auth/token/revoke-self", false, st.revoke)
	write("/v1/auth/token/revoke", false, st.revoke)
	write("/v1/sys/leases/renew", false, st.renewLease)
	write("/v1/sys/leases/revoke", false, st.revokeLease)
	mux.Handle("/", s.handle(true, func(*http.Request, body, *token) (*answer, *refusal) { return nil, errNothing }))
	return mux
}

func (s *Server) handle(open bool, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, no := s.run(r, open, h)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case no != nil:
			texts := []string{}
			if no.text != "" {
				texts = append(texts, no.text)
			}
			w.WriteHeader(no.status)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": texts})
		case a == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			_ = json.NewEncoder(w).Encode(a)
		}
	})
}

func (s *Server) run(r *http.Request, open bool, h handler) (*answer, *refusal) {
	var in body
	if r.ContentLength != 0 {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, &refusal{http.StatusBadRequest, "failed to parse JSON input: " + err.Error()}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.sweep()
	from := s.state.tokens[requestToken(r)]
	if from == nil && !open {
		return nil, errDenied
	}
	a, no := h(r, in, from)
	if a != nil {
		a.RequestID = fmt.Sprintf("request%06d", s.state.next())
	}
	return a, no
}

func requestToken(r *http.Request) string {
	if t := r.Header.Get("X-Vault-Token"); t != "" {
		return t
	}
	t, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return t
}

func (st *state) readCreds(r *http.Request, _ body, from *token) (*answer, *refusal) {
	q := r.URL.Query()
	ttl := duration(q.Get("ttl"), time.Minute)
	maxTTL := duration(q.Get("max_ttl"), time.Hour)
	name := r.PathValue("name")
	l := st.addLease("leaser/creds/"+name, from.id, newSpan(ttl, maxTTL, q.Get("renewable") != "false"))
	return &answer{
		LeaseID: l.id, Renewable: l.renewable, LeaseDuration: l.seconds(),
		Data: map[string]any{"name": name, "password": fmt.Sprintf("password%06d", st.next())},
	}, nil
}

func (st *state) readKV(r *http.Request, _ body, _ *token) (*answer, *refusal) {
	kv := st.kv[r.PathValue("path")]
	if kv == nil {
		return nil, errNothing
	}
	return &answer{Data: map[string]any{"data": kv.data, "metadata": map[string]any{"version": kv.version}}}, nil
}

func (st *state) login(_ *http.Request, in body, _ *token) (*answer, *refusal) {
	if in.RoleID != st.role.RoleID || in.SecretID != st.role.SecretID {
		return nil, &refusal{http.StatusBadRequest, "invalid role or secret ID"}
	}
	return st.authAnswer(st.addToken("", newSpan(st.role.TTL, st.role.MaxTTL, true))), nil
}

func (st *state) createToken(r *http.Request, in body, from *token) (*answer, *refusal) {
	parent := from.id
	if in.NoParent || strings.HasSuffix(r.URL.Path, "create-orphan") {
		parent = ""
	}
	life := newSpan(duration(in.TTL, time.Hour), duration(in.ExplicitMaxTTL, 24*time.Hour), in.Renewable == nil || *in.Renewable)
	return st.authAnswer(st.addToken(parent, life)), nil
}

func (st *state) lookupToken(_ *http.Request, in body, from *token) (*answer, *refusal) {
	t, no := st.target(in, from)
	if no != nil {
		return nil, no
	}
	data := map[string]any{
		"id": t.id, "accessor": t.accessor, "ttl": t.seconds(), "renewable": t.renewable, "orphan": t.parent == "",
		"policies": []string{"default"}, "type": "service", "num_uses": 0, "expire_time": nil,
	}
	if !t.end.IsZero() {
		data["expire_time"] = t.end.Format(time.RFC3339Nano)
	}
	return &answer{Data: data}, nil
}

func (st *state) renewToken(_ *http.Request, in body, from *token) (*answer, *refusal) {
	t, no := st.target(in, from)
	if no != nil {
		return nil, no
	}
	if !t.renewable {
		return nil, errNotRenew
	}
	t.renew(duration(in.Increment, 0))
	return st.authAnswer(t), nil
}

func (st *state) revoke(_ *http.Request, in body, from *token) (*answer, *refusal) {
	t, no := st.target(in, from)
	if no != nil {
		return nil, no
	}
	st.revokeToken(t.id)
	return nil, nil
}

func (st *state) renewLease(_ *http.Request, in body, _ *token) (*answer, *refusal) {
	l := st.leases[in.LeaseID]
	if l == nil {
		return nil, errNoLease
	}
	if !l.renewable {
		return nil, errNotRenew
	}
	l.renew(duration(in.Increment, 0))
	return &answer{LeaseID: l.id, Renewable: true, LeaseDuration: l.seconds()}, nil
}

func (st *state) revokeLease(_ *http.Request, in body, _ *token) (*answer, *refusal) {
	if st.leases[in.LeaseID] == nil {
		return nil, errNoLease
	}
	delete(st.leases, in.LeaseID)
	return nil, nil
}

// target is the token that a request is about: the one in its body, else the one it came with.
func (st *state) target(in body, from *token) (*token, *refusal) {
	if in.Token == "" {
		return from, nil
	}
	if t := st.tokens[in.Token]; t != nil {
		return t, nil
	}
	return nil, errDenied
}

func (st *state) authAnswer(t *token) *answer {
	return &answer{Auth: &auth{
		ClientToken: t.id, Accessor: t.accessor, Policies: []string{"default"}, TokenPolicies: []string{"default"},
		LeaseDuration: t.seconds(), Renewable: t.renewable, TokenType: "service", Orphan: t.parent == "",
	}}
}

// duration reads Vault's spellings: a number of seconds, or a Go duration.
func duration(v any, or time.Duration) time.Duration {
	s := fmt.Sprint(v)
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return time.Duration(n * float64(time.Second))
	}
	if d, err := time.ParseDuration(s); err == nil {
		return d
	}
	return or
}
