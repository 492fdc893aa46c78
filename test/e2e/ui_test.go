package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"leasehold/test/e2e/realvault"
)

// refusing is a Vault that renews every lease but those of one name.
func refusing(t *testing.T, name string) *realvault.Server {
	return ownVault(t, realvault.Options{Wrap: func(core http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/sys/leases/renew") {
				body, err := io.ReadAll(r.Body)
				if err != nil || bytes.Contains(body, []byte("leaser/creds/"+name)) {
					http.Error(w, `{"errors":["not now"]}`, http.StatusInternalServerError)
					return
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			core.ServeHTTP(w, r)
		})
	}})
}

// shown is a proxy with some leases, one of which Vault does not renew, and two admin listeners: one with require_request_header.
func shown(t *testing.T) *proxy {
	t.Helper()
	v := refusing(t, "billing")
	r := newAppRole(t, v, newPolicy(t, v, "leaser/*: read"))
	p := startProxy(t, vaultStanza(v.Address)+r.autoAuth()+injectToken+"cache { renew_at = 0.01 }\n"+listenerStanza()+
		listenerStanza(`role = "admin"`)+listenerStanza(`role = "admin"`, "require_request_header = true"))
	for _, one := range []string{"orders?ttl=600", "orders?ttl=601", "shipping?ttl=1800", "billing?ttl=120"} {
		for range 3 {
			_, _ = p.lease(t, "/v1/leaser/creds/"+one)
		}
	}
	eventually(t, "a lease fails to renew", func() bool {
		a, err := send(t.Context(), "GET", p.URLs[1]+"/proxy/v1/leases?state=failing", "")
		return err == nil && a.Status == http.StatusOK && bytes.Contains(a.Body, []byte("leaser/creds/billing"))
	})
	return p
}

// drawn is true when every plot of these has a line, and not a dot alone.
const drawn = `["rate", "requests", "runway", "held", "left", "up"].every(id => [...document.querySelectorAll("#plot-" + id + " path.series")].some(p => p.getAttribute("d").includes("L")))`

// The page of an admin listener in a browser: everything is drawn, nothing is asked for elsewhere, and the policy is kept.
func TestStatusPage(t *testing.T) {
	chromium(t)
	p := shown(t)
	b := newTab(t)
	b.do(t, chromedp.Navigate(p.URLs[1]+"/proxy/v1/ui"))
	b.wait(t, "the status is there", `document.querySelector("#ready").textContent === "ready" && document.querySelector("#live").textContent === "live"`)
	b.wait(t, "the leases are there", `document.querySelectorAll("#leases tbody tr").length === 4`)
	// The hit rate has a line when requests have come between samples. They are no crowd: one for each look.
	for hits := 0; ; hits++ {
		_, _ = p.lease(t, "/v1/leaser/creds/orders?ttl=600")
		if drawn, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.querySelectorAll("#plot-rate path.series[d*=L]").length > 0`)); err != nil {
			t.Fatal(err)
		} else if drawn {
			break
		}
		b.wait(t, "another sample", fmt.Sprintf(`samples.length > %d`, hits))
	}
	b.wait(t, "the plots are drawn", drawn)
	for selector, want := range map[string]string{
		"#leases": "leaser/creds/orders", "#leases td.bad": "failing", "#logins": "approle", "#logins td.good": "held", "#nodes": "in use", "#glance": "in trouble",
		"#plot-left figcaption": "auto_auth: ", "#plot-up figcaption": "yes", "#plot-held figcaption": "failing to renew: 1", "#total": "4 of 4",
		"#problems": "renew",
	} {
		if got := b.text(t, selector); !strings.Contains(got, want) {
			t.Errorf("%s shows %q, want %q in it", selector, got, want)
		}
	}
	b.shot(t, "status light", "light", 1280, 900)
	b.shot(t, "status dark", "dark", 1280, 900)
	b.shot(t, "status narrow", "light", 390, 844)
	// The filter is the daemon's.
	b.do(t, chromedp.SetValue(chromedp.CSS(`#filter [name=state]`), "failing"), chromedp.Click(chromedp.CSS(`#filter button`)))
	b.wait(t, "one lease is shown", `document.querySelectorAll("#leases tbody tr").length === 1 && document.querySelector("#leases").innerText.includes("billing")`)
	b.do(t, chromedp.SetValue(chromedp.CSS(`#filter [name=state]`), ""), chromedp.Click(chromedp.CSS(`#filter button`)))
	b.wait(t, "all are shown", `document.querySelectorAll("#leases tbody tr").length === 4`)

	problems, requests := b.noted()
	if len(problems) > 0 {
		t.Errorf("the browser says %q", problems)
	}
	for _, url := range requests {
		if !strings.HasPrefix(url, p.URLs[1]+"/proxy/v1/") {
			t.Errorf("the page asks for %s", url)
		}
	}
	if len(requests) < 6 {
		t.Errorf("the page asked for %q alone", requests)
	}

	// What is written into the page does not run, and the browser tells: so the check of problems can fail.
	b.wait(t, "a script was written into it, and did not run", `(() => {
		const s = document.createElement("script"); s.textContent = "window.ran = 1"; document.head.append(s); return !("ran" in window);
	})()`)
	eventually(t, "the browser tells of the policy", func() bool {
		problems, _ := b.noted()
		return strings.Contains(strings.Join(problems, "\n"), "Content Security Policy")
	})

	// A page that is open holds up no stop.
	p.stop(t)
	if strings.Contains(p.log.String(), "requests under way were cut") {
		t.Error("the stream of events was waited for")
	}
	b.wait(t, "the page tells that Leasehold is gone", `document.querySelector("#ready").textContent === "not connected"`)
}

// Where clients must send X-Vault-Request, the page comes without and asks with it.
func TestStatusPageWithRequestHeader(t *testing.T) {
	chromium(t)
	p := shown(t)
	b := newTab(t)
	b.do(t, chromedp.Navigate(p.URLs[2]+"/agent/v1/ui"))
	b.wait(t, "the status is there", `document.querySelector("#ready").textContent === "ready"`)
	b.wait(t, "the leases are there", `document.querySelectorAll("#leases tbody tr").length === 4`)
	if problems, _ := b.noted(); len(problems) > 0 {
		t.Errorf("the browser says %q", problems)
	}
}

// A page of another site can neither end Leasehold nor make it forget anything, in a real browser.
func TestPagesOfOtherSites(t *testing.T) {
	chromium(t)
	p := shown(t)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<script>
			const admin = %q, tell = [];
			const ask = (path, options) => fetch(admin + path, {mode: "no-cors", ...options}).catch(e => e).then(() => tell.push(path));
			Promise.all([ask("status"), ask("events"), ask("quit", {method: "POST"}), ask("cache-clear", {method: "POST", body: '{"type":"all"}'})]).then(() => { window.asked = tell.length; });
			</script>`, p.URLs[1]+"/proxy/v1/")
	}))
	t.Cleanup(evil.Close)
	b := newTab(t)
	b.do(t, chromedp.Navigate(evil.URL))
	b.wait(t, "all was tried", `window.asked === 4`)
	p.waitLog(t, "a page of another site may not ask this of Leasehold")
	a, err := send(t.Context(), "GET", p.URLs[1]+"/proxy/v1/leases", "")
	if err != nil || a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte(`"total":4`)) {
		t.Errorf("then leases = %d %s, %v", a.Status, a.Body, err)
	}
	if log := p.log.String(); strings.Contains(log, "quit was asked for") || strings.Contains(log, "cache cleared") {
		t.Error("it was obeyed")
	}
}
