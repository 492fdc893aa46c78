package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// Whoever sets VAULT_PROXY_ADDR instead of VAULT_ADDR sends absolute targets. They are served by our Vault, whatever they name; tunnels are not.
func TestAsAForwardProxy(t *testing.T) {
	v := shared
	p := startProxy(t, fmt.Sprintf("vault { address = %q }\nlistener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n}", v.Address))
	through, err := url.Parse(p.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(through)}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	c.ClearNamespace()
	c.SetToken(v.RootToken)
	if health, err := c.Sys().Health(); err != nil || !health.Initialized {
		t.Errorf("sys/health: %+v, %v", health, err)
	}
	if secret, err := c.Auth().Token().LookupSelf(); err != nil || secret.Data["id"] != v.RootToken {
		t.Errorf("lookup-self: %v, %v", secret, err)
	}
	_, err = (&http.Client{Transport: transport}).Get("https://vault.example:8200/v1/sys/health")
	if err == nil || !strings.Contains(err.Error(), "Method Not Allowed") {
		t.Errorf("a tunnel: %v, want 405", err)
	}
}
