package config

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
)

// Rights are what a listener says about who may do what. The zero value leaves everything to everybody.
type Rights struct {
	Callers                 // allow_users, allow_groups, allow_client_cn, allow_client_san: who may use the listener at all
	Rules      []AccessRule // in file order: the first that matches holds
	DenyOthers bool         // default_action: what no rule matches is denied; true by default when there are rules
}

// Callers are names of callers. Users and groups stand on unix listeners only, the others on such that verify client certificates.
type Callers struct {
	Users, Groups        []string // names or numeric ids, which may not exist on this machine
	ClientCNs, ClientSAN []string
}

// AccessRule is a rule block of a listener.
type AccessRule struct {
	Pos     Pos
	Path    string   // without /v1/: "+" stands for one segment, "*" at the end for anything; or an endpoint of ours with /proxy/v1/ before it
	Methods []string // in upper case; none means every method
	Deny    bool
	Callers // users, groups, client_cn, client_san: the rule is for these only
}

// rightsKeys are those of a listener.
var rightsKeys = table{
	"allow_users":      {kind: accounts, example: `["app", 1001]`, ours: true, doc: "The users, by name or number, whose processes may use a unix listener."},
	"allow_groups":     {kind: accounts, example: `["app"]`, ours: true, doc: "The groups, by name or number, whose members may use a unix listener."},
	"allow_client_cn":  {kind: texts, example: `["app"]`, ours: true, doc: "The common names of client certificates that may use the listener."},
	"allow_client_san": {kind: texts, example: `["app.example.com"]`, ours: true, doc: "The alternative names of client certificates that may use the listener: DNS names, exact or with *. before them, e-mail addresses, URIs and IP addresses."},
	"default_action":   {kind: action, ours: true, doc: "What becomes of a request that no rule matches, where there are rules: deny unless it says allow."},
	"rule":             {block: several, ours: true, doc: "What callers may do; the first rule that matches holds."},
}

var accessRuleKeys = table{
	"path":       {kind: text, example: `"kv/data/app/*"`, ours: true, doc: "The path that the rule is for, without /v1/: + stands for one segment, * at the end for anything."},
	"methods":    {kind: texts, example: `["GET", "LIST"]`, ours: true, doc: "The methods that the rule is for; all when it is absent. POST is PUT as well."},
	"action":     {kind: action, required: true, example: `"allow"`, ours: true, doc: "What the rule does: allow or deny."},
	"users":      {kind: accounts, example: `["app"]`, ours: true, doc: "The users that the rule is for."},
	"groups":     {kind: accounts, example: `["app"]`, ours: true, doc: "The groups whose members the rule is for."},
	"client_cn":  {kind: texts, example: `["app"]`, ours: true, doc: "The common names of client certificates that the rule is for."},
	"client_san": {kind: texts, example: `["app.example.com"]`, ours: true, doc: "The alternative names of client certificates that the rule is for."},
}

// action has no default: a rule that says nothing must not allow.
var action = kind{want: `"allow" or "deny"`, example: `"allow"`, zero: "", read: oneOf("allow", "deny").read, json: jsonWords("allow", "deny")}

// accounts is a list of names or numbers.
var accounts = kind{want: "a list of names or numbers", example: `["app"]`, zero: []string(nil), read: readAccounts, json: formsOf(jsonText, object{"type": "array", "items": jsonAccount})}

func readAccounts(v value) (any, bool) {
	list, ok := v.data.([]value)
	if !ok {
		return readTexts(v)
	}
	var all []string
	for _, one := range list {
		name, ok := readAccount(one)
		if !ok {
			return nil, false
		}
		if s := strings.TrimSpace(name.(string)); s != "" {
			all = append(all, s)
		}
	}
	return all, true
}

// accessMethods are those that Vault knows.
var accessMethods = []string{http.MethodGet, "LIST", http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions, "RECOVER"}

// rights reads what a listener says about callers. l has been read.
func (d *decoder) rights(s section, b block, l *Listener) {
	d.nearlyRights(s, b)
	r := Rights{
		Callers:    d.callers(s, l, "allow_users", "allow_groups", "allow_client_cn", "allow_client_san"),
		DenyOthers: len(s.blocks["rule"]) > 0 && s.String("default_action") != "allow",
	}
	for _, b := range typed(s.blocks["rule"], accessRuleKeys) {
		r.Rules = append(r.Rules, d.accessRule(b, l))
	}
	if at, given := s.at["default_action"]; given && len(r.Rules) == 0 {
		d.fail(s.problem(at, "default_action has nothing to decide: the listener has no rule", "add rule { ... }, or remove the key"))
	}
	l.Rights = r
}

// nearlyRights refuses a misspelt key of a listener where the right one would have kept callers out: a warning would leave the door open.
func (d *decoder) nearlyRights(s section, b block) {
	for _, it := range b.body.items {
		key := strings.ToLower(it.key)
		if _, known := listenerKeys[key]; known {
			continue
		}
		if near := nearest(key, maps.Keys(listenerKeys)); rightsKeys.has(near) {
			d.fail(s.problem(it.pos, fmt.Sprintf("unknown key %q would leave the listener open to more than is meant", clip(it.key)), fmt.Sprintf("did you mean %q?", near)))
		}
	}
}

