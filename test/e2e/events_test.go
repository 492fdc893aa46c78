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

	own "leasehold/internal/api"
)

// Each event has the form that the description says. The first sample after the history comes within two looks at ten seconds.
func TestEventsAreAsDescribed(t *testing.T) {
	doc := loadDescription(t)
	schema := func(name string) *openapi3.Schema { return doc.Components.Schemas[name].Value }
	moment := schema("Moment")
	schemas := map[string]*openapi3.Schema{"history": openapi3.NewArraySchema().WithItems(moment), "sample": moment, "status": schema("Status")}
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, vaultStanza(shared.Address)+r.autoAuth()+injectToken+cacheStanza+listenerStanza()+
		listenerStanza(`role = "admin"`, `http_write_timeout = "3s"`))
	for range 2 {
		_, _ = p.lease(t, "/v1/leaser/creds/sampled?ttl=600")
	}
	resp := listenTo(t, p.URLs[1]+"/proxy/v1/events")
	described := doc.Paths.Value("/proxy/v1/events").Get.Responses.Status(http.StatusOK).Value.Content
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || described.Get(kind) == nil {
		t.Fatalf("events = %d with %s", resp.StatusCode, kind)
	}
	seen, lines := map[string]int{}, bufio.NewScanner(resp.Body)
	for seen["history"] == 0 || seen["sample"] == 0 || seen["status"] < 2 {
		event, data := nextEvent(t, lines)
		seen[event]++
		var s own.Sample
		if event == "sample" && json.Unmarshal([]byte(data), &s) == nil && (s.Requests != 2 || s.Hits != 1 || s.Misses != 1 || s.Entries != 1 || s.Tokens != 1 ||
			s.Failed != 0 || s.Failing != 0 || !s.VaultUp || s.RunwayMedian < 500 || s.RunwayMedian > 600 || s.Runway95 != s.RunwayMedian ||
			s.TokenLeft["auto_auth"] < 3000 || s.TokenLeft["auto_auth"] > 3600 || time.Since(s.At) > time.Minute) {
			t.Errorf("the sample is %s", data)
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

// listenTo asks for events, for a minute at most.
func listenTo(t *testing.T, url string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// nextEvent reads one.
func nextEvent(t *testing.T, lines *bufio.Scanner) (event, data string) {
	t.Helper()
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			return event, text
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
	return "", ""
}

// What a browser sends for another site's page is refused as described, by each endpoint that looks inside or changes something and by no other.
func TestOtherSitesAreRefusedAsDescribed(t *testing.T) {
	doc := loadDescription(t)
	p := startProxy(t, vaultStanza(shared.Address)+newAppRole(t, shared).autoAuth()+injectToken+cacheStanza+listenerStanza()+listenerStanza(`role = "admin"`))
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			url := p.URLs[1] + path
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
