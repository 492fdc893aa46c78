package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"

	own "leasehold/internal/api"
	"leasehold/internal/router"
)

func loadDescription(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// The description names exactly the routes that there are.
func TestDescriptionAndRoutesAgree(t *testing.T) {
	var described, routed []string
	for path, item := range loadDescription(t).Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	mux := router.New(router.Parts{Metrics: http.NotFoundHandler(), Reauth: func(context.Context) error { return nil }, Inside: nobody{},
		Feed: router.NewFeed(t.Context(), func(int) ([]own.Sample, int) { return nil, 0 })},
		router.Options{Admin: true})
	err := chi.Walk(mux, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if route != "/*" { // Vault's
			routed = append(routed, method+" "+route)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(described)
	slices.Sort(routed)
	if !slices.Equal(described, routed) {
		t.Errorf("described: %v\nrouted:    %v", described, routed)
	}
}

// nobody has nothing to tell.
type nobody struct{}

func (nobody) Status(bool) own.Status                             { return own.Status{} }
func (nobody) Leases(own.LeaseQuery, bool) (own.LeasePage, error) { return own.LeasePage{}, nil }
func (nobody) Explain(router.Question) (own.Explanation, error)   { return own.Explanation{}, nil }

// The binary answers as described: every status below is in the description, and error bodies have its schema.
func TestAnswersAreAsDescribed(t *testing.T) {
	doc := loadDescription(t)
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, vaultStanza(shared.Address)+r.autoAuth()+injectToken+`cache { persist "file" { path = "`+t.TempDir()+`" key_file = "`+t.TempDir()+`/key" } }`+"\n"+
		listenerStanza("proxy_api { enable_quit = true, enable_status = true }", "max_request_size = 200")+
		listenerStanza("agent_api { enable_quit = true, enable_status = true }", "require_request_header = true")+listenerStanza(`role = "admin"`)+listenerStanza())
	_, _ = p.lease(t, "/v1/leaser/creds/described?ttl=600") // so that lists have something in them
	for _, c := range []struct {
		listener           int
		method, path, body string
		status             int
	}{
		{0, "GET", "metrics", "", 200},
		{0, "GET", "metrics?format=prometheus", "", 200},
		{0, "GET", "metrics?format=json", "", 200},
		{0, "GET", "metrics?format=xml", "", 400},
		{0, "POST", "metrics", "", 405},
		{0, "GET", "readyz", "", 200},
		{0, "GET", "readyz?require=upstream,clock", "", 200},
		{0, "GET", "readyz?require=auto_auth", "", 200},
		{0, "GET", "readyz?require=auto_auths", "", 400},
		{0, "POST", "readyz", "", 405},
		{1, "GET", "readyz", "", 200},
		{0, "GET", "status", "", 200},
		{2, "GET", "status", "", 200},
		{0, "POST", "status", "", 405},
		{1, "GET", "status", "", 412},
		{3, "GET", "status", "", 404},
		{0, "GET", "leases", "", 200},
		{2, "GET", "leases?limit=1&sort=path&order=desc", "", 200},
		{0, "GET", "leases?limit=0", "", 400},
		{0, "GET", "leases?kind=x", "", 400},
		{0, "GET", "leases?nonsense=x", "", 400},
		{0, "DELETE", "leases", "", 405},
		{1, "GET", "leases", "", 412},
		{3, "GET", "leases", "", 404},
		{0, "GET", "explain?path=/v1/leaser/creds/described%3Fttl=600", "", 200},
		{2, "GET", "explain?path=/v1/leaser/creds/described%3Fttl=600", "", 200},
		{2, "GET", "explain?method=post&path=/proxy/v1/quit", "", 200},
		{0, "GET", "explain", "", 400},
		{0, "POST", "explain", "", 405},
		{1, "GET", "explain?path=x", "", 412},
		{3, "GET", "explain?path=x", "", 404},
		{0, "GET", "ui", "", 200},
		{1, "GET", "ui", "", 200},
		{2, "GET", "ui/page.js", "", 200},
		{2, "GET", "ui/page.css", "", 200},
		{2, "GET", "ui/icon.svg", "", 200},
		{2, "POST", "ui", "", 405},
		{3, "GET", "ui", "", 404},
		{1, "GET", "events", "", 412},
		{2, "POST", "events", "", 405},
		{3, "GET", "events", "", 404},
		{2, "POST", "reauth", "", 200},
		{3, "POST", "reauth", "", 404},
		{2, "GET", "metrics", "", 200},
		{2, "GET", "readyz", "", 200},
		{0, "GET", "livez", "", 200},
		{1, "GET", "livez", "", 200},
		{0, "POST", "livez", "", 405},
		{0, "POST", "cache-clear", `{"type":"all"}`, 200},
		{2, "POST", "cache-clear", `{"type":"all"}`, 200},
		{0, "PUT", "cache-clear", `{"type":"token","value":"x"}`, 200},
		{0, "POST", "cache-clear", `{"type":"never"}`, 400},
		{0, "DELETE", "cache-clear", "", 405},
		{0, "POST", "cache-clear", strings.Repeat(" ", 300), 413},
		{1, "POST", "cache-clear", `{"type":"all"}`, 412},
		{1, "POST", "quit", "", 412},
		{0, "GET", "quit", "", 405},
		{0, "POST", "quit", "", 200},
	} {
		for _, app := range []string{"/agent/v1/", "/proxy/v1/"} {
			if c.path == "quit" && c.status == 200 && app == "/agent/v1/" {
				continue // there is one end
			}
			a, err := send(t.Context(), c.method, p.URLs[c.listener]+app+c.path, c.body)
			if err != nil {
				t.Fatal(err)
			}
			if a.Status != c.status {
				t.Errorf("%s %s%s = %d %s, want %d", c.method, app, c.path, a.Status, a.Body, c.status)
			}
			name, _, _ := strings.Cut(c.path, "?")
			item := doc.Paths.Value(app + name)
			var described *openapi3.ResponseRef
			for _, op := range item.Operations() {
				if r := op.Responses.Status(c.status); r != nil {
					described = r
				}
			}
			if described == nil {
				t.Errorf("%s%s: status %d is not described", app, name, c.status)
				continue
			}
			media := described.Value.Content.Get("application/json")
			if media == nil || name == "metrics" && c.path != "metrics?format=json" { // text
				continue
			}
			var body any
			if err := json.Unmarshal(a.Body, &body); err != nil {
				t.Errorf("%s%s (%d): %v in %q", app, name, c.status, err, a.Body)
			} else if err := media.Schema.Value.VisitJSON(body); err != nil {
				t.Errorf("%s%s (%d): %v", app, name, c.status, err)
			}
		}
	}
	p.wantExit(t, 0)
}
