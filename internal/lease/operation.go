package lease

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"leasehold/internal/vault"
)

// Kind says what a request may do to leases. It is decided by the request alone: the answer to a renewal has the very shape
// of a new lease (hashicorp/vault#19684).
type Kind uint8

const (
	Pass       Kind = iota // neither creates nor changes anything that is kept
	Creation               // its answer may be kept
	Renewal                // its answer moves the end of what is kept
	Revocation             // its success ends what is kept
)

// Operation is what one request means to leases.
type Operation struct {
	Kind      Kind
	Namespace vault.Namespace // the header's; of a Renewal or Revocation joined with the one in the path
	InPath    bool            // part of Namespace was read from the path, where the name of a mount may stand as well
	Evicts    Scope           // of a Revocation
	Value     string          // of a Revocation: what the URL names; "" when the body or the request's token says it
}

// rule matches what follows the namespace in a path. A rule whose path ends in a slash takes the rest as its value.
type rule struct {
	path   string
	kind   Kind
	evicts Scope
	method string // "" means POST or PUT, which Vault treats alike
}

// rules are all forms, current and deprecated, in which Vault takes a renewal or a revocation. Longer paths come first.
var rules = []rule{
	{path: "auth/token/revoke-self", kind: Revocation, evicts: ScopeSelf},
	{path: "auth/token/revoke-accessor", kind: Revocation, evicts: ScopeAccessor},
	{path: "auth/token/revoke-accessor/", kind: Revocation, evicts: ScopeAccessor},
	{path: "auth/token/revoke-orphan", kind: Revocation, evicts: ScopeOrphaning},
	{path: "auth/token/revoke-orphan/", kind: Revocation, evicts: ScopeOrphaning},
	{path: "auth/token/revoke-prefix/", kind: Revocation, evicts: ScopePrefix},
	{path: "auth/token/revoke", kind: Revocation, evicts: ScopeToken},
	{path: "auth/token/revoke/", kind: Revocation, evicts: ScopeToken},
	{path: "auth/token/renew", kind: Renewal},
	{path: "auth/token/renew/", kind: Renewal},
	{path: "auth/token/renew-self", kind: Renewal},
	{path: "auth/token/renew-accessor", kind: Renewal},
	{path: "sys/leases/renew", kind: Renewal},
	{path: "sys/leases/renew/", kind: Renewal},
	{path: "sys/renew", kind: Renewal},
	{path: "sys/renew/", kind: Renewal},
	{path: "sys/leases/revoke", kind: Revocation, evicts: ScopeLease},
	{path: "sys/leases/revoke/", kind: Revocation, evicts: ScopeLease},
	{path: "sys/leases/revoke-prefix/", kind: Revocation, evicts: ScopePrefix},
	{path: "sys/leases/revoke-force/", kind: Revocation, evicts: ScopePrefix},
	{path: "sys/revoke", kind: Revocation, evicts: ScopeLease},
	{path: "sys/revoke/", kind: Revocation, evicts: ScopeLease},
	{path: "sys/revoke-prefix/", kind: Revocation, evicts: ScopePrefix},
	{path: "sys/revoke-force/", kind: Revocation, evicts: ScopePrefix},
	{path: "sys/mounts/", kind: Revocation, evicts: ScopeMount, method: http.MethodDelete},
	{path: "sys/auth/", kind: Revocation, evicts: ScopeAuthMount, method: http.MethodDelete},
	{path: "sys/remount", kind: Revocation, evicts: ScopeMount},
	{path: "sys/storage/raft/snapshot", kind: Revocation, evicts: ScopeAll}, // what it restores may know nothing of what is held
	{path: "sys/storage/raft/snapshot-force", kind: Revocation, evicts: ScopeAll},
	{path: "sys/namespaces/", kind: Revocation, evicts: ScopeNamespace, method: http.MethodDelete},
}

// Describe decides what a request is. path is the decoded URL path, because that is what Vault routes by; header is the
// X-Vault-Namespace header. It does not allocate for root requests.
func Describe(method, path, header string) Operation {
	op := Operation{Namespace: vault.CanonicalNamespace(header)}
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return op
	}
	prefix, api := splitNamespace(rest)
	if api == "" {
		if mayCreate(method, prefix, api) {
			op.Kind = Creation
		}
		return op
	}
	for i := range rules {
		if value, ok := rules[i].match(method, api); ok {
			op.Kind, op.Evicts, op.Value = rules[i].kind, rules[i].evicts, value
			op.Namespace, op.InPath = op.Namespace.Join(vault.Namespace(prefix)), prefix != ""
			return op
		}
	}
	// What is no rule but looks namespaced may as well lie in a mount of that name: only the answer will tell.
	if mayCreate(method, prefix, api) {
		op.Kind = Creation
	}
	return op
}