func (t table) has(key string) bool { _, ok := t[key]; return ok }

func (d *decoder) accessRule(b block, l *Listener) AccessRule {
	s := d.section("listener.rule", b, accessRuleKeys)
	d.idleLabels(s, b, 1)
	for _, it := range b.body.items { // a criterion that is overlooked makes a rule that is for everybody
		if !accessRuleKeys.has(strings.ToLower(it.key)) {
			d.fail(s.problem(it.pos, fmt.Sprintf("a rule has no key %q, and would mean more without it", clip(it.key)), "use path, methods, action, users, groups, client_cn and client_san"))
		}
	}
	r := AccessRule{
		Pos: s.pos, Path: s.String("path"), Deny: s.String("action") == "deny", Callers: d.callers(s, l, "users", "groups", "client_cn", "client_san"),
	}
	if r.Path == "" && len(b.labels) > 0 {
		r.Path = b.labels[0]
		d.origins.set(s.prefix+"path", r.Path, Source{Kind: SourceFile, Pos: b.pos})
	}
	if !ourEndpoint(r.Path) {
		r.Path = strings.TrimPrefix(strings.TrimPrefix(r.Path, "/"), "v1/")
	}
	d.origins.becomes(s.prefix+"path", r.Path)
	text := brokenPattern(r.Path)
	if text == "" {
		text = unreachable(r.Path)
	}
	if text != "" {
		d.fail(s.problem(s.place("path"), text, `write for example path = "kv/data/app/*"`))
	}
	for _, m := range setting[[]string](s.Settings, "methods") {
		m = strings.ToUpper(m)
		if !slices.Contains(accessMethods, m) {
			d.fail(s.problem(s.place("methods"), fmt.Sprintf("rule.methods has %q, which is no method of Vault", clip(m)), "use "+strings.Join(accessMethods, ", ")))
		}
		r.Methods = append(r.Methods, m)
	}
	d.notEmpty(s, "methods", len(r.Methods))
	return r
}

func ourEndpoint(path string) bool {
	return strings.HasPrefix(path, "/proxy/v1/") || strings.HasPrefix(path, "/agent/v1/")
}

// unreachable says why no request in its canonical form has such a path; "" when one may.
func unreachable(path string) string {
	if ourEndpoint(path) {
		path = path[len("/proxy/v1/"):]
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(path, "/"), "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Sprintf("rule %q matches nothing: requests with empty segments and dots are refused", clip(path))
		}
	}
	if strings.ContainsAny(path, `%\`) {
		return fmt.Sprintf("rule %q: write the path as it is, not encoded", clip(path))
	}
	return ""
}

// callers reads the four lists under their keys, and checks that the listener can tell such callers apart.
func (d *decoder) callers(s section, l *Listener, users, groups, cn, san string) Callers {
	c := Callers{
		Users: setting[[]string](s.Settings, users), Groups: setting[[]string](s.Settings, groups),
		ClientCNs: setting[[]string](s.Settings, cn), ClientSAN: setting[[]string](s.Settings, san),
	}
	for key, names := range map[string][]string{users: c.Users, groups: c.Groups} {
		at, given := s.at[key]
		switch {
		case !given:
		case l.Type != "unix":
			d.fail(s.problem(at, s.name(key)+` needs listener "unix": elsewhere the system does not tell who connects`, "remove it, or use a unix listener"))
		case runtime.GOOS != "linux" && runtime.GOOS != "darwin":
			d.fail(s.problem(at, s.name(key)+" works on Linux and macOS only: this system does not tell who connects", "remove it"))
		}
		d.notEmpty(s, key, len(names))
	}
	for key, names := range map[string][]string{cn: c.ClientCNs, san: c.ClientSAN} {
		if at, given := s.at[key]; given && (l.TLSDisable || !l.RequireClientCert) {
			d.fail(s.problem(at, s.name(key)+" needs client certificates that are verified", "write tls_require_and_verify_client_cert = true, with TLS on"))
		}
		d.notEmpty(s, key, len(names))
	}
	for _, name := range c.ClientSAN {
		if strings.Contains(strings.TrimPrefix(name, "*."), "*") || strings.HasPrefix(name, "*.") && (net.ParseIP(name[2:]) != nil || strings.ContainsAny(name, ":@/")) {
			d.fail(s.problem(s.place(san), fmt.Sprintf("%s %q: * stands for the first label of a DNS name, and for nothing else", s.name(san), clip(name)), `write for example "*.app.example.com"`))
		}
	}
	return c
}

// notEmpty refuses a list that was given and names nothing: whether that means nobody or everybody nobody should have to guess.
func (d *decoder) notEmpty(s section, key string, n int) {
	if at, given := s.at[key]; given && n == 0 {
		d.fail(s.problem(at, s.name(key)+" names nothing", "name something, or remove the key"))
	}
}
