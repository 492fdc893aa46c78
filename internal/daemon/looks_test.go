package daemon_test

import (
	"net/http"
	"strings"
	"testing"

	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// A Leasehold that nobody asks for anything hears nothing of Vault by itself. What is scraped is none the less true.
func TestAScrapeLooksAtVault(t *testing.T) {
	t.Parallel()
	s := vaulttest.NewServer(t)
	p := probe(t, s, "admin_socket = \"off\"\n"+listenerAndCache, vault.Token{})
	up := func(value string) bool {
		_, _, body := p.do(t, http.MethodGet, "/proxy/v1/metrics")
		return strings.Contains(body, `leasehold_upstream_node_up{node="`+strings.TrimPrefix(s.URL, "http://")+`"} `+value)
	}
	sealed(s, true)
	eventually(t, "a sealed Vault is seen", func() bool { return up("0") })
	sealed(s, false)
	eventually(t, "and one that answers again", func() bool { return up("1") })
}
