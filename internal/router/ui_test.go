package router_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"leasehold/internal/router"
)

var assets = map[string]string{
	"ui": "text/html; charset=utf-8", "ui/page.css": "text/css; charset=utf-8", "ui/page.js": "text/javascript; charset=utf-8", "ui/icon.svg": "image/svg+xml",
}

// The page comes to whoever opens it, also by a link from elsewhere and without a header of ours; a browser may then do nothing but ask this listener.
func TestTheStatusPage(t *testing.T) {
	for name, opt := range map[string]router.Options{
		"admin":                             {Admin: true},
		"admin with require_request_header": {Admin: true, RequireRequestHeader: true},
		"enable_status":                     {EnableStatus: true},
	} {
		f := &fixture{handler: newInside(opt).handler}
		for _, app := range []string{"/agent/v1/", "/proxy/v1/"} {
			for asset, kind := range assets {
				w := f.do("GET", app+asset, "", "Sec-Fetch-Site", "cross-site")
				h := w.Header()
				if w.Code != http.StatusOK || h.Get("Content-Type") != kind || w.Body.Len() == 0 {
					t.Errorf("%s: %s%s = %d %q", name, app, asset, w.Code, h)
				}
				policy := h.Get("Content-Security-Policy")
				for _, part := range []string{
					"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
					"frame-ancestors 'none'",
				} {
					if !strings.Contains("; "+policy+"; ", "; "+part+"; ") {
						t.Errorf("%s: the policy %q lacks %q", asset, policy, part)
					}
				}
				if strings.Contains(policy, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: the header is %q", asset, h)
				}
			}
		}
		wantError(t, f.do("POST", "/proxy/v1/ui", ""), http.StatusMethodNotAllowed, "method not allowed; use GET")
	}
}

func TestWhereThereIsNoStatusPage(t *testing.T) {
	for name, opt := range map[string]router.Options{"default": {}, "metrics_only": {MetricsOnly: true, EnableStatus: true}} {
		f := &fixture{handler: newInside(opt).handler}
		for asset := range assets {
			if w := f.do("GET", "/proxy/v1/"+asset, ""); w.Code != http.StatusNotFound {
				t.Errorf("%s: %s = %d", name, asset, w.Code)
			}
		}
		if w := f.do("GET", "/proxy/v1/events", ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: events = %d", name, w.Code)
		}
	}
}

// Rights are for the page as for all else.
func TestRightsOfTheStatusPage(t *testing.T) {
	rules := []router.AccessRule{{Path: "/proxy/v1/ui"}, {Path: "/proxy/v1/ui/page.js"}}
	f := &fixture{handler: newInside(router.Options{Admin: true, Rights: router.Rights{Rules: rules, Deny: true}}).handler}
	for asset, want := range map[string]int{"ui": 200, "ui/page.js": 200, "ui/page.css": 403, "events": 403, "status": 403} {
		if w := f.do("GET", "/proxy/v1/"+asset, ""); w.Code != want {
			t.Errorf("%s = %d, want %d", asset, w.Code, want)
		}
	}
}

// What the policy forbids is not in the page, and nothing names another place.
func TestThePageStandsAlone(t *testing.T) {
	f := &fixture{handler: newInside(router.Options{Admin: true}).handler}
	html := f.do("GET", "/proxy/v1/ui", "").Body.String()
	for what, pattern := range map[string]string{
		"an inline script": `<script(?:\s[^>]*)?>[^<]`, "an inline style": `<style|\sstyle=`, "a handler": `\son[a-z]+=`, "a javascript: URL": `javascript:`,
	} {
		if found := regexp.MustCompile(pattern).FindString(html); found != "" {
			t.Errorf("the page has %s: %q", what, found)
		}
	}
	for asset := range assets {
		text := f.do("GET", "/proxy/v1/"+asset, "").Body.String()
		text = strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "") // a name, which nobody opens
		if found := regexp.MustCompile(`(?:https?:)?//[a-z0-9][^\s"']*\.[^\s"']*|innerHTML|insertAdjacentHTML|document\.write|eval\(`).FindString(text); found != "" {
			t.Errorf("%s has %q", asset, found)
		}
	}
	for _, ref := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		if w := f.do("GET", "/proxy/v1/"+ref[1], ""); w.Code != http.StatusOK {
			t.Errorf("the page refers to %s, which is %d", ref[1], w.Code)
		}
	}
}
