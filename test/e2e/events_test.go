package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// Each event has the form that the description says. The first sample after the history comes within two looks at ten seconds.
func TestEventsAreAsDescribed(t *testing.T) {
	doc := loadDescription(t)
	schema := func(name string) *openapi3.Schema { return doc.Components.Schemas[name].Value }
	moment := schema("Moment")
	schemas := map[string]*openapi3.Schema{"history": openapi3.NewArraySchema().WithItems(moment), "sample": moment, "status": schema("Status")}
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, vaultStanza(shared.Address)+r.autoAuth()+injectToken+cacheStanza+listenerStanza(`role = "admin"`, `http_write_timeout = "3s"`))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URLs[0]+"/proxy/v1/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	described := doc.Paths.Value("/proxy/v1/events").Get.Responses.Status(http.StatusOK).Value.Content
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || described.Get(kind) == nil {
		t.Fatalf("events = %d with %s", resp.StatusCode, kind)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	seen, event := map[string]int{}, ""
	for seen["history"] == 0 || seen["sample"] == 0 || seen["status"] < 2 {
		if !lines.Scan() {
			t.Fatalf("after %v the stream ended: %v", seen, lines.Err())
		}
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
			seen[event]++
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var body any
		if schemas[event] == nil {
			t.Errorf("event %q is not described", event)
		} else if err := json.Unmarshal([]byte(data), &body); err != nil {
			t.Errorf("%s: %v in %q", event, err, data)
		} else if err := schemas[event].VisitJSON(body); err != nil {
			t.Errorf("%s: %v", event, err)
		}
	}
	p.stop(t) // with the stream open
	if strings.Contains(p.log.String(), "requests under way were cut") {
		t.Error("the stream was waited for")
	}
}

// What a browser sends for another site's page is refused as described, by each endpoint that looks inside or changes something and by no other.
func TestOtherSitesAreRefusedAsDescribed(t *testing.T) {
	doc := loadDescription(t)
	p := startProxy(t, vaultStanza(shared.Address)+newAppRole(t, shared).autoAuth()+cacheStanza+listenerStanza(`role = "admin"`))
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			url := p.URLs[0] + path
			if strings.HasSuffix(path, "/explain") {
				url += "?path=x"
			}
			described := op.Responses.Status(http.StatusForbidden)
			for what, header := range map[string]string{"another site": "Sec-Fetch-Site: cross-site", "an old browser": "Origin: https://evil.example", "a name": "Host: evil.example"} {
				a, err := send(t.Context(), method, url, "", header)
				if err != nil {
					t.Fatal(err)
				}
				var body any
				switch {
				case (a.Status == http.StatusForbidden) != (described != nil):
					t.Errorf("%s %s from %s = %d %s; 403 is described: %v", method, path, what, a.Status, a.Body, described != nil)
				case described == nil:
				case json.Unmarshal(a.Body, &body) != nil:
					t.Errorf("%s %s: %q", method, path, a.Body)
				default:
					if err := described.Value.Content.Get("application/json").Schema.Value.VisitJSON(body); err != nil {
						t.Errorf("%s %s: %v", method, path, err)
					}
				}
			}
		}
	}
}