// splitNamespace cuts a path before its first segment "sys" or "auth": neither can name a namespace or a mount in Vault.
func splitNamespace(path string) (prefix, api string) {
	for i := 0; i < len(path); {
		rest := path[i:]
		if strings.HasPrefix(rest, "sys/") || strings.HasPrefix(rest, "auth/") {
			return path[:i], rest
		}
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			break
		}
		i += slash + 1
	}
	return "", ""
}

func (r *rule) match(method, api string) (value string, ok bool) {
	switch {
	case r.method != "" && method != r.method:
		return "", false
	case r.method == "" && method != http.MethodPost && method != http.MethodPut:
		return "", false
	case strings.HasSuffix(r.path, "/"):
		value, ok = strings.CutPrefix(api, r.path)
		return strings.TrimSuffix(value, "/"), ok && strings.Trim(value, "/") != ""
	default:
		return "", api == r.path || (strings.HasPrefix(api, r.path) && api[len(r.path):] == "/")
	}
}

// mayCreate tells which requests are worth looking at: everything but the system backend, the token store's other endpoints
// (lookups, roles), unwrapping (it replays an answer of long ago), and methods that never create a lease.
func mayCreate(method, prefix, api string) bool {
	if method != http.MethodGet && method != http.MethodPost && method != http.MethodPut {
		return false
	}
	if prefix == "" && strings.HasPrefix(api, "sys/") || strings.HasPrefix(api, "sys/wrapping/") || strings.HasPrefix(api, "sys/mfa/") {
		return false
	}
	if prefix == "" && strings.HasPrefix(api, "auth/token/") {
		return strings.HasPrefix(api, "auth/token/create")
	}
	return true
}

// Eviction returns what a successful Revocation ends. query and body are the request's; caller is the token it was sent with.
// ok is false when the request names nothing, which Vault would not have accepted.
func (op Operation) Eviction(query string, body []byte, caller vault.Token) (e Eviction, ok bool) {
	e = Eviction{Scope: op.Evicts, Namespace: op.Namespace, InPath: op.InPath, Value: op.Value}
	switch {
	case e.Scope == ScopeAll:
		// Tokens stay known: which of them are good the next request, or renewal, tells.
		return Eviction{Scope: ScopeAll, Clear: true}, true
	case e.Scope == ScopeSelf:
		e.Scope, e.Value = ScopeToken, caller.Reveal()
	case e.Value == "":
		e.Value = parameter(bodyField[e.Scope], query, body)
	case e.Scope != ScopeMount: // unmounting takes no parameter
		if named := parameter(bodyField[e.Scope], "", body); named != "" {
			e.Value = named // Vault looks into the URL last
		}
	}
	if e.Scope == ScopeMount {
		// A remount names auth/x for auth methods; what hangs below an auth mount are logins.
		if mount, isAuth := strings.CutPrefix(e.Value, "auth/"); isAuth {
			e.Scope, e.Value = ScopeAuthMount, mount
		}
	}
	if e.Scope == ScopeNamespace {
		e.Namespace = e.Namespace.Join(vault.Namespace(strings.Trim(e.Value, "/") + "/"))
		e.InPath = false // whatever is held in it proves that it is one
	}
	return e, e.Value != ""
}

// bodyField is the parameter in which Vault expects what a revocation names.
var bodyField = map[Scope]string{
	ScopeToken: "token", ScopeOrphaning: "token", ScopeAccessor: "accessor", ScopeLease: "lease_id", ScopeMount: "from",
}

// parameter reads one string parameter the way Vault does: from a JSON body, a form body, or the query.
func parameter(name, query string, body []byte) string {
	if name == "" {
		return ""
	}
	fields := map[string]json.RawMessage{}
	if json.NewDecoder(bytes.NewReader(body)).Decode(&fields) == nil { // like Vault, whatever may follow the object
		var value string
		if json.Unmarshal(fields[name], &value) == nil && value != "" {
			return value
		}
	} else if form, err := url.ParseQuery(string(body)); err == nil && form.Get(name) != "" {
		return form.Get(name)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return values.Get(name)
}
