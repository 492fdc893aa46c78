//go:build unix

package e2e

import (
	"bufio"
	"net/http"
	"testing"
)

// Samples begin with the reload that lets a listener show them.
func TestSamplesBeginWithEnableStatus(t *testing.T) {
	hcl := func(more string) string {
		return vaultStanza(shared.Address) + cacheStanza + listenerStanza(`proxy_api {`+more+`}`)
	}
	r := startReloadable(t, hcl(""))
	r.waitLog(t, "msg=ready")
	r.waitListening(t, 1)
	if a := r.do(t, "GET", "/proxy/v1/events", ""); a.Status != http.StatusNotFound {
		t.Fatalf("events = %d", a.Status)
	}
	wantSaid(t, r.to(t, hcl("enable_status = true")), "enable_status")
	lines := bufio.NewScanner(listenTo(t, r.URLs[0]+"/proxy/v1/events").Body)
	for {
		event, data := nextEvent(t, lines)
		if event == "sample" || event == "history" && data != "[]" {
			break
		}
	}
}
